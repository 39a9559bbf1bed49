"""What Telegram and Discord accept as a message's text, from their documentation; written apart from what renders.

Telegram: core.telegram.org/bots/api, `sendMessage`, `MessageEntity` and 'Formatting options'. Discord:
docs.discord.com, 'Create Message'. Where the documentation leaves room, the stricter reading holds. Each function gives
the faults it finds, none for a text that is accepted as it is meant.
"""

from __future__ import annotations

import unicodedata
from collections.abc import Mapping, Sequence
from typing import Any
from urllib.parse import urlsplit

TELEGRAM_UNITS, TELEGRAM_ENTITIES, DISCORD_CHARACTERS = 4096, 100, 2000
NESTING = {"bold", "italic", "underline", "strikethrough", "spoiler", "text_link"}
ALONE = {"code", "pre"}
QUOTES = {"blockquote", "expandable_blockquote"}
LONGEST_ADDRESS = 2048
REORDERING = frozenset("\u202a\u202b\u202c\u202d\u202e\u2066\u2067\u2068\u2069")


def telegram_faults(text: str, entities: Sequence[Mapping[str, Any]]) -> list[str]:
    """`entities` as the Bot API writes them: type, offset, length, and url or language."""
    faults = _character_faults(text)
    starts = _unit_borders(text)
    total = max(starts)
    if not visible(text):
        faults.append("nothing to be seen")
    if total > TELEGRAM_UNITS:
        faults.append(f"{total} units")
    if text != text.strip():
        faults.append("space at an end, which Telegram cuts off beneath the entities")
    if len(entities) > TELEGRAM_ENTITIES:
        faults.append(f"{len(entities)} entities")
    for entity in entities:
        faults += _entity_faults(entity, starts, total)
    ordered = sorted(entities, key=lambda one: (one["offset"], -one["length"]))
    for number, outer in enumerate(ordered):
        for inner in ordered[number + 1 :]:
            if inner["offset"] >= outer["offset"] + outer["length"]:
                break
            faults += _nesting_faults(outer, inner)
    return faults


def discord_faults(content: str) -> list[str]:
    """`content` of a message without embeds or files."""
    faults = _character_faults(content)
    if not visible(content):
        faults.append("nothing to be seen")
    if len(content) > DISCORD_CHARACTERS:
        faults.append(f"{len(content)} characters")
    return faults


def _character_faults(text: str) -> list[str]:
    faults = []
    if any("\ud800" <= one <= "\udfff" for one in text):
        faults.append("half a character")
    if any(unicodedata.category(one) == "Cc" and one not in "\n\t" for one in text):
        faults.append("a control character")
    if REORDERING & set(text):
        faults.append("a character that reorders")
    return faults


def visible(text: str) -> bool:
    """Whether anything of it can be seen."""
    return any(unicodedata.category(one)[0] not in "ZC" for one in text)


def _unit_borders(text: str) -> set[int]:
    """Where characters begin and end, in UTF-16 units."""
    borders, at = {0}, 0
    for one in text:
        at += 1 if ord(one) < 0x10000 else 2
        borders.add(at)
    return borders


def _entity_faults(entity: Mapping[str, Any], borders: set[int], total: int) -> list[str]:
    kind, start, end = entity["type"], entity["offset"], entity["offset"] + entity["length"]
    faults = []
    if kind not in NESTING | ALONE | QUOTES:
        faults.append(f"no entity is called {kind}")
    if start < 0 or end > total or end <= start:
        faults.append(f"{kind} lies outside of the text")
    elif start not in borders or end not in borders:
        faults.append(f"{kind} cuts a character")
    if (kind == "text_link") != bool(entity.get("url")):
        faults.append(f"{kind} with the address {entity.get('url')!r}")
    elif kind == "text_link" and not _address(entity["url"]):
        faults.append(f"an address that leads nowhere: {entity['url'][:80]!r}")
    if entity.get("language") and kind != "pre":
        faults.append(f"{kind} with a language")
    return faults


def _address(url: str) -> bool:
    if len(url) > LONGEST_ADDRESS or any(one.isspace() for one in url):
        return False
    try:
        parts = urlsplit(url)
    except ValueError:
        return False
    if parts.scheme in ("http", "https"):
        return bool(parts.hostname)
    return parts.scheme in ("tg", "mailto", "tel") and bool(parts.netloc or parts.path)


def _nesting_faults(outer: Mapping[str, Any], inner: Mapping[str, Any]) -> list[str]:
    """Of two entities that share characters, `outer` the one that begins first or is longer."""
    kinds = (outer["type"], inner["type"])
    faults = []
    if inner["offset"] + inner["length"] > outer["offset"] + outer["length"]:
        faults.append(f"{kinds[1]} crosses the end of {kinds[0]}")
    if kinds[0] == kinds[1]:
        faults.append(f"{kinds[0]} within {kinds[1]}")
    if set(kinds) <= QUOTES:
        faults.append("a quote within a quote")
    if ALONE & set(kinds) and not QUOTES & set(kinds):
        faults.append(f"{kinds[1]} within {kinds[0]}")
    return faults
