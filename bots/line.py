"""The queue of one channel: messages are logged in the order they came and answered one at a time in that order."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager

from bots.stopping import Stop


class Line:
    """`arriving` is held while a message is logged and gets its `ticket`; `turn` waits for the ticket to come up."""

    def __init__(self) -> None:
        self.arriving = asyncio.Lock()
        self._turns = asyncio.Lock()  # fair: first come, first served
        self._stop: Stop | None = None
        self._beside: set[Stop] = set()
        self._waiting = 0
        self.standing = 0
        """How many stand in it, from arriving to leaving; without them it can be thrown away."""

    def ticket(self) -> asyncio.Task[bool]:
        """A place in the line, taken now."""
        self._waiting += 1
        return asyncio.create_task(self._turns.acquire())

    @asynccontextmanager
    async def turn(self, ticket: asyncio.Task[bool]) -> AsyncIterator[Stop]:
        """Until the ticket comes up, then while it is this message's turn; the Stop interrupts it."""
        try:
            await ticket
        except asyncio.CancelledError:
            if ticket.done() and not ticket.cancelled():
                self._turns.release()
            else:
                ticket.cancel()
            self._waiting -= 1
            raise
        self._stop = Stop()
        try:
            yield self._stop
        finally:
            self._stop = None
            self._waiting -= 1
            self._turns.release()

    @contextmanager
    def beside(self, stop: Stop) -> Iterator[None]:
        """While something is said beside the line, in nobody's turn: `stop_beside` interrupts it."""
        self._beside.add(stop)
        try:
            yield
        finally:
            self._beside.discard(stop)

    def stop_beside(self) -> bool:
        """Interrupt what is being said beside the line; False where nothing is."""
        said = [stop for stop in self._beside if not stop.pressed]
        for stop in said:
            stop.press()
        return bool(said)

    def stop(self) -> bool:
        """Interrupt what is being answered now; False where nothing is."""
        if self._stop is None or self._stop.pressed:
            return False
        self._stop.press()
        return True

    @property
    def taken(self) -> bool:
        """Whether a ticket taken now would have to wait."""
        return self._waiting > 0
