"""A part of an answer as one Telegram message: its text and entities as the client library has them, never empty."""

from __future__ import annotations

from telegram import MessageEntity

from bots.markup.characters import shows
from bots.markup.telegram import render
from bots.outlet import Part

NOTHING = "…"
"""Telegram refuses a message in which there is nothing to see."""


def shown(part: Part) -> tuple[str, list[MessageEntity]]:
    """What goes over the wire."""
    text, entities = render(part)
    if not shows(text):
        return NOTHING, []
    return text, [MessageEntity(one.type, one.offset, one.length, one.url, language=one.language) for one in entities]
