"""The one way in to the engine for everybody who waits for an answer: chats and the gateway alike.

Promises that no assistant and no person keeps others from the engine, that a request waits through a restart of the
engine and is then answered, and that one whose engine broke off is asked once more: as it was where nothing of its
answer was shown, else for the rest of it (`serving.continuation`). What the gate and promotions ask does not stand in
this line: it goes to the engine's client, eight at a time at most, for which so many of the engine's places are kept
free. Knows nothing of routes, nor of what is asked.
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
from serving.continuation import Continued, TokenizerSource
from serving.prompt import Message
from serving.waiting_line import LONGEST_WAIT, WaitingLine

if TYPE_CHECKING:
    from serving.answer import Finished, Piece, Sampling
    from serving.client import EngineClient
    from serving.status import EngineStatus

BESIDE = 8
"""Requests of the gate and of promotions that the engine may have at the same time."""
LOOK_AGAIN_SECONDS = 5.0
"""While the engine is awaited: how long that still takes may be known by now."""
NOTICE_TRIES, NOTICE_SECONDS = 30, 0.5
GOES_ON = "The engine broke off in the middle of that; I will go on from there as soon as it is back."
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
    takes). `tokenizer`: of the base model; without one, what broke off after it was begun stays as it is."""

    def __init__(
        self,
        engine: Engine,
        requests: int = 32,
        longest: int | None = None,
        tokenizer: TokenizerSource | None = None,
    ) -> None:
        self._engine = engine
        self._tokenizer = tokenizer
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
        middle is asked for anew. Else `told` says so, the rest is asked for once the engine is back, and the pieces and
        the Finished are those of one answer. Closing the iterator, or cancelling who reads it, leaves the line or the
        place at once and ends the request in the engine. Raises what `EngineClient.stream` raises, Busy where the line
        is full or others would take too long, and EngineUnavailable where the engine would; nothing but
        EngineUnavailable once a piece was given.
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
            with self._counted(EngineUnavailable, "engine_away"):
                await self._until_ready(told, left)
            answer = Continued(messages, sampling)
            for last in (False, True):
                began = time.monotonic()
                held: list[Piece | Finished] = []
                try:
                    async with aclosing(
                        self._engine.client.stream(version, answer.messages, answer.sampling)
                    ) as events:
                        async for event in events:
                            if at_once:
                                held.append(event)
                            elif (piece := answer.joined(event)) is not None:
                                yield piece
                except ParlanceError as error:
                    if answer.broke is not None:
                        raise answer.broke from error
                    if last or not isinstance(error, EngineUnavailable):
                        raise
                    if answer.begun:
                        came += time.monotonic() - began  # whoever was being answered did not wait
                        await self._until_it_goes_on(answer, error, told, left)
                    else:
                        await self._until_noticed()
                        with self._counted(EngineUnavailable, "engine_away"):
                            await self._until_ready(told, left)
                else:
                    self.line.took(time.monotonic() - began)
                    for event in held:
                        yield event
                    return

    async def _until_it_goes_on(
        self, answer: Continued, broke: EngineUnavailable, told: Callable[[str], None], left: Callable[[], float | None]
    ) -> None:
        """Until the rest of what broke off can be asked for. Raises `broke` where it cannot."""
        if self._tokenizer is None or not answer.go_on(await self._tokenizer(), broke):
            raise broke
        told(GOES_ON)
        await self._until_noticed()
        try:
            await self._until_ready(_nobody, left)
        except EngineUnavailable as away:
            raise broke from away

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
