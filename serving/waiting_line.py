"""The line before the engine: fair between assistants and people, bounded, each place free the moment it is left.

Promises that a free place goes to the assistant with the fewest places taken, within it to the person with the fewest,
and of one person to what they asked first; where that is equal, whoever was served longest ago comes first. A full line
takes somebody in only in exchange for the last request of whoever has the most in it, so nobody can keep others out.
Knows nothing of engines or adapters.
"""

from __future__ import annotations

import asyncio
from collections import Counter, deque
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field

from config.errors import Busy

LINES_PER_PLACE, LEAST_LINE = 8, 2_000
"""How long the line may be, in requests for each place, and what it may be in any case: a thousand chats that write at
once are all answered, and what ends a wait is its length in seconds."""
LONGEST_WAIT = 300.0
"""Seconds that a request waits at most."""
FIRST_GUESS_SECONDS = 5.0
"""How long a place is taken, as long as nothing was measured."""
WEIGHT_OF_LAST = 0.1
WORTH_TELLING = 2.0
"""Shorter waits are not told."""

_IN_TURN, _PUSHED_OUT = "in turn", "pushed out"


def _nobody(seconds: float) -> None:
    """Told of a wait that interests no one."""


@dataclass(slots=True, eq=False)
class _Standing:
    """One request in the line, or in a place. `call` is set to why its waiting ended."""

    assistant: str
    person: str
    call: asyncio.Future[str] = field(default_factory=lambda: asyncio.get_running_loop().create_future())


class _Shares:
    """Who of several should have the next place: the fewest taken, then whoever was served longest ago."""

    def __init__(self) -> None:
        self.taken: Counter[str] = Counter()
        self._served: dict[str, float] = {}
        self._last = 0.0

    def join(self, name: str) -> None:
        """`name` waits from now on. Whoever is new comes before who was served last, after all who wait longer."""
        self._served.setdefault(name, self._last - 0.5)

    def rank(self, name: str) -> tuple[int, float]:
        """The smallest comes next."""
        return self.taken[name], self._served[name]

    def serve(self, name: str) -> None:
        """`name` has one more place."""
        self.taken[name] += 1
        self._last += 1.0
        self._served[name] = self._last

    def leave(self, name: str) -> None:
        """`name` has one place less."""
        self.taken[name] -= 1
        if not self.taken[name]:
            del self.taken[name]

    def forget(self, name: str) -> None:
        """Nothing of `name` waits; where it has no place either, nothing is kept of it."""
        if name not in self.taken:
            self._served.pop(name, None)


