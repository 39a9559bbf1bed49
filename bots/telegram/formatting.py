"""An answer as Telegram's messages: text and entities, within its limit, and always with something to see."""

from __future__ import annotations

from telegram import MessageEntity

from bots.markup.splitting import shows, split, utf16_len
from bots.outlet import Part

LIMIT = 4096
"""UTF-16 code units."""
NOTHING = "…"
"""Telegram refuses a message in which there is nothing to see."""


def parts(markdown: str) -> list[Part]:
    """Messages that together say all of `markdown`; none where it shows nothing."""
    return [Part(piece.text) for piece in split(_sendable(markdown), LIMIT, utf16_len)]


def shown(part: Part) -> tuple[str, list[MessageEntity]]:
    """What goes over the wire."""
    text = _sendable(part.text)
    return (text, []) if shows(text) else (NOTHING, [])


def _sendable(text: str) -> str:
    """Without halves of characters, which no encoding has."""
    return text.encode("utf-8", "replace").decode()
