"""The report: what the gate measured, as data. Kept with the version and shown to people; scripts rely on its keys.

Losses are in nats per learnt token. Knows nothing of how the figures came about.
"""

from __future__ import annotations

import math

from pydantic import BaseModel, ConfigDict


class _Part(BaseModel):
    model_config = ConfigDict(extra="forbid")


class Gain(_Part):
    """By how much the loss is lower, in nats per learnt token: 95 of 100 times between `low` and `high`."""

    low: float
    high: float


class HeldOut(_Part):
    """Loss on conversations that training did not see. `in_service` is None where no version serves yet."""

    base: float
    in_service: float | None
    version: float
    conversations: int
    tokens: int
    over_base: Gain
    over_in_service: Gain | None

    @property
    def better_than_base(self) -> float:
        """Share of the untouched model's loss that is gone; negative where it grew."""
        return 1 - self.version / self.base


class General(_Part):
    """Loss on short general exchanges that have nothing to do with the community."""

    base: float
    version: float
    exchanges: int
    tokens: int
    limit: float
    """Greatest allowed growth, as a share."""

    @property
    def growth(self) -> float:
        """By which share the loss grew; negative where it fell."""
        return self.version / self.base - 1


class Parity(_Part):
    """Whether the engine computes what the trainer computed: token log-probabilities compared, same rendering."""

    mean_difference: float
    largest_difference: float
    tokens: int
    same_rendering: bool
    limit: float
    tokens_needed: int


class Degenerate(_Part):
    """Answers that repeat themselves, never end, or are empty."""

    share: float
    answers: int
    repeating: int
    endless: int
    empty: int
    limit: float


class Recitation(_Part):
    """Whether it gives away what it read, asked with `questions` of its own training set: the most tokens in a row that
    an answer has in common with another person's message, and private details of this log that an answer holds."""

    questions: int
    longest: int
    limit: int
    """Tokens in a row from which on it is recitation."""
    recited: int
    secrets_known: int
    secrets_told: int


class Sample(_Part):
    """One question and what each model answered."""

    question: str
    base: str
    in_service: str | None
    version: str


class Report(_Part):
    """Everything that the gate measured, its verdict, and why in sentences."""

    held_out: HeldOut
    general: General
    parity: Parity
    degenerate: Degenerate
    recitation: Recitation
    samples: list[Sample]
    verdict: str
    reasons: list[str]
    sentence: str


def percent(share: float) -> str:
    """A share in words for people: 0.314 → '31%'; small ones keep one digit."""
    value = share * 100
    if math.isnan(value):
        return "?"
    return f"{value:.1f}%" if abs(value) < 10 else f"{value:.0f}%"
