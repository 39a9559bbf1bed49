"""Asking an engine that may break off or be away for a while: asked again once it answers, so often and for so long.

Knows nothing of what is asked.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable
from contextlib import AbstractAsyncContextManager
from typing import TypeVar

import structlog

from config.errors import EngineUnavailable, JobFailed
from serving.client import EngineClient

MOST_TIMES = 5
"""How often an engine may break off under the same question: from then on it is the question that breaks it."""
PATIENCE = 900.0
"""Seconds without an engine until others are let before: twice as long as an engine that does not come up pauses."""
PAUSE = 2.0

T = TypeVar("T")
EngineSource = Callable[[], AbstractAsyncContextManager[EngineClient]]

log = structlog.get_logger()


async def insist(
    engine: EngineSource, ask: Callable[[EngineClient], Awaitable[T]], tell: Callable[[str], Awaitable[None]]
) -> T:
    """What `ask` gives. `tell` hears, in a sentence, why it takes longer.

    Raises EngineUnavailable where there is no engine for PATIENCE seconds, JobFailed where it broke off MOST_TIMES.
    """
    times, since = 0, time.monotonic()
    while True:
        asked = False
        try:
            async with engine() as client:
                asked = True
                return await ask(client)
        except EngineUnavailable as error:
            if asked:
                times, since = times + 1, time.monotonic()
            if times == MOST_TIMES:
                raise JobFailed(
                    f"The engine broke off {MOST_TIMES} times while the new version was tried on it; logs/engine.log "
                    "says why. Try once more."
                ) from error
            if time.monotonic() - since > PATIENCE:
                raise
            log.warning("the engine is waited for", why=str(error), broke_off=times)
            await tell("The engine broke off; this goes on as soon as it answers again" if asked else str(error))
        await asyncio.sleep(PAUSE)
