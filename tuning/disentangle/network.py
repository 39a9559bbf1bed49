"""A network of two hidden layers that scores candidates, in numpy. Shapes and weights come from a file; see train.py.

What belongs to one message alone goes through the first layer once a message, not once a pair: most of the speed.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import numpy.typing as npt

Array = npt.NDArray[Any]
AT_ONCE = 128
"""Rows whose hidden layers fit into a processor's own memory."""


class Network:
    """Weights, all float32: `pair` [features + d, h], `one` and `other` [m, h], `first_bias` [h], `second` [h, g],
    `second_bias`, `last` [g], `last_bias`; for answering none `none` [s, g], `none_bias`, `none_last` [g],
    `none_last_bias`. d: how many of a message's first numbers are also multiplied, one's with the other's."""

    def __init__(self, weights: Mapping[str, Array]) -> None:
        self._weights = {name: np.ascontiguousarray(value, np.float32) for name, value in weights.items()}

    def scores(self, pairs: Array, messages: Array, first: int, others: Array, alone: Array) -> Array:
        """[r, k + 1], the last of answering none. `pairs` [features, r · k], `messages` [n, m] of the whole stretch,
        rows `first` … `first + r - 1` ask, `others` [r, k] are asked about, `alone` [r, s]."""
        weights = self._weights
        features = len(pairs)
        multiplied = len(weights["pair"]) - features
        told = messages @ weights["other"]
        asking = messages[first : first + len(others)] @ weights["one"] + weights["first_bias"]
        vectors = np.ascontiguousarray(messages[:, :multiplied])
        count, each = others.shape
        scores = np.empty((count, each + 1), np.float32)
        for start in range(0, count, AT_ONCE):
            rows = slice(start, min(start + AT_ONCE, count))
            asked = others[rows].ravel()
            hidden = pairs[:, rows.start * each : rows.stop * each].T @ weights["pair"][:features]
            if multiplied:
                product = vectors[asked].reshape(-1, each, multiplied)
                product *= vectors[first + rows.start : first + rows.stop, None]
                hidden += product.reshape(-1, multiplied) @ weights["pair"][features:]
            hidden += told[asked]
            hidden.reshape(-1, each, hidden.shape[1])[...] += asking[rows, None]
            np.maximum(hidden, 0, out=hidden)
            deeper = hidden @ weights["second"]
            deeper += weights["second_bias"]
            np.maximum(deeper, 0, out=deeper)
            scores[rows, :each] = (deeper @ weights["last"] + weights["last_bias"]).reshape(-1, each)
        none = np.maximum(alone @ weights["none"] + weights["none_bias"], 0)
        scores[:, each] = none @ weights["none_last"] + weights["none_last_bias"]
        return scores
