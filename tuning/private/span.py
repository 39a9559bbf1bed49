"""A private detail's place in a text, and places that are taken already. Knows no kinds."""

from __future__ import annotations

import re
from collections.abc import Iterable

Span = tuple[int, int, str]
"""Start, end, kind."""

_LINK = re.compile(r"(?:https?|ftp|tg)://[^\s>]+|<(?:@[!&]?|#|a?:\w+:)\d+>")


def links(text: str) -> list[tuple[int, int]]:
    """Where addresses stand, and Discord's marks for people, channels and emoji: numbers in them are ids."""
    return [match.span() for match in _LINK.finditer(text)] if "://" in text or "<" in text else []


def inside(position: int, spans: Iterable[tuple[int, int]]) -> bool:
    """Whether a position is within one of these."""
    return any(start <= position < stop for start, stop in spans)


def is_free(span: Span, taken: Iterable[Span]) -> bool:
    """Whether a span overlaps none of those that are taken."""
    return all(span[1] <= start or span[0] >= stop for start, stop, _ in taken)
