"""How the engine is, in a word and in a sentence for whoever asks or waits, and how long a start usually takes.

Promises that no time is told which is known to be over: a start that takes longer than the last one did says so. Knows
neither the engine nor why it is started.
"""

from __future__ import annotations

import asyncio
import json
import time
from contextlib import suppress
from dataclasses import dataclass

from config.errors import EngineUnavailable
from config.paths import Paths
from serving.failures import tried_again
from serving.ownership import State

FIRST_GUESS_SECONDS = 75.0
LATE = 1.25
"""Times as long as the last start: from then on nobody knows how long it still takes."""


@dataclass(frozen=True, slots=True)
class EngineStatus:
    """How the engine is, in a word and in a sentence; `seconds_left` until it is ready, None where nobody knows.

    `notice` is what the sentence says of an engine that is ready and yet not as it should be, or nothing.
    """

    state: State
    sentence: str
    seconds_left: float | None
    notice: str = ""


class UsualStart:
    """How long the last start of `model` took on this home."""

    def __init__(self, paths: Paths, model: str) -> None:
        self._file = paths.run / "engine-start.json"
        self._model = model

    @property
    def seconds(self) -> float:
        """A guess where there was none yet."""
        try:
            return float(json.loads(self._file.read_text())[self._model])
        except (OSError, ValueError, KeyError, TypeError):
            return FIRST_GUESS_SECONDS

    def remember(self, seconds: float) -> None:
        """It took so long this time."""
        with suppress(OSError):  # the next start is guessed from the one before
            self._file.write_text(json.dumps({self._model: round(seconds, 1)}))


def starting(state: State, sentence: str, elapsed: float, usual: float) -> EngineStatus:
    """`sentence` with the time that is left of a start that began `elapsed` seconds ago and usually takes `usual`."""
    if elapsed > LATE * usual:
        return EngineStatus(state, f"{sentence.rstrip('.')}; it takes longer than usual.", None)
    left = max(1.0, usual - elapsed)
    shown = max(5, 5 * round(left / 5))  # in steps, so that what is shown does not flicker
    return EngineStatus(state, f"{sentence.rstrip('.')}; it takes about {shown} more seconds.", left)


class Condition:
    """How one engine is now, for its supervisor to say and for all others to read. Moments by the monotonic clock."""

    def __init__(self, usual: UsualStart) -> None:
        self.usual = usual
        self.state: State = "off"
        self.sentence = "The engine is not running."
        self.began: float | None = None
        """When the engine that is awaited was started, or will be."""
        self.rests_until: float | None = None
        self.notice = ""
        """What is to be said besides while the engine is ready: a sentence, or nothing."""
        self._changed = asyncio.Event()

    def say(self, state: State, sentence: str) -> None:
        """This is how it is from now on; whoever waits for a change is told."""
        self.state, self.sentence = state, sentence
        self._changed.set()
        self._changed = asyncio.Event()

    @property
    def status(self) -> EngineStatus:
        """How things stand at this moment."""
        moment = time.monotonic()
        since = moment - self.began if self.began is not None else 0.0
        if self.state in ("warming", "restarting") and self.began is not None:
            return starting(self.state, self.sentence, since, self.usual.seconds)
        if self.state == "failed":
            return EngineStatus("failed", tried_again(self.sentence, -since), self.usual.seconds - since)
        if self.state == "ready":
            return EngineStatus("ready", f"{self.sentence} {self.notice}".strip(), 0.0, self.notice)
        if self.state == "asleep" and self.rests_until is not None:
            return EngineStatus("asleep", self.sentence, max(1.0, self.rests_until - moment))
        return EngineStatus(self.state, self.sentence, None)

    async def until_ready(self) -> None:
        """Raises EngineUnavailable where it is not started, or is said not to come up."""
        while self.state != "ready":
            if self.state in ("off", "failed"):
                raise EngineUnavailable(self.status.sentence)
            await self._changed.wait()
