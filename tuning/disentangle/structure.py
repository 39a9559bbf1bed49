"""The second look: what the likeliest answers around a message say about its own.

Every message of a stretch has been given its likeliest answer by the first network. From these links follows what
answers what, in which conversation a candidate stands and who takes part; the few candidates left are judged once more.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from tuning.disentangle.evidence import AHEAD, Evidence, far, rank
from tuning.disentangle.occurrences import Occurrences
from tuning.disentangle.window import CANDIDATES, WINDOW, Window

FINALISTS = 8
DEEPEST = 6
"""Doublings of a chain of answers: a conversation is followed back through 64 of them."""
SECOND_PAIR = (
    "likely", "behind the best", "against none", "rank", "is likeliest", "author's share", "share of the author",
    "begins", "sure of its own", "answers one", "answers its author", "answers one's own last", "own last answers it",
    "answers what own last answers", "same conversation as own last", "answers to it", "own answers to it",
    "later answers to it", "its author's answers to it", "its author will answer", "is its conversation's last",
    "since its conversation's last", "more in its conversation", "one took part", "one took part since",
    "one will go on",
    "in common with what it answers", "in common with what came after",
)  # fmt: skip
SECOND_ALONE = ("begins", "likeliest", "lead", "answers to come", "own answers to come", "margin")

Array = npt.NDArray[Any]


def softmax(scores: Array) -> Array:
    """Along the last axis."""
    powers: Array = np.exp(scores - scores.max(-1, keepdims=True))
    powers /= powers.sum(-1, keepdims=True)
    return powers


@dataclass(frozen=True, slots=True)
class Links:
    """The likeliest answer of each message of a stretch: `parent` [n], itself where it answers none, how `sure` [n]
    that is, and how likely it is that the message `begins` [n] a conversation."""

    parent: Array
    sure: Array
    begins: Array

    @classmethod
    def none(cls) -> Links:
        """Of no message."""
        return cls(np.zeros(0, np.int64), np.zeros(0, np.float32), np.zeros(0, np.float32))

    @classmethod
    def likeliest(cls, scores: Array, candidates: Array, rows: Array) -> Links:
        """From scores [r, k + 1], the last one that of answering none."""
        likely = softmax(scores)
        best = likely.argmax(1)
        choices = np.concatenate([candidates, rows[:, None]], 1)
        every = np.arange(len(rows))
        return cls(choices[every, best], likely[every, best], likely[:, -1])

    def followed_by(self, other: Links) -> Links:
        """Both in a row."""
        mine, theirs = (self.parent, self.sure, self.begins), (other.parent, other.sure, other.begins)
        return Links(*(np.concatenate(pair) for pair in zip(mine, theirs, strict=True)))

    def told(self, answered: Array) -> Links:
        """With what messages answer for certain; -1 where nobody said."""
        said = answered >= 0
        return Links(
            np.where(said, answered, self.parent), np.where(said, 1, self.sure), np.where(said, 0, self.begins)
        )

    def since(self, row: int) -> Links:
        """Without the first `row` messages; what answered one of those answers none now."""
        own = np.arange(len(self.parent) - row)
        parent = self.parent[row:] - row
        return Links(np.where(parent < 0, own, parent), self.sure[row:], self.begins[row:])


class Structure:
    """What the links of a stretch say, for its messages' candidates."""

    def __init__(self, evidence: Evidence, links: Links) -> None:
        self._evidence = evidence
        length, rows = evidence.length, evidence.rows
        undecided = Links(rows, np.zeros(length, np.float32), np.zeros(length, np.float32)).since(len(links.parent))
        undecided = Links(undecided.parent + len(links.parent), undecided.sure, undecided.begins)
        self._links = links = links.followed_by(undecided)
        parent, author = links.parent, evidence.author
        root = parent
        for _ in range(DEEPEST):
            root = root[root]
        self._root = root
        linked = parent != rows
        child, of = rows[linked], parent[linked]
        self._answers = Occurrences(of, child, length)
        self._own_answers = Occurrences(of[author[of] == author[child]], child[author[of] == author[child]], length)
        self._answers_by = Occurrences(of * evidence.people + author[child], child, length)
        self._talk = Occurrences(root, rows, length)
        self._talk_by = Occurrences(root * evidence.people + author, rows, length)
        self._first_answer = self._answers.before(rows, rows)
        self._first_own_answer = self._own_answers.before(rows, rows)
        self._place_in_talk = self._talk.before(root, rows)

    def finalists(self, scores: Array) -> Array:
        """[r, FINALISTS] places of the candidates that are left, farthest first."""
        kept = np.argpartition(scores[:, :CANDIDATES], CANDIDATES - FINALISTS, axis=1)[:, CANDIDATES - FINALISTS :]
        kept.sort(axis=1)
        return kept

    def pairs(self, scores: Array, candidates: Array, kept: Array, window: Window, table: Array) -> None:
        """Fills `table` [len(SECOND_PAIR), r · FINALISTS]."""
        evidence, links = self._evidence, self._links
        shown = len(kept)
        first = window.first
        likely = softmax(scores)
        every = np.arange(shown)
        one = np.repeat(every + first, FINALISTS)
        other = np.take_along_axis(candidates, kept, 1).ravel()
        share = np.take_along_axis(likely, kept, 1)
        score = np.take_along_axis(scores, kept, 1)
        author, own = evidence.author[other], evidence.author[one]
        by_author = evidence.author[candidates[:, None, :]] == evidence.author[other.reshape(shown, -1, 1)]
        total = (by_author * likely[:, None, :CANDIDATES]).sum(2)
        parent, root = links.parent, self._root
        answered, talk = parent[other], root[other]
        linked = answered != other
        own_last = np.maximum(evidence.before[one], 0)
        spoke = evidence.before[one] >= 0
        by_own = other * evidence.people + own
        since = self._answers_by.last(by_own, one)
        _, next_turn = self._answers_by.around(one * evidence.people + author, one)
        in_talk = self._talk.before(talk, one)
        newest = self._talk.last_of(talk, in_talk)
        took_part, will_go_on = self._talk_by.around(talk * evidence.people + own, one)
        ahead = np.minimum(one + AHEAD, evidence.length)
        count = self._answers.before(other, one) - self._first_answer[other]
        later = self._answers.before(other, ahead) - self._answers.before(other, one + 1)
        selfish = self._own_answers.before(other, one) - self._first_own_answer[other]
        common = window.common
        back, next_back = one - answered, one - np.minimum(evidence.after[other], one)
        features = (
            share.ravel(), np.clip(score - scores.max(1, keepdims=True), -8, 0).ravel() / 3,
            np.clip(score - scores[:, -1:], -8, 8).ravel() / 3,
            rank(score).ravel() / FINALISTS,
            (share >= likely.max(1, keepdims=True)).ravel(),
            total.ravel(), (share / np.maximum(total, 1e-3)).ravel(),
            links.begins[other], links.sure[other],
            linked * links.sure[other] * (evidence.author[answered] == own),
            linked * links.sure[other] * (evidence.author[answered] == author),
            spoke * linked * links.sure[other] * (answered == own_last),
            spoke * links.sure[own_last] * (parent[own_last] == other) * (own_last != other),
            spoke & linked & (parent[own_last] == answered), spoke & (root[own_last] == talk),
            np.log1p(count), since >= 0, np.log1p(later), np.log1p(selfish), next_turn - one <= AHEAD,
            newest == other, far(one - newest),
            far(in_talk - self._place_in_talk[other] - 1),
            took_part >= 0, took_part > other,
            will_go_on - one <= AHEAD,
            _shared(common, one - first, back), _shared(common, one - first, next_back),
        )  # fmt: skip
        for row, feature in enumerate(features):
            table[row] = feature

    def alone(self, scores: Array, first: int) -> Array:
        """[r, len(SECOND_ALONE)]."""
        rows = np.arange(first, first + len(scores))
        likely = softmax(scores)
        ahead = np.minimum(rows + AHEAD, self._evidence.length)
        best = scores[:, :-1].max(1)
        to_come = self._answers.before(rows, ahead) - self._first_answer[rows]
        own_to_come = self._own_answers.before(rows, ahead) - self._first_own_answer[rows]
        ordered = np.sort(likely, 1)
        features = (
            likely[:, -1], ordered[:, -1], np.clip(scores[:, -1] - best, -8, 8) / 3, np.log1p(to_come),
            np.log1p(own_to_come), ordered[:, -1] - ordered[:, -2],
        )  # fmt: skip
        return np.stack(features, 1).astype(np.float32)


def _shared(common: Array, row: Array, back: Array) -> Array:
    """Weight of words in common with the message so far back, 0 where that is itself or outside the window."""
    inside = (back > 0) & (back <= WINDOW)
    return np.where(inside, common[row, np.where(inside, WINDOW - back, 0)], 0)
