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
    """Remembers texts, `said`, but for what `known` texts say as well: that is nobody's in particular. `about`: these
    texts alone will be asked for, so no more is remembered than they have, however much is said."""

    def __init__(self, said: Iterable[str] = (), known: Iterable[str] = (), about: Iterable[str] | None = None) -> None:
        self._runs: set[tuple[str, ...]] = set()
        self._about = None if about is None else {run for text in about for run in _runs(_words(text))}
        for text in said:
            self.remember(text)
        for text in known:
            self._runs.difference_update(_runs(_words(text)))

    def remember(self, text: str) -> None:
        """One more that was said."""
        telling = _telling(_words(text))
        self._runs.update(telling if self._about is None else self._about.intersection(telling))

    def in_(self, text: str) -> bool:
        """Whether `text` repeats any of it."""
        return any(run in self._runs for run in _runs(_words(text)))


def _telling(words: list[str]) -> Iterable[tuple[str, ...]]:
    """The runs by which a text is known again."""
    yield from zip(words, words[1:], words[2:], strict=False)
    if len(words) < RUN and len(" ".join(words)) >= SHORTEST:
        yield tuple(words)
    for word in words:
        if _figure(word):
            yield (word,)


def _figure(word: str) -> bool:
    """A word with digits in it: a number, a code, a date."""
    return len(word) >= SHORTEST - 1 and not word.isalpha() and any(character.isdigit() for character in word)
