"""Waiting in tests: for a condition, never for a time."""

from __future__ import annotations

import asyncio
import inspect
from collections.abc import Callable
from typing import Any


async def until(condition: Callable[[], Any]) -> Any:
    """The first true value of `condition`, which may be a coroutine function; gives up after a generous while."""
    return await _first(condition, 60, 0.005)


async def patiently(condition: Callable[[], Any]) -> Any:
    """As `until`, for what the real engine has to do, on two cores."""
    return await _first(condition, 300, 0.05)


async def _first(condition: Callable[[], Any], seconds: float, pause: float) -> Any:
    async with asyncio.timeout(seconds):
        while True:
            found = condition()
            if inspect.isawaitable(found):
                found = await found
            if found:
                return found
            await asyncio.sleep(pause)
