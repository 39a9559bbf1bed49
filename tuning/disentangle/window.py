"""The first look: of the WINDOW messages before each one, the CANDIDATES that it may answer.

What stands out about two messages is packed into bits, for all pairs of the window at once; how often a pair with these
bits, so far apart, was an answer was counted in training, and the likeliest pairs stay.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
from numpy.lib.stride_tricks import sliding_window_view

from tuning.disentangle.columns import NAMED, NOBODY, Columns
from tuning.disentangle.occurrences import NEVER

WINDOW = 100
CANDIDATES = 14
SIGNS = (
    "same author", "names them", "is named by them", "their last word", "since one's own last", "names somebody",
    "they name somebody", "a rare word in common", "name the same", "they went on", "they had begun",
    "named them before", "in the log",
)  # fmt: skip
COUNTED = 8
"""Of these signs, those that the counts of the first look know: one byte. The others are in another."""
BUCKETS = 30
RECENT = 400
"""Messages that say how common a word is just now."""
REPEATS = 8
RARE = 0.5
IN_LOG = 16
"""The last sign: there is such a message. Where the log has only just begun there is none."""
NO_CHANCE = -30.0
_ROW = 21
_TOKEN = (1 << (62 - _ROW)) - 1
_FRACTION = 1 / 64  # words' weights are whole multiples, so that sums do not depend on their order

Array = npt.NDArray[Any]


@dataclass(frozen=True, slots=True)
class Window:
    """Rows `first` … `first + r - 1` of a log. Column j is the message WINDOW - j before. All are [r, WINDOW]: `signs`
    and `more` bits of SIGNS, `common` and `rarest` the weight of all words in common, and of the heaviest."""

    first: int
    signs: Array
    more: Array
    common: Array
    rarest: Array


def bucket_of_column() -> Array:
    """[WINDOW] → 0 … BUCKETS - 1: each distance to 20 alone, then by eights."""
    distance = WINDOW - 1 - np.arange(WINDOW)
    return np.where(distance < 20, distance, 20 + np.minimum((distance - 20) // 8, 9)).astype(np.int32)


def neighbours(author: Array) -> tuple[Array, Array]:
    """For each message its author's message before and after; far outside where there is none."""
    before, after = np.full(len(author), NEVER, np.int32), np.full(len(author), -NEVER, np.int32)
    order = np.argsort(author, kind="stable").astype(np.int32)
    again = author[order[1:]] == author[order[:-1]]
    before[order[1:][again]] = order[:-1][again]
    after[order[:-1][again]] = order[1:][again]
    return before, after


def behind(column: Array, first: int, end: int, fill: float) -> Array:
    """[end - first, WINDOW]: what the column holds in the rows before each row, as a view."""
    start = max(first - WINDOW, 0)
    padding = np.full(WINDOW - (first - start), fill, column.dtype)
    return sliding_window_view(np.concatenate([padding, column[start : end - 1]]), WINDOW)


def look(columns: Columns, first: int, end: int) -> Window:
    """The window of each of these rows."""
    rows = np.arange(first, end, dtype=np.int32)[:, None]
    author, named = columns.author, columns.named
    before, after = neighbours(author)
    whose = behind(author, first, end, -7)
    mine = author[first:end, None]
    somebody = named[:, 0] != NOBODY
    same = author[1:] == author[:-1]
    common, rarest = _in_common(columns, first, end)

    asked = np.where(named == NOBODY, -9, named)[first:end, :, None]
    theirs = [behind(named[:, one], first, end, NOBODY) for one in range(NAMED)]
    own_last = before[first:end]
    earlier = np.where((own_last >= 0)[:, None], named[np.maximum(own_last, 0)], NOBODY)
    earlier = np.where(earlier == NOBODY, -9, earlier)[:, :, None]
    signs = _packed(
        whose == mine,
        (whose == asked[:, 0]) | (whose == asked[:, 1]) | (whose == asked[:, 2]),
        (theirs[0] == mine) | (theirs[1] == mine) | (theirs[2] == mine),
        behind(after, first, end, 0) >= rows,
        np.arange(-WINDOW, 0, dtype=np.int32) > own_last[:, None] - rows,
        np.broadcast_to(somebody[first:end, None], whose.shape),
        behind(somebody, first, end, False),
        rarest > RARE,
    )
    more = _packed(
        (theirs[0] == asked[:, 0]) | (theirs[1] == asked[:, 0]) | (theirs[0] == asked[:, 1]),
        behind(np.append(same, False), first, end, False),
        behind(np.append(False, same), first, end, False),
        (whose == earlier[:, 0]) | (whose == earlier[:, 1]),
        np.arange(-WINDOW, 0, dtype=np.int32) + rows >= 0,
    )
    return Window(first, signs, more, common, rarest)


def choose(window: Window, counts: Array) -> tuple[Array, Array]:
    """Columns [r, CANDIDATES] of the window, farthest first, and their scores. `counts` [2**COUNTED, BUCKETS]."""
    score = counts.ravel()[window.signs * np.int32(BUCKETS) + bucket_of_column()]
    score[window.more < IN_LOG] = NO_CHANCE
    chosen = np.argpartition(score, WINDOW - CANDIDATES, axis=1)[:, WINDOW - CANDIDATES :]
    chosen.sort(axis=1)
    return chosen, np.take_along_axis(score, chosen, 1)


def _packed(*signs: Array) -> Array:
    """Up to eight truths a pair, in one byte."""
    packed = signs[0].view(np.uint8).copy()
    for bit, sign in enumerate(signs[1:], 1):
        packed |= (np.ascontiguousarray(sign).view(np.uint8) << bit).astype(np.uint8, copy=False)
    return packed


def _in_common(columns: Columns, first: int, end: int) -> tuple[Array, Array]:
    """Weights of words in common, the sum and the greatest; a word weighs the less the more it was used lately."""
    key = np.sort(((columns.token & _TOKEN) << _ROW) | columns.token_row)
    row = key & ((1 << _ROW) - 1)
    lately = np.arange(len(key)) - np.searchsorted(key, key - np.minimum(row, RECENT))
    weight = (np.log(RECENT / (1.0 + lately)) / np.log(RECENT)).astype(np.float32)
    weight = np.round(np.maximum(weight, 0) / _FRACTION) * _FRACTION
    size = (end - first) * WINDOW
    greatest = np.zeros(size, np.float32)
    places, weights = [], []
    for back in range(1, REPEATS + 1):
        apart = key[back:] - key[:-back]  # of one word: by how many rows; else far more
        pair = np.nonzero((apart <= WINDOW) & (row[back:] >= first) & (row[back:] < end))[0]
        places.append((row[back:][pair] - first) * WINDOW + WINDOW - apart[pair])
        weights.append(weight[back:][pair])
        np.maximum.at(greatest, places[-1], weights[-1])
    total = np.bincount(np.concatenate(places), np.concatenate(weights), size).astype(np.float32)
    return total.reshape(-1, WINDOW), greatest.reshape(-1, WINDOW)
