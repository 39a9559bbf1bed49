"""Who answers whom, as a stream: messages go in one by one, and come out with what each of them answers.

Memory is bounded: at most BLOCK + KEEP messages are held, however long the log is. A message's answer is known once
AHEAD messages twice over have followed it in its block, or the log has ended. What was said to be a reply stays one.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Hashable, Sequence
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from tuning.disentangle.columns import Reader
from tuning.disentangle.evidence import AHEAD, Evidence
from tuning.disentangle.message import Message
from tuning.disentangle.model import Model, Question
from tuning.disentangle.structure import DEEPEST, Links, softmax

BLOCK = 2048
KEEP = 1024
"""Messages before a block that are looked back at."""
MOST_KEYS = 65_536
"""Messages back that a known reply is still found at."""
ALSO = 0.36
"""A second message is answered too where that is likelier than this: half the F1 to be expected, at which one more link
neither raises nor lowers it."""


Array = npt.NDArray[Any]


class Link(NamedTuple):
    """Message number `message` of the stream answers number `answers`, or none where that is itself. `also`: another
    one of the same conversation that it answers too. `sure`: how likely `answers` is right, 0 … 1."""

    message: int
    answers: int
    also: int | None
    sure: float


class Linker:
    """One chat's messages in time order, notices left out, numbered from 0 as they come."""

    def __init__(self, model: Model | None = None) -> None:
        self._model = model or Model.shipped()
        self._reader = Reader(self._model.words)
        self._waiting: list[Message] = []
        self._numbers: OrderedDict[Hashable, int] = OrderedDict()
        self._told: list[int] = []
        self._taken = 0
        self._base = 0  # the number of the first row that is held
        self._columns = self._reader.read([])
        self._links = Links.none()

    def take(self, message: Message) -> list[Link]:
        """One more message; the links that are known now, in order."""
        number = self._taken
        self._taken += 1
        self._told.append(-1 if message.answers is None else self._numbers.get(message.answers, -1))
        if message.key is not None:
            self._numbers[message.key] = number
            if len(self._numbers) > MOST_KEYS:
                self._numbers.popitem(last=False)
        self._waiting.append(message)
        return self._decide(last=False) if len(self._waiting) == BLOCK else []

    def finish(self) -> list[Link]:
        """The links of all that are still open. No message can be taken after it."""
        return self._decide(last=True)

    def _decide(self, *, last: bool) -> list[Link]:
        self._columns = self._columns.followed_by(self._reader.read(self._waiting))
        self._waiting.clear()
        length, first = len(self._columns), len(self._links.parent)
        end = length if last else length - AHEAD
        if end <= first:
            return []
        evidence = Evidence(self._columns)
        told = np.array(self._told, np.int64)
        rows = np.where(told >= self._base, told - self._base, -1)
        question, scores, links = self._model.judge(evidence, self._links, first, end, rows)
        done = end if last else end - AHEAD
        found = self._read_off(question, scores[: done - first], rows)
        self._forget(links, done)
        return found

    def _read_off(self, question: Question, scores: Array, told: Array) -> list[Link]:
        """The links that these scores mean."""
        likely = softmax(scores)
        rows = np.arange(question.first, question.first + len(likely))
        choices = np.concatenate([question.others[: len(likely)], rows[:, None]], 1)
        every = np.arange(len(likely))
        best = likely.argmax(1)
        answers = choices[every, best]
        sure = likely[every, best].copy()
        likely[every, best] = 0
        likely[:, -1] = 0
        likely[answers == rows] = 0
        talk = self._talks(np.where(told[rows] >= 0, told[rows], answers))
        likely[:, :-1][talk[choices[:, :-1]] != talk[rows][:, None]] = 0
        second = likely.argmax(1)
        also = np.where(likely[every, second] > ALSO, choices[every, second], -1)
        number = np.array(self._told, np.int64)[rows]
        said = number >= 0
        answers = np.where(said, number, answers + self._base)
        also = np.where(said | (also < 0), -1, also + self._base)
        columns = (rows + self._base, answers, also, np.where(said, 1.0, sure))
        return [
            Link(message, answered, None if other < 0 else other, certain)
            for message, answered, other, certain in zip(*(column.tolist() for column in columns), strict=True)
        ]

    def _talks(self, answers: Array) -> Array:
        """Which conversation each message is of, by the links of before and these `answers` of the rows after them."""
        talk: Array = np.concatenate([self._links.parent, answers])
        for _ in range(DEEPEST):
            talk = talk[talk]
        return talk

    def _forget(self, links: Links, done: int) -> None:
        """Keep the links of what is done, and of the rest what the next block looks back at."""
        gone = max(done - KEEP, 0)
        kept = Links(links.parent[:done], links.sure[:done], links.begins[:done])
        self._links = kept.since(gone)
        self._columns = self._columns.since(gone)
        self._told = self._told[gone:]
        self._base += gone


def links(messages: Sequence[Message]) -> list[int]:
    """For each message the index of the one that it answers, its own where it begins a conversation or is a notice."""
    answered = list(range(len(messages)))
    for link in all_links(messages):
        answered[link.message] = link.answers
    return answered


def all_links(messages: Sequence[Message], model: Model | None = None) -> list[Link]:
    """The same with all that is known of each link; notices have none."""
    linker = Linker(model)
    spoken = [index for index, message in enumerate(messages) if not message.notice]
    found = [link for index in spoken for link in linker.take(messages[index])] + linker.finish()
    return [
        Link(spoken[one.message], spoken[one.answers], None if one.also is None else spoken[one.also], one.sure)
        for one in found
    ]
