"""Waiting in tests: for a condition, never for a time."""

from __future__ import annotations

import asyncio
import inspect
from collections.abc import Callable
from typing import Any


async def until(condition: Callable[[], Any]) -> Any:
    """The first true value of `condition`, which may be a coroutine function; gives up after a generous while."""
    async with asyncio.timeout(60):
        while True:
            found = condition()
            if inspect.isawaitable(found):
                found = await found
            if found:
                return found
            await asyncio.sleep(0.005)
