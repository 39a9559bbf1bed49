"""Degeneration: answers that go round in circles, never end, or say nothing. Works on plain text."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise

from serving.answer import Finished
from tuning.gate.report import Degenerate

LIMIT = 0.1
"""Greatest allowed share of degenerate answers."""


def repeats(text: str) -> bool:
    """Whether a text goes round in circles: the same four words three times, or one word five times in a row."""
    words = text.lower().split()
    run = 1
    for before, after in pairwise(words):
        run = run + 1 if before == after else 1
        if run >= 5:
            return True
    seen: dict[tuple[str, ...], int] = {}
    for start in range(len(words) - 3):
        gram = tuple(words[start : start + 4])
        seen[gram] = seen.get(gram, 0) + 1
        if seen[gram] >= 3:
            return True
    return False


def measure_degenerate(answers: Sequence[Finished]) -> Degenerate:
    """Count. An answer that is cut by the length limit never ended."""
    repeating = endless = empty = bad = 0
    for answer in answers:
        circles, unended, nothing = repeats(answer.text), answer.finish_reason == "length", not answer.text.strip()
        repeating, endless, empty = repeating + circles, endless + unended, empty + nothing
        bad += circles or unended or nothing
    share = bad / len(answers) if answers else 1.0
    return Degenerate(share=share, answers=len(answers), repeating=repeating, endless=endless, empty=empty, limit=LIMIT)
