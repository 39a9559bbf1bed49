"""Which assistants have figures under their own name: the busiest of late, and no more of them than a bound.

Every label value is a time series that somebody's Prometheus keeps, so names must not grow without end. Whose name is
not kept counts as `other`. The label is chosen when something happens and never moved afterwards: no counter falls, but
one whose assistant lost its name ends.
"""

from __future__ import annotations

import time
from collections.abc import Callable

OTHER = "other"
HALVED_AFTER_SECONDS = 3600.0
FORGOTTEN_BELOW = 0.5
MUST_EXCEED = 2.0
"""How many times as busy as the least busy one an assistant must be to take its name's place; else two that are equally
busy would take turns."""


class Busiest:
    """`most` names at once; `ended` is told of each that is no longer one. `clock` gives seconds."""

    def __init__(self, most: int, ended: Callable[[str], None], clock: Callable[[], float] = time.monotonic) -> None:
        self._most = most
        self._ended = ended
        self._clock = clock
        self._busy: dict[str, float] = {}
        self._named: set[str] = set()
        self._halved = clock()

    def label(self, assistant: str) -> str:
        """Under which name this request of `assistant` counts."""
        self._halve()
        self._busy[assistant] = self._busy.get(assistant, 0.0) + 1.0
        if assistant in self._named:
            return assistant
        if len(self._named) >= self._most:
            least = min(self._named, key=lambda name: self._busy.get(name, 0.0))
            if self._busy[assistant] <= MUST_EXCEED * self._busy.get(least, 0.0):
                return OTHER
            self._named.discard(least)
            self._ended(least)
        self._named.add(assistant)
        return assistant

    def still(self, label: str) -> str:
        """Where something that began under `label` counts now."""
        return label if label in self._named else OTHER

    def _halve(self) -> None:
        """Busy means of late: each hour counts half as much as the one after it."""
        hours = int((self._clock() - self._halved) // HALVED_AFTER_SECONDS)
        if hours:
            self._halved += hours * HALVED_AFTER_SECONDS
            busy = {name: count / 2**hours for name, count in self._busy.items()}
            self._busy = {name: count for name, count in busy.items() if count >= FORGOTTEN_BELOW}