class WaitingLine:
    """`places` requests at once; `longest` more may wait (None: eight for each place, and two thousand at least)."""

    def __init__(self, places: int, longest: int | None = None) -> None:
        self.places = places
        self.longest = max(places * LINES_PER_PLACE, LEAST_LINE) if longest is None else longest
        self.taken = 0
        self.seconds_each: float | None = None
        """How long a request takes once it has a place, lately; None before the first."""
        self._waiting: dict[str, dict[str, deque[_Standing]]] = {}
        self._assistants = _Shares()
        self._people: dict[str, _Shares] = {}

    @property
    def waiting(self) -> int:
        """How many wait now."""
        return sum(len(line) for people in self._waiting.values() for line in people.values())

    def took(self, seconds: float) -> None:
        """A request was done `seconds` after it got its place; the waits that are told follow from it."""
        known = self.seconds_each
        self.seconds_each = seconds if known is None else known + WEIGHT_OF_LAST * (seconds - known)

    @asynccontextmanager
    async def place(
        self,
        assistant: str,
        person: str,
        *,
        patience: float = LONGEST_WAIT,
        told: Callable[[float], None] = _nobody,
    ) -> AsyncIterator[None]:
        """A place, from when it is free until the block is left, which may be at any moment.

        `told` gets the seconds that it should take, once, where that is worth telling. Raises Busy where the line is
        full, where it would take or has taken longer than `patience` seconds, and where others with less in the line
        need the room.
        """
        standing = _Standing(assistant, person)
        self._join(standing, patience)
        try:
            if not standing.call.done():
                expected = self.expected(assistant, person, more=0)
                if expected >= WORTH_TELLING:
                    told(expected)
            await self._until_called(standing, patience)
            yield
        finally:
            self._leave(standing)

    def expected(self, assistant: str, person: str, *, more: int = 1) -> float:
        """Seconds until `person` would get a place for one more request, by how long others took lately; with `more`
        0, until the last one that waits gets it."""
        rounds = self._ahead(assistant, person, more) // self.places + 1
        each = self.seconds_each if self.seconds_each is not None else FIRST_GUESS_SECONDS
        # The places are taken for half of that on the average when somebody comes.
        return each * (rounds - 0.5)

    def _ahead(self, assistant: str, person: str, more: int) -> int:
        """How many get their place before, when one after another gets a turn."""
        people = self._waiting.get(assistant, {})
        mine = len(people.get(person, ())) + more
        within = mine - 1 + sum(min(len(line), mine) for name, line in people.items() if name != person)
        others = [sum(map(len, theirs.values())) for name, theirs in self._waiting.items() if name != assistant]
        return within + sum(min(count, within + 1) for count in others)

    def _join(self, standing: _Standing, patience: float) -> None:
        if self.taken < self.places and not self._waiting:
            self._seat(standing)
            return
        expected = self.expected(standing.assistant, standing.person)
        if expected > patience:
            raise _busy(expected)
        if self.waiting >= self.longest:
            self._make_room(standing, expected)
        self._assistants.join(standing.assistant)
        self._people.setdefault(standing.assistant, _Shares()).join(standing.person)
        self._waiting.setdefault(standing.assistant, {}).setdefault(standing.person, deque()).append(standing)

    def _make_room(self, newcomer: _Standing, expected: float) -> None:
        """Push out the last request of whoever has the most in the line. Raises Busy where that is the newcomer."""
        lengths = {name: sum(map(len, people.values())) for name, people in self._waiting.items()}
        crowded = max(lengths, key=lengths.__getitem__, default=newcomer.assistant)
        mine = lengths.get(newcomer.assistant, 0)
        if lengths.get(crowded, 0) <= mine + 1:
            crowded = newcomer.assistant
        people = self._waiting.get(crowded, {})
        person = max(people, key=lambda name: len(people[name]), default=newcomer.person)
        if crowded == newcomer.assistant and len(people.get(person, ())) <= len(people.get(newcomer.person, ())) + 1:
            raise _busy(expected)
        last = people[person][-1]
        self._remove(last)
        last.call.set_result(_PUSHED_OUT)

    async def _until_called(self, standing: _Standing, patience: float) -> None:
        if not standing.call.done():
            try:
                async with asyncio.timeout(patience):
                    await asyncio.shield(standing.call)
            except TimeoutError:
                if not standing.call.done():
                    raise _busy(self.expected(standing.assistant, standing.person)) from None
        if standing.call.result() == _PUSHED_OUT:
            raise _busy(self.expected(standing.assistant, standing.person))

    def _leave(self, standing: _Standing) -> None:
        """Out of the line, or out of the place, which the next one gets at once."""
        if not standing.call.done():
            self._remove(standing)
            standing.call.cancel()
        elif standing.call.result() == _IN_TURN:
            self.taken -= 1
            self._assistants.leave(standing.assistant)
            people = self._people[standing.assistant]
            people.leave(standing.person)
            self._forget(standing)
            self._fill()

    def _fill(self) -> None:
        while self.taken < self.places and self._waiting:
            assistant = min(self._waiting, key=self._assistants.rank)
            lines = self._waiting[assistant]
            standing = lines[min(lines, key=self._people[assistant].rank)][0]
            self._seat(standing)
            self._remove(standing)

    def _seat(self, standing: _Standing) -> None:
        self.taken += 1
        self._assistants.serve(standing.assistant)
        self._people.setdefault(standing.assistant, _Shares()).serve(standing.person)
        standing.call.set_result(_IN_TURN)

    def _remove(self, standing: _Standing) -> None:
        people = self._waiting[standing.assistant]
        people[standing.person].remove(standing)
        if not people[standing.person]:
            del people[standing.person]
        if not people:
            del self._waiting[standing.assistant]
        self._forget(standing)

    def _forget(self, standing: _Standing) -> None:
        """Keep nothing of who neither waits nor is served: there are many people, and they come and go."""
        shares = self._people.get(standing.assistant)
        if shares is not None:
            if standing.person not in self._waiting.get(standing.assistant, {}):
                shares.forget(standing.person)
            if not shares.taken and standing.assistant not in self._waiting:
                del self._people[standing.assistant]
        if standing.assistant not in self._waiting:
            self._assistants.forget(standing.assistant)


def _busy(seconds: float) -> Busy:
    return Busy(seconds)
