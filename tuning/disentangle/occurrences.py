"""Where in a log something occurred: counts and neighbours of a key by position, for arrays of questions at once."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

Array = npt.NDArray[Any]
NEVER = -(1 << 20)
"""The position before all others: as far away as anything can be."""


class Occurrences:
    """Keys (non-negative whole numbers) at positions 0 … `length` - 1. Answers have the shape of the question."""

    def __init__(self, keys: Array, positions: Array, length: int) -> None:
        self._span = length + 1
        self._sorted = np.sort(keys.astype(np.int64) * self._span + positions)

    def before(self, keys: Array, positions: Array) -> Array:
        """How many of this key stand before this position, counted from a place of the key's own."""
        return np.searchsorted(self._sorted, keys.astype(np.int64) * self._span + positions)

    def last(self, keys: Array, positions: Array) -> Array:
        """The last position of this key before this one, or NEVER."""
        wanted = keys.astype(np.int64) * self._span
        at = np.searchsorted(self._sorted, wanted + positions) - 1
        found = (self._sorted[at] if len(self._sorted) else np.full(at.shape, NEVER)) - wanted
        return np.where((at >= 0) & (found >= 0), found, NEVER)

    def next(self, keys: Array, positions: Array) -> Array:
        """The first position of this key after this one, or -NEVER."""
        wanted = keys.astype(np.int64) * self._span
        at = np.searchsorted(self._sorted, wanted + positions, side="right")
        there = at < len(self._sorted)
        found = (self._sorted[np.where(there, at, 0)] if len(self._sorted) else np.full(at.shape, -NEVER)) - wanted
        return np.where(there & (found < self._span), found, -NEVER)
