"""The one way in to the engine for everybody who waits for an answer: chats and the gateway alike.

Promises that no assistant and no person keeps others from the engine, that a request waits through a restart of the
engine and is then answered, and that one of which nothing was shown when its engine broke off is asked once more. What
the gate and promotions ask does not stand in this line: it goes to the engine's client, eight at a time at most, for
which so many of the engine's places are kept free. Knows nothing of routes, nor of what is asked.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncGenerator, Callable, Iterator, Sequence
from contextlib import AsyncExitStack, aclosing, contextmanager
from typing import TYPE_CHECKING, Literal, Protocol, get_args

from config.errors import Busy, EngineUnavailable, ParlanceError
from config.names import VersionName
from config.request import current
from serving.prompt import Message
from serving.waiting_line import LONGEST_WAIT, WaitingLine

if TYPE_CHECKING:
    from serving.client import EngineClient, Finished, Piece, Sampling
    from serving.status import EngineStatus

BESIDE = 8
"""Requests of the gate and of promotions that the engine may have at the same time."""
LOOK_AGAIN_SECONDS = 5.0
"""While the engine is awaited: how long that still takes may be known by now."""
NOTICE_TRIES, NOTICE_SECONDS = 30, 0.5
TurnedAway = Literal["busy", "engine_away", "key_limit"]
"""Why somebody was not let in: too many wait, the engine is not there in time, or their key's limit is reached."""


class Engine(Protocol):
    """What lies behind the entrance; `serving.supervisor.EngineSupervisor` is one."""

    @property
    def status(self) -> EngineStatus: ...

    @property
    def client(self) -> EngineClient: ...

    async def wait_ready(self) -> None:
        """Returns when the engine answers. Raises EngineUnavailable when it will not."""
        ...


def _nobody(sentence: str) -> None:
    """Told of a wait where nobody looks."""


class Entrance:
    """`requests`: how many the engine takes at once; `longest`: how many more may wait (None: as many as a WaitingLine
    takes)."""

    def __init__(self, engine: Engine, requests: int = 32, longest: int | None = None) -> None:
        self._engine = engine
        self.line = WaitingLine(requests - BESIDE if requests > 2 * BESIDE else requests, longest)
        self.turned_away: dict[TurnedAway, int] = dict.fromkeys(get_args(TurnedAway), 0)
        """How many, by why."""

    async def stream(
        self,
        version: VersionName,
        messages: Sequence[Message],
        sampling: Sampling,
        *,
        assistant: str,
        person: str,
        told: Callable[[str], None] = _nobody,
        patience: float | None = None,
        at_once: bool = False,
    ) -> AsyncGenerator[Piece | Finished]:
        """Like `EngineClient.stream`, in turn. `assistant` is a name, `person` whatever tells one asker from another.

        `told` gets a sentence whenever waiting is worth telling. `patience` in seconds bounds the whole wait, for a
        place and for an engine that is not ready; None: LONGEST_WAIT for a place, and for the engine as long as its
        start takes. With `at_once` nothing is given before the answer is whole, so that one which broke off in the
        middle is asked for once more as well. Closing the iterator, or cancelling who reads it, leaves the line or the
        place at once and ends the request in the engine. Raises what `EngineClient.stream` raises, Busy where the line
        is full or others would take too long, and EngineUnavailable where the engine would.
        """
        came = time.monotonic()

        def left() -> float | None:
            return None if patience is None else max(0.0, patience - (time.monotonic() - came))

        def waits(seconds: float) -> None:
            if self._engine.status.state == "ready":
                shown = max(5, 5 * round(seconds / 5))
                told(f"Others asked before you; I will answer in about {shown} seconds.")
            else:
                told(as_soon_as_ready(self._engine.status.sentence))

        if (request := current()) is not None:
            request.asks(assistant)
        bound = LONGEST_WAIT if patience is None else patience
        place = self.line.place(assistant, person, patience=bound, told=waits)
        with self._counted(EngineUnavailable, "engine_away"):
            self._is_in_time(left())
        async with AsyncExitStack() as stack:
            with self._counted(Busy, "busy"):
                await stack.enter_async_context(place)
            for last in (False, True):
                with self._counted(EngineUnavailable, "engine_away"):
                    await self._until_ready(told, left)
                began = time.monotonic()
                held: list[Piece | Finished] = []
                shown = False
                try:
                    async with aclosing(self._engine.client.stream(version, messages, sampling)) as pieces:
                        async for piece in pieces:
                            if at_once:
                                held.append(piece)
                            else:
                                shown = True
                                yield piece
                except EngineUnavailable:
                    if last or shown:
                        raise
                    await self._until_noticed()
                else:
                    self.line.took(time.monotonic() - began)
                    for piece in held:
                        yield piece
                    return

    @contextmanager
    def _counted(self, error: type[ParlanceError], why: TurnedAway) -> Iterator[None]:
        try:
            yield
        except error:
            self.turned_away[why] += 1
            raise

    def _is_in_time(self, patience: float | None) -> None:
        """Raises EngineUnavailable where the engine will not be ready within so many seconds, as far as is known."""
        status = self._engine.status
        if status.state == "ready" or patience is None:
            return
        if patience == 0.0 or (status.seconds_left or 0.0) > patience:
            raise EngineUnavailable(status.sentence)

    async def _until_ready(self, told: Callable[[str], None], left: Callable[[], float | None]) -> None:
        """Raises EngineUnavailable where it will not be, or not in the time that is `left`, and as soon as that is
        known."""
        if self._engine.status.state == "ready":
            return
        self._is_in_time(left())
        told(as_soon_as_ready(self._engine.status.sentence))
        while True:
            patience = left()
            soon = LOOK_AGAIN_SECONDS if patience is None else min(patience, LOOK_AGAIN_SECONDS)
            try:
                async with asyncio.timeout(soon):
                    await self._engine.wait_ready()
                break
            except TimeoutError:
                self._is_in_time(left())

    async def _until_noticed(self) -> None:
        """After a break: until the engine is well, or known not to be."""
        for _ in range(NOTICE_TRIES):
            if self._engine.status.state != "ready" or await self._engine.client.healthy():
                return
            await asyncio.sleep(NOTICE_SECONDS)


def as_soon_as_ready(sentence: str) -> str:
    """For somebody who waits for the engine, of which `sentence` says how it is."""
    return f"{sentence} I will answer as soon as it is ready."
