"""Typed placeholders for private details, the same for the same detail throughout one conversation.

The first detail of a kind is `[email]`, another one `[email 2]`, and so on: who reads it, or learns from it, still sees
that two people gave different numbers, and that somebody repeated one. A person's first name alone is the person whose
whole name was said before. Keeps digests alone.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Sequence

from tuning.private.names import KIND as PERSON
from tuning.redaction import Span, detail_digest

_NUMBERED = re.compile(r"\[(\w+) (\d+)\]")


class Placeholders:
    """One conversation's. Give it the texts in order."""

    def __init__(self) -> None:
        self._known: dict[tuple[str, bytes], str] = {}
        self._counts: Counter[str] = Counter()

    def replace(self, text: str, spans: Sequence[Span]) -> str:
        """`text` with a placeholder for each of its spans, which are in order and do not overlap."""
        parts, end = [], 0
        for start, stop, kind in spans:
            parts.append(text[end:start])
            parts.append(self._of(kind, text[start:stop]))
            end = stop
        parts.append(text[end:])
        return "".join(parts)

    def name(self, name: str, spans: Sequence[Span]) -> str:
        """As `replace`, for somebody's name, of which the first word is shown: its placeholders are one word each."""
        return _NUMBERED.sub(r"[\1\2]", self.replace(name, spans))

    def _of(self, kind: str, detail: str) -> str:
        key = (kind, detail_digest(detail))
        if key not in self._known:
            parts = [(kind, detail_digest(word)) for word in detail.split()] if kind == PERSON else []
            known = next((self._known[part] for part in parts if part in self._known), None) or self._next(kind)
            for part in (key, *parts):
                self._known.setdefault(part, known)
        return self._known[key]

    def _next(self, kind: str) -> str:
        self._counts[kind] += 1
        count = self._counts[kind]
        return f"[{kind}]" if count == 1 else f"[{kind} {count}]"
