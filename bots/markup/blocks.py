"""Where Markdown may be cut: its blocks, then lines, sentences, words, characters, each a range of the source.

`blocks` gives ranges that follow one another without a gap and cover the whole text, so that whatever is made of them
joins to what was said. A range that is too long gives finer ones. Nothing here takes time that grows faster than the
text.
"""

from __future__ import annotations

import re
from bisect import bisect_right
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from itertools import pairwise

import regex
from markdown_it import MarkdownIt
from markdown_it.token import Token

DEEPEST = 100
"""Levels of quotes and lists within one another (a list has two); a message with more is shown as it stands."""
_LINE_END = re.compile(r"\r\n|\r|\n")
_SENTENCE_END = re.compile(r"(?:[.!?…]+[\"'”’)\]*_~]*\s+)|[。！？]+[」』”’）)]*\s*")
_SPACE = re.compile(r"\s+")
_CONTINUES = regex.compile(r"[\p{GCB=Extend}\p{GCB=SpacingMark}\p{GCB=ZWJ}]")
_CHARACTER = regex.compile(r"\X")
_FENCE = re.compile(r"(?P<before>.*?)(?P<marks>`{3,}|~{3,})(?P<info>.*)", re.DOTALL)
_SPANS = re.compile(
    r"(?<![\\`])(`{1,3})(?!`).{1,400}?(?<!`)\1(?!`)"
    r"|!?\[[^\[\]]{0,300}\](?:\([^()\s]{0,600}(?:\([^()\s]{0,100}\)[^()\s]{0,200})?(?:\s[^()]{0,100})?\)|\[[^\]]{0,60}\])"
    r"|(?<![\\*])\*\*(?=[^\s*]).{1,400}?(?<=[^\s*])\*\*(?!\*)"
    r"|(?<![\\*\w])\*(?=[^\s*])[^*]{1,400}?(?<=[^\s*])\*(?![*\w])"
    r"|(?<![\\_\w])_{1,2}(?=[^\s_])[^_]{1,400}?(?<=[^\s_])_{1,2}(?![_\w])"
    r"|~~(?=\S)[^~]{1,400}?~~|\|\|(?=\S)[^|]{1,400}?\|\|",
    re.DOTALL,
)
"""What loses its form when it is cut in two: code, links, bold, italic, struck, hidden."""


def reader() -> MarkdownIt:
    """CommonMark with tables and strikethrough; HTML and link definitions are text like any other."""
    parser = MarkdownIt("commonmark", {"html": False, "maxNesting": DEEPEST})
    return parser.enable(["table", "strikethrough"]).disable("reference")


def block_tokens(text: str) -> list[Token]:
    """The text's blocks, nothing within its lines read yet."""
    return _BLOCKS.parse(text)


_BLOCKS = reader()
_BLOCKS.core.ruler.enableOnly(["normalize", "block"])


@dataclass(frozen=True, slots=True)
class Frame:
    """What has to stand around each piece of a block that is cut: fence lines, or a table's head. The first `head`
    and the last `foot` lines of the block are such lines themselves."""

    opener: str
    closer: str
    head: int
    foot: int


@dataclass(frozen=True, slots=True)
class Range:
    """Source from `start` to `end`. `finer` gives the ranges it consists of, none for one that cannot be cut."""

    start: int
    end: int
    finer: Callable[[], Sequence[Range]] = field(default=tuple, repr=False)
    frame: Frame | None = None


def blocks(text: str) -> list[Range]:
    """The text's blocks, each with the blank lines that follow it; headings stay with what they head."""
    if not text:
        return []
    return _Source(text).top()


