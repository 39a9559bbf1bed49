"""A stop that a person can press: raced against whatever an answer is waiting for at the moment."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable
from typing import TypeVar

Result = TypeVar("Result")


class Stopped(Exception):
    """The person stopped what was being waited for."""


class Stop:
    """Pressed at most once. What it interrupts is cancelled and has ended by the time Stopped is raised."""

    def __init__(self) -> None:
        self._pressed = asyncio.Event()

    def press(self) -> None:
        """Interrupt now."""
        self._pressed.set()

    @property
    def pressed(self) -> bool:
        return self._pressed.is_set()

    async def unless(self, awaited: Awaitable[Result]) -> Result:
        """The result, or Stopped as soon as the stop is pressed."""
        work = asyncio.ensure_future(awaited)
        press = asyncio.ensure_future(self._pressed.wait())
        try:
            await asyncio.wait({work, press}, return_when=asyncio.FIRST_COMPLETED)
            if not work.done():
                raise Stopped
            return work.result()
        finally:
            press.cancel()
            if not work.done():
                work.cancel()
                await asyncio.gather(work, return_exceptions=True)

    async def through(self, pieces: AsyncIterator[Result]) -> AsyncIterator[Result]:
        """The pieces, until the stop is pressed: then Stopped. The source is closed in either case.

        It goes on once a piece is worked off, so that what it does next comes after that. It runs in one task from
        beginning to end, because the timeouts inside it are bound to their task.
        """
        queue: asyncio.Queue[list[Result]] = asyncio.Queue()

        async def pump() -> None:
            try:
                async for piece in pieces:
                    queue.put_nowait([piece])
                    await queue.join()
            finally:
                close = getattr(pieces, "aclose", None)
                if close is not None:
                    await close()
                queue.put_nowait([])

        pumping = asyncio.create_task(pump())
        try:
            while piece := await self.unless(queue.get()):
                yield piece[0]
                queue.task_done()
            await pumping
        finally:
            if not pumping.done():
                pumping.cancel()
            await asyncio.gather(pumping, return_exceptions=True)
