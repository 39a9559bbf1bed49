"""Messages as columns of numbers: who spoke, when, whom they named, which words. One row a message, notices left out.

The one loop over text that the model has; everything after it is numpy. A name is found as a word of its own, at the
start or anywhere, with or without “@”, by its first word where it has several. Words are what stands between spaces, in
scripts that use none between pairs of letters. Knows no model but the list of words that it has learnt.
"""

from __future__ import annotations

import re
from collections.abc import Hashable, Mapping, Sequence
from dataclasses import dataclass, fields
from typing import Any

import numpy as np
import numpy.typing as npt

from tuning.disentangle.message import Message

NAMED = 3
"""Names of one message that are kept."""
NOBODY = -1
MARKS = "!\"#$%&'()*+,-./:;<=>?@[\\]^_`{|}~…‥。，、？！；：“”‘’«»¿¡؟،।"
MOST_WORDS = 40
MOST_LETTERS = 400
MOST_NAMES = 20_000
"""Names remembered, by who spoke last: a room may have any number of people."""
MOST_CORES = 100_000
SHAPE = (
    "letters",
    "words",
    "short",
    "asks",
    "ends asking",
    "link",
    "command",
    "trails off",
    "exclaims",
    "calls somebody",
)

Array = npt.NDArray[Any]
_ASKING = frozenset("?？؟")
_NONE = (NOBODY,) * NAMED
_UNSPACED = re.compile(r"[\u0e00-\u0eff\u1000-\u109f\u1780-\u17ff\u3040-\u30ff\u3400-\u9fff\uf900-\ufaff]{2,}")


@dataclass(frozen=True, slots=True)
class Columns:
    """n messages. `author` [n], `at` [n] seconds, `named` [n, NAMED] authors or NOBODY, `lead` [n]: 2 where the message
    begins with a name and a colon or comma, 1 with a name alone, -1 with what may be a name of somebody unknown.
    `shape` [n, len(SHAPE)]. The words of all messages in a row: `token` what they are, `token_row` whose; `word` and
    `word_row` for those that were learnt."""

    author: Array
    at: Array
    named: Array
    lead: Array
    shape: Array
    token: Array
    token_row: Array
    word: Array
    word_row: Array

    def __len__(self) -> int:
        return len(self.author)

    def since(self, row: int) -> Columns:
        """Without the first `row` messages."""
        kept: dict[str, Array] = {}
        for one in fields(self):
            column = getattr(self, one.name)
            if one.name in ("token", "word"):
                kept[one.name] = column[np.searchsorted(getattr(self, f"{one.name}_row"), row) :]
            elif one.name.endswith("_row"):
                kept[one.name] = column[np.searchsorted(column, row) :] - row
            else:
                kept[one.name] = column[row:]
        return Columns(**kept)

    def followed_by(self, other: Columns) -> Columns:
        """Both in a row."""
        joined: dict[str, Array] = {}
        for one in fields(self):
            mine, theirs = getattr(self, one.name), getattr(other, one.name)
            joined[one.name] = np.concatenate([mine, theirs + len(self) if one.name.endswith("_row") else theirs])
        return Columns(**joined)


class _Cores(dict[str, str]):
    """Words without the marks around them, those met before at once; no more than so many."""

    def __missing__(self, word: str) -> str:
        if len(self) >= MOST_CORES:
            self.clear()
        core = self[word] = word.strip(MARKS)
        return core


