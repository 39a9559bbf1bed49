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
        edge = 1 << 62  # no key's, before all and after all
        self._fenced = np.concatenate([[-edge], self._sorted, [edge]])

    def before(self, keys: Array, positions: Array) -> Array:
        """How many of this key stand before this position, counted from a place of the key's own."""
        return np.searchsorted(self._sorted, keys * self._span + positions)

    def last(self, keys: Array, positions: Array) -> Array:
        """The last position of this key before this one, or NEVER."""
        return self.last_of(keys, self.before(keys, positions))

    def last_of(self, keys: Array, before: Array) -> Array:
        """The same, from what `before` said."""
        found = self._fenced[before] - keys * self._span
        return np.where(found >= 0, found, NEVER)

    def around(self, keys: Array, positions: Array) -> tuple[Array, Array]:
        """The last position of this key before this one, or NEVER, and the first after it, or -NEVER."""
        start = keys * self._span
        before = np.searchsorted(self._sorted, start + positions)
        last, here = self._fenced[before] - start, self._fenced[before + 1] - start
        after = before + 1 + (here == positions)
        following = self._fenced[after] - start
        return np.where(last >= 0, last, NEVER), np.where(following < self._span, following, -NEVER)
