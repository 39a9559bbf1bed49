"""What speaks for one message answering another: numbers for a message alone, and for a message and a candidate.

Of pairs, each feature is a row and each pair a column: what is computed for all at once is written in one piece.
Nothing here depends on a language; words count only as being the same, and as rare or common in this very chat.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from tuning.disentangle.columns import NAMED, NOBODY, SHAPE, Columns
from tuning.disentangle.occurrences import Occurrences
from tuning.disentangle.window import CANDIDATES, SIGNS, WINDOW, Window, neighbours

AHEAD = 40
"""Messages after one that may speak for what it answers. A stream's answers come that much later."""
FAR = 300
ALONE = (
    *SHAPE, "name first, with a mark", "name first", "unknown name first", "names somebody", "since own last",
    "no own last", "went on", "seconds since own last", "seconds since any", "seconds of 50", "own of late",
    "since being named", "until own next", "no own next", "goes on", "until being named",
)  # fmt: skip
PAIR = (
    *SIGNS[:-1], "names somebody else", "they name somebody else", "one's own last", "distance", "next before",
    "second before", "seconds", "same minute", "their messages since", "none since", "one since", "own messages since",
    "since they named one", "they named one since", "named them of late", "will name them", "will be named by them",
    "they were named since", "not named since", "in common", "rarest in common", "nothing in common", "first look",
    "rank",
)  # fmt: skip

Array = npt.NDArray[Any]
_BITS = len(SIGNS) - 1
_FAR = (np.log1p(np.arange(FAR + 1)) / np.log1p(FAR)).astype(np.float32)


def far(distance: Array) -> Array:
    """0 … 1, by the logarithm, of distances in messages; 1 at FAR and beyond."""
    found: Array = _FAR[np.clip(distance, 0, FAR)]
    return found


def long(seconds: Array) -> Array:
    """0 … 1, by the logarithm, of times; 1 at a day and beyond."""
    found: Array = np.log1p(np.clip(seconds, 0, 86_400).astype(np.float32) / 60) / np.float32(np.log1p(1440))
    return found


def rank(scores: Array) -> Array:
    """[r, k]: how many of a row's scores are greater, or as great and before."""
    mine, others = scores[:, :, None], scores[:, None, :]
    earlier = np.tri(scores.shape[1], k=-1, dtype=bool)
    found: Array = ((others > mine) | ((others == mine) & earlier)).sum(2, dtype=np.int8)
    return found


class Evidence:
    """Of one stretch of a log: what is known of its messages before anybody has asked who answers whom."""

    def __init__(self, columns: Columns) -> None:
        self.columns = columns
        self.length = len(columns)
        self.rows = np.arange(self.length)
        self.author = columns.author.astype(np.int64)
        self.people = int(max(columns.author.max(initial=0), columns.named.max(initial=0))) + 1
        self.before, self.after = neighbours(columns.author)
        self.spoke = Occurrences(self.author, self.rows, self.length)
        self.place = self.spoke.before(self.author, self.rows)
        named = columns.named
        speakers, people, places = [], [], []
        for one in range(NAMED):
            some = np.nonzero(named[:, one] != NOBODY)[0]
            speakers.append(self.author[some])
            people.append(named[some, one].astype(np.int64))
            places.append(some)
        speaker, person, place = (np.concatenate(part) for part in (speakers, people, places))
        self.was_named = Occurrences(person, place, self.length)
        self.named_each_other = Occurrences(speaker * self.people + person, place, self.length)
        self.alone = self._alone()

    def _alone(self) -> Array:
        """[n, len(ALONE)] of each message by itself."""
        columns, rows, at = self.columns, self.rows, self.columns.at
        gap, ahead = rows - self.before, self.after - rows
        lonely, last = gap > FAR, ahead > AHEAD
        own_last = np.maximum(self.before, 0)
        shape = columns.shape.copy()
        shape[:, 0] = np.log1p(shape[:, 0]) / 6
        shape[:, 1] = np.log1p(shape[:, 1]) / 4
        lately = self.spoke.before(self.author, rows) - self.spoke.before(self.author, np.maximum(rows - FAR, 0))
        named, will_be_named = self.was_named.around(self.author, rows)
        features = [
            columns.lead == 2, columns.lead == 1, columns.lead == -1, columns.named[:, 0] != NOBODY,
            far(gap), lonely, gap == 1,
            long(np.where(lonely, 86_400, at - at[own_last])),
            long(at - at[np.maximum(rows - 1, 0)]),
            long(at - at[np.maximum(rows - 50, 0)]),
            far(lately),
            far(rows - named),
            far(np.minimum(ahead, AHEAD)), last, ahead == 1,
            far(np.minimum(will_be_named - rows, AHEAD)),
        ]  # fmt: skip
        return np.concatenate([shape, np.stack(features, 1)], 1, dtype=np.float32)

    def pairs(self, window: Window, chosen: Array, score: Array) -> tuple[Array, Array]:
        """[len(PAIR), r · CANDIDATES] of the chosen columns of a window, and which messages those are [r, CANDIDATES];
        what is before the log is message 0."""
        shown = len(chosen)
        one = np.repeat(np.arange(window.first, window.first + shown), CANDIDATES)
        other = one - WINDOW + chosen.ravel()
        flat = (one - window.first) * WINDOW + chosen.ravel()
        other = np.maximum(other, 0)
        features = np.empty((len(PAIR), len(one)), np.float32)
        signs, more = window.signs.ravel()[flat], window.more.ravel()[flat]
        for bit in range(8):
            features[bit] = (signs >> bit) & 1
        for bit in range(_BITS - 8):
            features[8 + bit] = (more >> bit) & 1
        at = self.columns.at
        author = self.author[other]
        distance = one - other
        seconds = at[one] - at[other]
        spoken = self.spoke.before(author, one) - self.place[other] - 1
        was_named = self.was_named.before(author, one) - self.was_named.before(author, other + 1)
        own = self.author[one]
        spoken_own = self.place[one] - self.spoke.before(own, other + 1)
        theirs, mine = author * self.people + own, own * self.people + author
        asked, will_ask = self.named_each_other.around(theirs, one)
        told, will_tell = self.named_each_other.around(mine, one)
        common = window.common.ravel()[flat]
        derived = (
            features[5] * (1 - features[1]), features[6] * (1 - features[2]), features[0] * features[4],
            far(distance), distance == 1, distance == 2, long(seconds), seconds < 60,
            far(spoken), spoken == 0, spoken == 1, far(spoken_own), far(one - asked), asked > other,
            one - told <= FAR, will_tell - one <= AHEAD, will_ask - one <= AHEAD,
            far(was_named), was_named == 0,
            common, window.rarest.ravel()[flat], common == 0, score.ravel() / 5,
            rank(score).ravel() / CANDIDATES,
        )  # fmt: skip
        for row, feature in enumerate(derived, _BITS):
            features[row] = feature
        return features, other.reshape(shown, CANDIDATES)
