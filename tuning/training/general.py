"""What a model must not forget while it learns: general exchanges, some of them watched and the others replayed, and
texts that it wrote itself.

Promises the same for the same settings, and that nothing is watched and replayed at once. Knows files and rows, neither
steps nor losses.
"""

from __future__ import annotations

import math
import random
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from serving.prompt import ChatTokenizer
from tuning.training.batches import Row, read_rows
from tuning.training.memory import InParts
from tuning.training.own_words import AT_ONCE, OWN_TEXTS, own_words
from tuning.training.run import GENERAL_REPLAY, TrainingRun

WATCHED_SHARE = 0.2
"""Of the general conversations, how many are never replayed but watched: forgetting is measured on them."""


@dataclass(frozen=True, slots=True)
class General:
    """`watched`, `replayed`: rows of general conversations; `own`: rows that the untouched model wrote."""

    watched: list[Row]
    replayed: list[Row]
    own: list[Row]


def general_for(
    run: TrainingRun, base: Any, tokenizer: ChatTokenizer, learnt: int, in_parts: InParts, pause: Callable[[], None]
) -> General:
    """What `run` holds `base`, the untouched model, to while it learns `learnt` rows. `pause` is called in between."""
    file = Path(run.replay) if run.replay else GENERAL_REPLAY
    rows, _ = read_rows(file, tokenizer, "", run.context)
    random.Random("general").shuffle(rows)  # noqa: S311
    watched = max(1, round(len(rows) * WATCHED_SHARE)) if rows else 0
    turns = learnt * run.epochs * run.own_share / (1 - run.replay_share - run.own_share)
    texts = min(OWN_TEXTS, math.ceil(turns))
    own = in_parts.fit(
        lambda count: own_words(base, tokenizer, texts, run.context, run.seed, pause, count), min(AT_ONCE, texts)
    )
    return General(rows[:watched], rows[watched:] if run.replay_share else [], own)
