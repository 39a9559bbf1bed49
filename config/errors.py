"""Every error that a person may meet, as one tree. The message is the sentence shown; details go to the log.

ParlanceError
├── BadInput          what came from outside cannot be used (a file, a name, an option)
│   └── TooLong       a conversation is longer than the model reads
├── NotFound          something named does not exist
├── Refused           the thing exists, but may not be done now
├── EngineUnavailable the engine does not answer (yet)
├── MachineAway       the other machine on which to tune is not there (yet)
├── Busy              too many ask at the moment; `seconds` until it makes sense again
├── DiskFull          there is no room to keep anything; nothing was changed
└── JobFailed         a long task ended without its result
"""

from __future__ import annotations


class ParlanceError(Exception):
    """Base of all. `str(error)` is one sentence: what happened and what to do next."""


class BadInput(ParlanceError):
    """What came from outside cannot be used; nothing was changed."""


class TooLong(BadInput):
    """A conversation has more tokens than the model reads."""


class NotFound(ParlanceError):
    """Something that was named does not exist."""


class Refused(ParlanceError):
    """It exists, but may not be done now, or not by this person."""


class EngineUnavailable(ParlanceError):
    """The engine is warming, restarting or gone; asking again later makes sense."""


class MachineAway(ParlanceError):
    """The other machine on which to tune cannot be reached, or has no room; trying again later makes sense."""


class Busy(ParlanceError):
    """More is asked than can be answered in time. `seconds`: after about how many asking again makes sense."""

    def __init__(self, seconds: float) -> None:
        self.seconds = max(5, 5 * round(seconds / 5))  # in steps: it is a guess
        super().__init__(
            f"More people are asking than I can answer at the moment; please try again in about {self.seconds} seconds."
        )


class DiskFull(ParlanceError):
    """There is no room to keep anything; nothing was changed."""


class JobFailed(ParlanceError):
    """A job ended without a result."""
