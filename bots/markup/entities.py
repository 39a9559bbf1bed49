"""Text in styles, as Telegram takes it: runs of text become one text and its entities, properly nested by construction.

Knows Telegram's rules on what may lie in what, and nothing of Markdown.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass, field

from bots.markup.characters import utf16_len

ALONE = ("pre", "code")
"""Lie in nothing but quotes, and hold nothing."""


@dataclass(frozen=True, slots=True)
class Entity:
    """`offset` and `length` in UTF-16 units; `type` as the Bot API names it."""

    type: str
    offset: int
    length: int
    url: str | None = None
    language: str | None = None


@dataclass(frozen=True, slots=True, eq=False)
class Style:
    """An entity's type, and its address or language. One of its own each time: what stands side by side in the same
    style must not become one entity that overlaps others."""

    kind: str
    value: str | None = None


@dataclass(slots=True)
class Runs:
    """Runs of text, each with the styles it stands in. None has two of a kind."""

    _runs: list[tuple[str, tuple[Style, ...]]] = field(default_factory=list)
    _styles: tuple[Style, ...] = ()

    @property
    def count(self) -> int:
        return len(self._runs)

    def write(self, text: str, *more: Style) -> None:
        """Append in the styles of now, and `more`."""
        if text:
            self._runs.append((text, (*self._styles, *more)))

    def take_back(self) -> None:
        """The last run was not meant."""
        self._runs.pop()

    def text_since(self, count: int) -> str:
        """What was written since there were `count` runs."""
        return "".join(text for text, _ in self._runs[count:])

    def within(self, styles: Iterable[Style], inner: Callable[[], None]) -> None:
        """What `inner` writes stands in these styles as well."""
        before = self._styles
        self._styles = (*before, *(style for style in styles if all(style.kind != one.kind for one in before)))
        inner()
        self._styles = before

    def finish(self) -> tuple[str, list[Entity]]:
        """The text without space at its ends, and its entities in their order."""
        text = "".join(run for run, _ in self._runs)
        front = len(text) - len(text.lstrip())
        ends = utf16_len(text.rstrip())
        offset, skipped = 0, utf16_len(text[:front])
        open_styles: dict[Style, int] = {}
        made: list[Entity] = []

        def close(style: Style, start: int, end: int) -> None:
            start, end = max(start, skipped), min(end, ends)
            if end > start:
                url, language = (style.value, None) if style.kind == "text_link" else (None, style.value)
                made.append(Entity(style.kind, start - skipped, end - start, url, language))

        for run, styles in self._runs:
            here = _allowed(styles)
            for style in [style for style in open_styles if style not in here]:
                close(style, open_styles.pop(style), offset)
            for style in here:
                open_styles.setdefault(style, offset)
            offset += utf16_len(run)
        for style, start in open_styles.items():
            close(style, start, offset)
        return text.strip(), sorted(made, key=lambda one: (one.offset, -one.length))


def _allowed(styles: tuple[Style, ...]) -> tuple[Style, ...]:
    """Code and preformatted text lie in nothing but quotes; a link that is written as code is a link."""
    kinds = [style.kind for style in styles]
    if "code" in kinds and "text_link" in kinds:
        return tuple(style for style in styles if style.kind != "code")
    if any(kind in ALONE for kind in kinds):
        return tuple(style for style in styles if style.kind in (*ALONE, "blockquote"))
    return styles