class _Source:
    """A text with its lines and block tokens."""

    def __init__(self, text: str) -> None:
        self._text = text
        self._starts = [0, *(found.end() for found in _LINE_END.finditer(text))]
        if self._starts[-1] != len(text):
            self._starts.append(len(text))
        self._last = len(self._starts) - 1

    def top(self) -> list[Range]:
        tokens = block_tokens(self._text)
        return self._with_headings(self._children(tokens, 0, 0, self._last), tokens)

    def _offset(self, line: int) -> int:
        return self._starts[min(line, self._last)]

    def _children(self, tokens: list[Token], level: int, first: int, last: int) -> list[Range]:
        """Ranges for lines `first` to `last`, by the tokens of `level` among `tokens`."""
        found: list[tuple[int, int, Callable[[int, int], Range]]] = []
        at = 0
        while at < len(tokens):
            token = tokens[at]
            end = at + 1
            if token.nesting == 1:
                while not (tokens[end].nesting == -1 and tokens[end].level == token.level):
                    end += 1
                end += 1
            if token.map is not None and token.level == level and token.map[1] > token.map[0]:
                found.append((token.map[0], token.map[1], self._maker(token, tokens[at + 1 : end - 1])))
            at = end
        return self._covering(found, first, last)

    def _covering(
        self, found: list[tuple[int, int, Callable[[int, int], Range]]], first: int, last: int
    ) -> list[Range]:
        """Ranges without gaps: blank lines belong to what stands before them, other lines that no token names (link
        definitions) are text."""
        ranges: list[Range] = []
        line = first
        for begin, end, make in found:
            begin, end = max(begin, line), min(end, last)
            if end <= begin:
                continue
            if self._text[self._offset(line) : self._offset(begin)].strip():
                ranges.append(self._lines(line, begin))
            elif line == first:
                begin = line  # blank lines at the very beginning
            elif line < begin and ranges:
                ranges[-1] = self._stretched(ranges[-1], begin)
            ranges.append(make(begin, end))
            line = end
        if line < last:
            if ranges and not self._text[self._offset(line) : self._offset(last)].strip():
                ranges[-1] = self._stretched(ranges[-1], last)
            else:
                ranges.append(self._lines(line, last))
        return ranges

    def _stretched(self, made: Range, line: int) -> Range:
        """With the blank lines up to `line`."""
        end = self._offset(line)
        rest = Range(made.end, end)
        return Range(made.start, end, lambda: (*made.finer(), rest), made.frame)

    def _maker(self, token: Token, inner: list[Token]) -> Callable[[int, int], Range]:
        def make(first: int, last: int) -> Range:
            start, end = self._offset(first), self._offset(last)
            if token.type in ("fence", "code_block"):
                return Range(start, end, lambda: self._rows(first, last), self._fence(token, last))
            if token.type == "table_open":
                head = self._text[self._offset(first) : self._offset(first + 2)]
                frame = Frame(head.rstrip() + "\n", "", 2, 0)
                return Range(start, end, lambda: self._rows(first, last), frame)
            if token.type in ("bullet_list_open", "ordered_list_open", "list_item_open", "blockquote_open"):
                return Range(start, end, lambda: self._children(inner, token.level + 1, first, last))
            return self._lines(first, last)

        return make

    def _fence(self, token: Token, last: int) -> Frame | None:
        """The lines that close the fence at the end of one piece and open it again in the next."""
        if token.type == "code_block" or token.map is None:
            return None
        opening = self._text[self._offset(token.map[0]) : self._offset(token.map[0] + 1)]
        found = _FENCE.match(opening)
        if found is None:
            return None
        before, marks = found["before"], found["marks"]
        words = found["info"].split()
        language = words[0] if len(words) == 1 and len(words[0]) <= 32 else ""
        quote = before[: before.rfind(">") + 1]
        opener = f"{quote} {marks}{language}\n" if quote else f"{marks}{language}\n"
        closing = self._text[self._offset(last - 1) : self._offset(last)].rstrip()
        if last - token.map[0] > 1 and re.sub(r"[\s>]", "", closing).startswith(marks):
            return Frame(opener, f"\n{closing}", 1, 1)
        inside = re.sub(r"[^>\s]", " ", before)  # a list's marker makes way for the space that its lines begin with
        return Frame(opener, f"\n{inside}{marks}", 1, 0)

    def _rows(self, first: int, last: int) -> list[Range]:
        """Line by line, as code and tables are cut."""
        ends = [self._offset(line) for line in range(first, last)]
        return _ranges(ends[0], self._offset(last), ends, lambda start, end: _words(self._text, start, end))

    def _lines(self, first: int, last: int) -> Range:
        """Text, which is cut at lines, then sentences, then words."""
        start, end = self._offset(first), self._offset(last)
        return Range(start, end, lambda: _Spans(self._text, start, end).lines(start, end))

    def _with_headings(self, ranges: list[Range], tokens: list[Token]) -> list[Range]:
        headings = {self._offset(t.map[0]) for t in tokens if t.type == "heading_open" and t.level == 0 and t.map}
        joined: list[Range] = []
        waiting: list[Range] = []
        for made in ranges:
            if made.start in headings and len(waiting) < 3:
                waiting.append(made)
            elif waiting:
                joined.append(_together([*waiting, made]))
                waiting = []
            else:
                joined.append(made)
        return [*joined, *waiting]


