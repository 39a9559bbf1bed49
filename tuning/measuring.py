"""A job's gate, followed: the judgement of the new version, telling twice a second how far it is.

Knows neither jobs nor databases.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable
from contextlib import suppress

from serving.client import EngineClient
from serving.prompt import ChatTokenizer
from tuning.gate.judge import Case, judge
from tuning.gate.report import Report

TELL_EVERY = 0.5


async def measure(
    case: Case,
    client: EngineClient,
    tokenizer: ChatTokenizer,
    tell: Callable[[float, int | None], Awaitable[None]],
) -> Report:
    """What `judge` comes to. `tell` hears the share done, 0 to 1, and the seconds left. Raises as `judge` does."""
    share, began = 0.0, time.monotonic()

    def say(fraction: float) -> None:
        nonlocal share
        share = fraction

    judging = asyncio.create_task(judge(case, client, tokenizer, say))
    try:
        while not judging.done():
            await asyncio.wait({judging}, timeout=TELL_EVERY)
            spent = time.monotonic() - began
            await tell(share, round(spent / share * (1 - share)) if share > 0.05 else None)
        return await judging
    finally:
        if not judging.done():
            judging.cancel()
            with suppress(asyncio.CancelledError):
                await judging
