"""A model's control tokens, and text without them: nobody ends a turn, or begins one, by typing it.

Promises that none is left however they are nested, and that it takes time in proportion to the text, whoever wrote it.
Knows no tokenizer.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence


class ControlTokens:
    """`tokens`: how the model's control tokens are written."""

    def __init__(self, tokens: Iterable[str]) -> None:
        longest_first = sorted(filter(None, tokens), key=len, reverse=True)
        self._pattern = re.compile(_any_of(longest_first)) if longest_first else None
        self._reach = len(longest_first[0]) - 1 if longest_first else 0
        """How far one reaches to either side of a place within it."""
        self._pairs = {token[at : at + 2] for token in longest_first for at in range(len(token) - 1)}

    def taken_out(self, text: str) -> str:
        """`text` without any. As real ones begin nowhere within one another, it is all one in which order they go."""
        if self._pattern is None:
            return text
        kept: list[tuple[int, int]] = []  # spans of `text`, none empty, with no token in what they make together
        at = 0
        while found := self._pattern.search(text, at):
            if found.start() > at:
                kept.append((at, found.start()))
            at = found.end()
            # What stood before and after it has closed up, perhaps into another.
            while kept and text[kept[-1][1] - 1] + text[at : at + 1] in self._pairs:
                before = self._last_of(text, kept)
                closed = self._pattern.search(before + text[at : at + self._reach])
                if closed is None or closed.start() >= len(before):
                    break
                _shorten(kept, len(before) - closed.start())
                at += closed.end() - len(before)
        return "".join(text[start:end] for start, end in kept) + text[at:]

    def _last_of(self, text: str, kept: list[tuple[int, int]]) -> str:
        """The end of what is kept, as far back as a token reaches."""
        last = ""
        for start, end in reversed(kept):
            last = text[max(start, end - self._reach + len(last)) : end] + last
            if len(last) == self._reach:
                break
        return last


def _shorten(kept: list[tuple[int, int]], by: int) -> None:
    while by:
        start, end = kept.pop()
        if end - start > by:
            kept.append((start, end - by))
            return
        by -= end - start


def _any_of(tokens: Sequence[str]) -> str:
    """The pattern for each of them, longer ones first. Hundreds of tokens that begin alike are tried as one."""
    by_letter: dict[str, list[str]] = {}
    for token in filter(None, tokens):
        by_letter.setdefault(token[0], []).append(token[1:])
    ways = [re.escape(letter) + _any_of(rest) for letter, rest in by_letter.items()]
    if len(ways) == 1 and "" not in tokens:
        return ways[0]
    return f"(?:{'|'.join(ways)}){'?' if '' in tokens else ''}" if ways else ""
