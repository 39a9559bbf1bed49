"""Whether a text repeats what certain people said: word for word, three words on end, or a figure of theirs.

Errs towards yes. A paraphrase is not noticed. Knows nothing of who said what, or why it matters.
"""

from __future__ import annotations

import re
from collections.abc import Iterable

RUN = 3
"""Words on end that are taken for a repetition."""
SHORTEST = 4
"""Characters of a message of fewer words than that; “yes” and “ok” are everybody's."""

_WORD = re.compile(r"\w+")


def _words(text: str) -> list[str]:
    return _WORD.findall(text.casefold())


def _runs(words: list[str]) -> Iterable[tuple[str, ...]]:
    for length in range(1, RUN + 1):
        for at in range(len(words) - length + 1):
            yield tuple(words[at : at + length])


class Echo:
    """Remembers texts, `said`, but for what `known` texts say as well: that is nobody's in particular."""

    def __init__(self, said: Iterable[str], known: Iterable[str] = ()) -> None:
        self._runs: set[tuple[str, ...]] = set()
        for text in said:
            words = _words(text)
            for run in _runs(words):
                if len(run) == RUN or (len(run) == len(words) and len(" ".join(run)) >= SHORTEST) or _figure(run):
                    self._runs.add(run)
        for text in known:
            self._runs.difference_update(_runs(_words(text)))

    def in_(self, text: str) -> bool:
        """Whether `text` repeats any of it."""
        return any(run in self._runs for run in _runs(_words(text)))


def _figure(run: tuple[str, ...]) -> bool:
    """A single word with digits in it: a number, a code, a date."""
    return len(run) == 1 and len(run[0]) >= SHORTEST - 1 and any(character.isdigit() for character in run[0])
