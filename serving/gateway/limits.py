"""How many requests a key may make in a minute: a window that slides, in memory.

Promises that no 60 seconds hold more than the limit, that a request which was refused does not count, and that whoever
is refused learns when the next one will pass.
"""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable

WINDOW_SECONDS = 60.0


class Windows:
    """Of all keys. `clock` gives seconds."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._passed: dict[int, deque[float]] = {}

    def take(self, key: int, a_minute: int) -> float:
        """Count one request of `key`; 0 where it passes, else the seconds until one will."""
        moment = self._clock()
        passed = self._passed.setdefault(key, deque())
        while passed and moment - passed[0] >= WINDOW_SECONDS:
            passed.popleft()
        if len(passed) >= a_minute:
            return WINDOW_SECONDS - (moment - passed[len(passed) - a_minute])
        passed.append(moment)
        return 0.0