class Reader:
    """Reads messages one after another; remembers who is called what."""

    def __init__(self, words: Mapping[str, int]) -> None:
        self._words = words
        self._authors: dict[Hashable, int] = {}
        self._names: dict[str, int] = {}
        self._cores = _Cores()

    def read(self, messages: Sequence[Message]) -> Columns:
        """The columns of these messages, none of them a notice."""
        authors: list[int] = []
        named: list[tuple[int, ...]] = []
        leads: list[int] = []
        lengths: list[int] = []
        flags: list[int] = []
        tokens: list[int] = []
        counts: list[int] = []
        words: list[int] = []
        unknown = len(self._words)
        known, names, ids, core_of = self._words.get, self._names, self._authors, self._cores.__getitem__
        for message in messages:
            author = ids.setdefault(message.author, len(ids))
            authors.append(author)
            if names.get(message.name) != author:
                self._remember(message.name, author)
            text = message.text
            spoken = text.casefold().split()
            cores = dict.fromkeys(map(core_of, spoken[:MOST_WORDS]))
            cores.pop("", None)
            called: tuple[int, ...] = _NONE
            lead = 0
            if not names.keys().isdisjoint(cores):
                called, lead = self._called(cores, spoken, author)
            if not text.isascii():
                _split_unspaced(cores)
            if not lead and spoken and spoken[0][-1] in ":," and len(spoken[0]) > 2:
                lead = -1
            named.append(called)
            leads.append(lead)
            listed = list(cores)
            tokens += map(hash, listed)
            words += [known(core, unknown) for core in listed]
            counts.append(len(listed))
            lengths.append(len(spoken))
            flags.append(_flags(text))
        token_row = np.repeat(np.arange(len(messages)), counts)
        word = np.array(words, np.int32)
        is_learnt = word < unknown
        return Columns(
            author=np.array(authors, np.int32),
            at=np.array([message.at for message in messages], np.float64),
            named=np.array(named, np.int32).reshape(-1, NAMED),
            lead=np.array(leads, np.int8),
            shape=_shape(np.array([len(message.text) for message in messages]), np.array(lengths), np.array(flags)),
            token=np.array(tokens, np.int64),
            token_row=token_row,
            word=word[is_learnt],
            word_row=token_row[is_learnt],
        )

    def _called(self, cores: dict[str, None], spoken: list[str], author: int) -> tuple[tuple[int, ...], int]:
        """Who is named, and how the message begins; takes the names out of the words."""
        names = self._names
        found = [(core, who) for core in cores if core in names and (who := self._who(core, spoken)) != author]
        lead = 0
        for core, _ in found:
            if spoken[0].strip(MARKS) == core:
                lead = 2 if spoken[0][-1] in ":,;" or (len(spoken) > 1 and spoken[1] in (":", ",")) else 1
            del cores[core]
        called = tuple(who for _, who in found[:NAMED])
        return called + _NONE[len(called) :], lead

    def _remember(self, name: str, author: int) -> None:
        """Under the whole name where it is one word, and under its first word without marks."""
        names = self._names
        whole = name.casefold()
        first = whole.split(maxsplit=1)[0] if whole.strip() else ""
        for called in (whole, first.strip(MARKS)):
            if len(called) > (2 if called.isascii() else 1):
                names.pop(called, None)  # to the end: names go out by who spoke last
                names[called] = author
        while len(names) > MOST_NAMES:
            del names[next(iter(names))]

    def _who(self, core: str, spoken: list[str]) -> int:
        """Of several people whose names differ by marks only, the one whose name stands there."""
        for word in spoken:
            if core in word:
                exact = self._names.get(word.rstrip(":,;.!?"))
                if exact is not None:
                    return exact
        return self._names[core]


def _split_unspaced(cores: dict[str, None]) -> None:
    """In place: runs of letters of scripts without spaces become their pairs of letters."""
    for core in list(cores):
        for run in _UNSPACED.findall(core):
            cores.pop(core, None)
            cores.update(dict.fromkeys(run[at : at + 2] for at in range(len(run) - 1)))


def _flags(text: str) -> int:
    """Bit by bit what SHAPE says after the two lengths and “short”."""
    end = text[-1:]
    if end == " ":
        end = text.rstrip()[-1:]
    return (
        ("?" in text or "？" in text or "؟" in text)
        | (end in _ASKING) << 1
        | ("://" in text) << 2
        | text.startswith(("!", "/")) << 3
        | (end == "…" or text[-3:] == "...") << 4
        | ("!" in text) << 5
        | ("@" in text) << 6
    )


def _shape(letters: Array, words: Array, flags: Array) -> Array:
    """[n, len(SHAPE)]."""
    shape = np.empty((len(letters), len(SHAPE)), np.float32)
    shape[:, 0] = np.minimum(letters, MOST_LETTERS)
    shape[:, 1] = np.minimum(words, MOST_WORDS)
    shape[:, 2] = words <= 2
    for bit in range(len(SHAPE) - 3):
        shape[:, 3 + bit] = (flags.astype(np.int64) >> bit) & 1
    return shape