class _Spans:
    """Text whose code, links and emphasis are kept whole for as long as that is possible."""

    def __init__(self, text: str, start: int, end: int) -> None:
        self._text = text
        spans = [found.span() for found in _SPANS.finditer(text, start, end)]
        self._begins = [begin for begin, _ in spans]
        self._ends = [finish for _, finish in spans]

    def lines(self, start: int, end: int) -> list[Range]:
        return self._cut(_LINE_END, start, end, self.sentences)

    def sentences(self, start: int, end: int) -> list[Range]:
        return self._cut(_SENTENCE_END, start, end, self.phrases)

    def phrases(self, start: int, end: int) -> list[Range]:
        return self._cut(_SPACE, start, end, lambda begin, finish: _words(self._text, begin, finish))

    def _cut(
        self, border: re.Pattern[str], start: int, end: int, finer: Callable[[int, int], list[Range]]
    ) -> list[Range]:
        ends = [at for at in _borders(self._text, border, start, end) if not self._inside(at)]
        return _ranges(start, end, ends, finer)

    def _inside(self, position: int) -> bool:
        at = bisect_right(self._begins, position - 1) - 1
        return at >= 0 and self._begins[at] < position < self._ends[at]


def _together(ranges: list[Range]) -> Range:
    return Range(ranges[0].start, ranges[-1].end, lambda: ranges)


def _borders(text: str, border: re.Pattern[str], start: int, end: int) -> Iterator[int]:
    """Where a border ends, but never before a mark that belongs to the character before it."""
    for found in border.finditer(text, start, end):
        at = found.end()
        if at >= end or not _CONTINUES.match(text, at):
            yield at


def _words(text: str, start: int, end: int) -> list[Range]:
    ends = list(_borders(text, _SPACE, start, end))
    return _ranges(start, end, ends, lambda begin, finish: _characters(text, begin, finish))


def _characters(text: str, start: int, end: int) -> list[Range]:
    """One range for each character as people see it; one of very many code points falls apart into those."""
    return [_character(found.start(), found.end()) for found in _CHARACTER.finditer(text, start, end)]


def _character(start: int, end: int) -> Range:
    return Range(start, end, lambda: [Range(at, at + 1) for at in range(start, end)] if end - start > 1 else ())


def _ranges(start: int, end: int, ends: list[int], finer: Callable[[int, int], list[Range]]) -> list[Range]:
    """From border to border."""
    borders = sorted({start, *ends, end})
    return [_range(begin, finish, finer) for begin, finish in pairwise(borders)]


def _range(start: int, end: int, finer: Callable[[int, int], Sequence[Range]]) -> Range:
    return Range(start, end, lambda: finer(start, end))
