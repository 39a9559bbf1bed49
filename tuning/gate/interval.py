"""How sure a difference between two losses is: a paired bootstrap over conversations.

Both models are measured on the very same conversations, so conversations are drawn again, with replacement, and the
difference of the mean losses is taken each time; 95 of 100 such differences lie in the interval. The draws are seeded:
the same measurements give the same interval. Knows neither models nor reports.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from tuning.gate.losses import Losses

DRAWS = 2_000
SURE = 0.95
SEED = 20
AT_ONCE = 250
"""Draws held in memory at a time."""


@dataclass(frozen=True, slots=True)
class Interval:
    """Nats per learnt token. Where `low` is above 0, the difference is hardly chance."""

    low: float
    high: float


def gained(before: Losses, after: Losses) -> Interval:
    """By how much the loss fell from `before` to `after`, both over the same conversations in the same order."""
    difference = np.asarray(before.sums) - np.asarray(after.sums)
    tokens = np.asarray(after.tokens_each, np.float64)
    count = len(tokens)
    drawn = np.random.default_rng(SEED)
    gains: list[float] = []
    for start in range(0, DRAWS, AT_ONCE):
        times = drawn.multinomial(count, np.full(count, 1 / count), size=min(AT_ONCE, DRAWS - start))
        gains.extend((times @ difference / (times @ tokens)).tolist())
    low, high = np.quantile(gains, [(1 - SURE) / 2, (1 + SURE) / 2])
    return Interval(float(low), float(high))
