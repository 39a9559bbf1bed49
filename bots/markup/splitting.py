"""Markdown in pieces that each fit into one message.

Borders, best first: between blocks, between list items or lines, after a sentence, between words; never inside a
character as people see it (an emoji of several code points, a letter with its marks, a flag) and inside a word only
where the word alone is too long. A code fence that is too long for one message is closed at the end of a piece and
opened again, with its language, at the beginning of the next; a table's head is repeated.

`joined(split(text, limit)) == text` for every text: `source` is exactly what was said, `before` and `after` what was
added around it. `text` is what is sent: without the blank lines at its beginning and the space at its end, which no
platform shows either; one that begins within a list stands as far to the left as its first item.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import accumulate

from bots.markup.blocks import Frame, Range, blocks
from bots.markup.characters import shows, utf16_len

SMALLEST_LIMIT = 64
"""A limit has to leave room for a fence's two lines and a word."""
_LISTED = re.compile(r"([ \t]+)(?:[-*+]|\d{1,9}[.)])[ \t]")
_VISIBLE = re.compile(r"\S")


@dataclass(frozen=True, slots=True)
class Piece:
    """`source` is a part of what was said; `before` and `after` stand around it in the message."""

    source: str
    before: str = ""
    after: str = ""

    @property
    def text(self) -> str:
        """What is sent; empty where the piece shows nothing, and then it is not."""
        inner = self.source[_first_line(self.source, 0, len(self.source)) :].rstrip()
        if not self.before:
            inner = _outdented(inner)
        return f"{self.before}{inner}{self.after}" if shows(inner) else ""


def _outdented(text: str) -> str:
    """Lines that would be taken for code where what they are nested in is missing."""
    first = _LISTED.match(text)
    return text if first is None else re.sub(rf"^[ \t]{{1,{len(first[1])}}}", "", text, flags=re.MULTILINE)


def joined(pieces: Sequence[Piece]) -> str:
    """What was said."""
    return "".join(piece.source for piece in pieces)


def split(text: str, limit: int, measure: Callable[[str], int] = len) -> list[Piece]:
    """`text` in pieces of at most `limit`. `measure` gives a text's length and adds up over characters."""
    if limit < SMALLEST_LIMIT:
        raise ValueError(f"a limit of {limit} is too small")
    if text and measure(text) <= limit:
        return [Piece(text)]
    packing = _Packing(text, limit, measure)
    for block in blocks(text):
        packing.add(block)
    return packing.finish()


def fitting(text: str, limit: int, measure: Callable[[str], int], fits: Callable[[str], bool]) -> list[Piece]:
    """Like `split`, in smaller pieces where `fits` says of a piece's text that it is too much once it is rendered. One
    that is too much however small stays as it is."""
    return [small for piece in split(text, limit, measure) for small in _smaller(piece, limit, measure, fits)]


def _smaller(piece: Piece, limit: int, measure: Callable[[str], int], fits: Callable[[str], bool]) -> Sequence[Piece]:
    half = limit // 2
    if not piece.text or half < SMALLEST_LIMIT or fits(piece.text):
        return (piece,)
    halves = split(piece.before + piece.source + piece.after, half, measure)
    if len(halves[0].source) < len(piece.before) or len(halves[-1].source) < len(piece.after) or len(halves) == 1:
        return (piece,) if len(halves) > 1 else _smaller(piece, half, measure, fits)
    first, last = halves[0], halves[-1]
    halves[0] = Piece(first.source[len(piece.before) :], piece.before + first.before, first.after)
    halves[-1] = Piece(last.source[: len(last.source) - len(piece.after)], last.before, last.after + piece.after)
    return [small for one in halves for small in _smaller(one, half, measure, fits)]


