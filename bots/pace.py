"""How fast one may write: token buckets for each person and each channel, and a sentence said once while one is empty.

Promises that nobody can make the assistant busy alone, that a group gets no more answers than its platform lets a bot
give, and that whoever is too quick is told when to try again, once, not for each message. Buckets that are full again
are forgotten. Knows neither messages nor roles: who may pass anyway is the caller's affair.
"""

from __future__ import annotations

import math
import time
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass

from config.errors import Refused

Clock = Callable[[], float]
SWEEP_ABOVE = 10_000
"""Buckets; beyond so many the full ones are looked for."""


class AlreadyTold(Refused):
    """Refused like the time before, and the person knows why: nothing is to be said."""


@dataclass(frozen=True, slots=True)
class Limit:
    """`burst` messages at once, and one more every `seconds`."""

    burst: int
    seconds: float


PERSON = Limit(8, 4.0)
CHANNEL = Limit(20, 3.0)
"""Twenty a minute: what Telegram lets a bot say in one group."""


@dataclass(slots=True)
class _Bucket:
    """`level` tokens at time `at`. `told`: that it is empty has been said."""

    level: float
    at: float
    told: bool = False


class _Buckets:
    def __init__(self, limit: Limit, clock: Clock) -> None:
        self._limit = limit
        self._clock = clock
        self._buckets: dict[str, _Bucket] = {}

    def wait(self, key: str) -> float:
        """Seconds until a token is there; 0 where one is."""
        bucket = self._filled(key)
        return 0.0 if bucket.level >= 1 else (1 - bucket.level) * self._limit.seconds

    def take(self, key: str) -> None:
        self._filled(key).level -= 1

    def tell(self, key: str) -> bool:
        """Whether it is still to be said that this one is empty: once, until it has been more than half full."""
        bucket = self._filled(key)
        told, bucket.told = bucket.told, True
        return not told

    def _filled(self, key: str) -> _Bucket:
        moment = self._clock()
        bucket = self._buckets.get(key)
        if bucket is None:
            if len(self._buckets) >= SWEEP_ABOVE:
                self._sweep(moment)
            bucket = self._buckets[key] = _Bucket(self._limit.burst, moment)
        bucket.level = min(self._limit.burst, bucket.level + (moment - bucket.at) / self._limit.seconds)
        bucket.at = moment
        bucket.told = bucket.told and bucket.level < (self._limit.burst + 1) / 2
        return bucket

    def _sweep(self, moment: float) -> None:
        whole = self._limit.burst * self._limit.seconds
        self._buckets = {key: bucket for key, bucket in self._buckets.items() if moment - bucket.at < whole}


class Pace:
    """Of everybody. `clock` gives seconds."""

    def __init__(self, person: Limit = PERSON, channel: Limit = CHANNEL, clock: Clock = time.monotonic) -> None:
        self._people = _Buckets(person, clock)
        self._channels = _Buckets(channel, clock)

    def check(self, person: str, channel: str) -> None:
        """Count one message. Raises Refused with when to try again, AlreadyTold where that was said; then it does not
        count."""
        for buckets, key, who in (
            (self._people, person, "You are quicker than I am"),
            (self._channels, channel, "So much is asked here at once that I cannot keep up"),
        ):
            seconds = math.ceil(buckets.wait(key))
            if seconds and not buckets.tell(key):
                raise AlreadyTold
            if seconds:
                raise Refused(f"{who}; try again in {seconds} second{'' if seconds == 1 else 's'}.")
        self._people.take(person)
        self._channels.take(channel)


class Once:
    """Says of each key whether it is due, at most once in `seconds`; keeps the newest `kept`."""

    def __init__(self, seconds: float, kept: int = 10_000, clock: Clock = time.monotonic) -> None:
        self._seconds = seconds
        self._kept = kept
        self._clock = clock
        self._last: OrderedDict[str, float] = OrderedDict()

    def due(self, key: str) -> bool:
        """True, and not again for a while."""
        moment = self._clock()
        last = self._last.get(key)
        if last is not None and moment - last < self._seconds:
            return False
        self._last[key] = moment
        self._last.move_to_end(key)
        if len(self._last) > self._kept:
            self._last.popitem(last=False)
        return True
