"""The learnt model as a whole: counts for the first look, word vectors and two networks, read from one small file.

Training and run time go through the same functions here, so that a network is asked what it was taught.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from safetensors.numpy import load_file
from threadpoolctl import ThreadpoolController

from tuning.disentangle.columns import Columns
from tuning.disentangle.evidence import Evidence
from tuning.disentangle.network import Network
from tuning.disentangle.structure import SECOND_PAIR, Links, Structure
from tuning.disentangle.window import CANDIDATES, WINDOW, Window, choose, look

WEIGHTS = Path(__file__).with_name("weights.safetensors")
OUTSIDE = -1e4
"""The score of a candidate from before the log."""

Array = npt.NDArray[Any]


@dataclass(frozen=True, slots=True)
class Question:
    """Rows `first` … `first + r - 1`, the k messages `others` [r, k] that each may answer, which of them are `outside`
    [r, k] the log, `pairs` [features, r · k] about the two, and `alone` [r, s] about answering none."""

    first: int
    others: Array
    outside: Array
    pairs: Array
    alone: Array


class Model:
    """Made of `counts`, `words` (UTF-8, a word a line), `vectors` [words, d], `first.*` and `second.*` of Network."""

    def __init__(self, tensors: Mapping[str, Array]) -> None:
        listed = tensors["words"].tobytes().decode("utf-8").split("\n")
        self.words = {word: number for number, word in enumerate(listed)}
        self._counts = tensors["counts"].astype(np.float32)
        self._vectors = tensors["vectors"].astype(np.float32)
        # Matrices this small are slower on several threads, which wait for each other in a loop that burns a core.
        self._threads = ThreadpoolController()
        self._first, self._second = (
            Network({name.split(".")[1]: value for name, value in tensors.items() if name.startswith(which)})
            for which in ("first.", "second.")
        )

    @staticmethod
    @cache
    def shipped() -> Model:
        """The one that comes with Parlance."""
        return Model(load_file(WEIGHTS))

    def judge(
        self, evidence: Evidence, known: Links, first: int, end: int, told: Array
    ) -> tuple[Question, Array, Links]:
        """The last question asked of these rows and its scores [r, k + 1], the last of answering none.

        `known` are the links of the rows before `first`; the links of all rows until `end` come back. `told` [n] is
        what a message answers for certain, -1 where nobody said.
        """
        question, window = first_question(evidence, self._counts, first, end)
        with self._threads.limit(limits=1, user_api="blas"):
            scores = ask(self._first, question, evidence.alone)
        links = known.followed_by(Links.likeliest(scores, question.others, np.arange(first, end)))
        links = links.told(told[:end])
        messages = messages_of(evidence, self._vectors)
        question = second_question(evidence, messages, question, window, scores, links)
        with self._threads.limit(limits=1, user_api="blas"):
            return question, ask(self._second, question, messages), links


def ask(network: Network, question: Question, messages: Array) -> Array:
    """The network's scores [r, k + 1]."""
    scores = network.scores(question.pairs, messages, question.first, question.others, question.alone)
    scores[:, :-1][question.outside] = OUTSIDE
    return scores


def messages_of(evidence: Evidence, vectors: Array) -> Array:
    """[n, d + features]: the words of each message in one vector, then what else is known of it alone."""
    return np.concatenate([sentences(evidence.columns, vectors), evidence.alone], 1)


def sentences(columns: Columns, vectors: Array) -> Array:
    """[n, d]: each message's word vectors, summed and divided by the root of their number."""
    summed = np.zeros((len(columns), vectors.shape[1]), np.float32)
    rows, starts, counts = np.unique(columns.word_row, return_index=True, return_counts=True)
    if len(rows):
        summed[rows] = np.add.reduceat(vectors[columns.word], starts, 0) / np.sqrt(counts)[:, None]
    return summed


def first_question(evidence: Evidence, counts: Array, first: int, end: int) -> tuple[Question, Window]:
    """Which of the candidates is it, and the window they are from."""
    window = look(evidence.columns, first, end)
    chosen, score = choose(window, counts)
    pairs, others = evidence.pairs(window, chosen, score)
    outside = chosen + np.arange(first, end)[:, None] < WINDOW
    return Question(first, others, outside, pairs, evidence.alone[first:end]), window


def second_question(
    evidence: Evidence, messages: Array, asked: Question, window: Window, scores: Array, links: Links
) -> Question:
    """Which of the finalists is it, now that the first answers around are known."""
    structure = Structure(evidence, links)
    kept = structure.finalists(scores)
    shown = len(kept)
    known = len(asked.pairs)
    pairs = np.empty((known + len(SECOND_PAIR), kept.size), np.float32)
    np.take(asked.pairs, (np.arange(shown)[:, None] * CANDIDATES + kept).ravel(), 1, pairs[:known])
    structure.pairs(scores, asked.others, kept, window, pairs[known:])
    alone = np.concatenate([messages[asked.first : asked.first + shown], structure.alone(scores, asked.first)], 1)
    return Question(
        asked.first,
        np.take_along_axis(asked.others, kept, 1),
        np.take_along_axis(asked.outside, kept, 1),
        pairs,
        alone,
    )