class _Packing:
    """Fills one piece after another with ranges, in their order."""

    def __init__(self, text: str, limit: int, measure: Callable[[str], int]) -> None:
        self._text = text
        self._limit = limit
        self._measure = measure
        plain = measure is len or (measure is utf16_len and text.isascii())
        self._upto: Sequence[int] = range(len(text) + 1) if plain else [0, *accumulate(map(measure, text))]
        self._solid = _solid_ends(text)
        self._pieces: list[Piece] = []
        self._start = self._end = self._first = 0
        self._before = ""
        self._frame: Frame | None = None

    def add(self, wanted: Range) -> None:
        """Put it into this piece, or the next, or as much as fits into each."""
        if self._solid[self._end] <= self._start:  # nothing but space in it so far
            self._first = _first_line(self._text, self._start, wanted.end)
        blank = self._frame is None and self._solid[wanted.end] <= wanted.start
        if blank or self._fits(self._first, wanted.end, self._before):
            self._end = wanted.end
            return
        if self._start < self._end and self._fits(
            _first_line(self._text, wanted.start, wanted.end), wanted.end, self._opener
        ):
            self._close()
            self.add(wanted)
            return
        finer = wanted.finer()
        if wanted.frame is not None and self._frame is None and self._bears(wanted.frame, finer):
            self._add_framed(list(finer), wanted.frame)
            return
        if not finer:  # a single code point
            self._close()
            self._end = wanted.end
        for one in finer:
            self.add(one)

    def finish(self) -> list[Piece]:
        """All pieces."""
        self._close()
        return self._pieces

    @property
    def _opener(self) -> str:
        return self._frame.opener if self._frame is not None else ""

    @property
    def _closer(self) -> str:
        return self._frame.closer if self._frame is not None else ""

    def _bears(self, frame: Frame, rows: Sequence[Range]) -> bool:
        """Whether the frame leaves most of a message to what it stands around, and its own first lines as well."""
        head = self._text[rows[0].start : rows[frame.head - 1].end]
        return max(self._measure(head), self._measure(frame.opener)) + self._measure(frame.closer) <= self._limit // 3

    def _add_framed(self, rows: list[Range], frame: Frame) -> None:
        """A block that is longer than a message: each piece of it is framed."""
        if self._start < self._end and self._length(self._first, self._end) > self._limit * 2 // 3:
            self._close()
        blank = len(rows)
        while blank and self._solid[rows[blank - 1].end] <= rows[blank - 1].start:
            blank -= 1
        head = Range(rows[0].start, rows[frame.head - 1].end, lambda: rows[: frame.head])
        before = len(self._pieces)
        self._frame = frame
        self.add(head)
        for row in rows[frame.head : blank - frame.foot]:
            self.add(row)
        if frame.foot:  # the block's own last line, for which the closer has kept room
            self._end = rows[blank - 1].end
        elif frame.closer and len(self._pieces) > before:
            self._close()  # what follows must not be taken for code
        self._frame = None
        if self._start == self._end:
            self._before = ""
        for row in rows[blank:]:
            self.add(row)

    def _close(self) -> None:
        if self._start < self._end:
            self._pieces.append(Piece(self._text[self._start : self._end], self._before, self._closer))
        self._start, self._before = self._end, self._opener

    def _fits(self, start: int, end: int, before: str) -> bool:
        return self._length(start, end) + self._measure(before) + self._measure(self._closer) <= self._limit

    def _length(self, start: int, end: int) -> int:
        end = self._solid[end] if self._frame is None else end  # in a frame, space at the end is followed by a line
        return max(0, self._upto[end] - self._upto[start])


def _solid_ends(text: str) -> list[int]:
    """For every end, where the space before it begins."""
    ends = [0]
    for at, one in enumerate(text, 1):
        ends.append(ends[-1] if one.isspace() else at)
    return ends


def _first_line(text: str, start: int, end: int) -> int:
    """Where the first line begins that is not blank."""
    found = _VISIBLE.search(text, start, end)
    return end if found is None else max(start, text.rfind("\n", start, found.start()) + 1)
