"""Starts of the engine that came to nothing, or not to much: how long to pause before the next, and what is said.

Promises that the engine is always tried again, sooner at first and every few minutes in the end, and that how often it
failed and when it is tried again is told in a sentence. Knows neither the engine nor its log.
"""

from __future__ import annotations

LONGEST_BACK_OFF = 240.0
STEADY_SECONDS = 60.0
"""An engine that was ready for so long starts the back-off anew when it ends."""
FAILURES_TO_TELL = 3
"""So many in a row are no accident: those who ask are told, and wait no more."""


class Failures:
    """In a row. `log`: the name of the file that says why."""

    def __init__(self, log: str) -> None:
        self._log = log
        self._count = 0

    @property
    def many(self) -> bool:
        """Whether it is no accident any more."""
        return self._count >= FAILURES_TO_TELL

    @property
    def sentence(self) -> str:
        """What has happened, where there are many."""
        return f"The engine failed {self._count} times in a row, and the end of logs/{self._log} says why"

    def one_more(self, ready_for: float) -> float:
        """The engine has ended that was ready for so many seconds; how many to pause before the next start."""
        self._count = 1 if ready_for > STEADY_SECONDS else self._count + 1
        return min(LONGEST_BACK_OFF, 2.0 ** (self._count - 1))


def tried_again(sentence: str, seconds: float) -> str:
    """`sentence`, and when the next start is."""
    if seconds > 90:
        when = f"in about {round(seconds / 60)} minutes"
    else:
        when = f"in about {max(5, 5 * round(seconds / 5))} seconds"
    return f"{sentence.rstrip('.')}; it is tried again {when}."
