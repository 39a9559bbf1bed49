"""What a Bot API server refuses: texts, entities and keyboards that are not as they must be, and too many calls.

Limits count as the strictest reading of Telegram's FAQ does: one message a second in a chat with a burst of three,
20 in any minute in a group, 30 in any second in all, edits included.
"""

from __future__ import annotations

import math
import re
import time
from collections import deque
from dataclasses import dataclass
from typing import Any

LONGEST_TEXT = 4096
ENTITY_TYPES = {
    "bold", "italic", "underline", "strikethrough", "spoiler", "blockquote", "expandable_blockquote", "code", "pre",
    "text_link", "text_mention", "mention", "hashtag", "cashtag", "bot_command", "url", "email", "phone_number",
    "custom_emoji", "date_time",
}  # fmt: skip
ALONE = {"code", "pre"}
"""These lie in no other and hold no other, quotes apart."""
COMMAND = re.compile(r"[a-z0-9_]{1,32}")


class Refusal(Exception):
    """An answer that is no result: `code` and `description` as Telegram gives them."""

    def __init__(self, code: int, description: str, **parameters: int) -> None:
        super().__init__(description)
        self.code, self.description, self.parameters = code, description, parameters


def bad(description: str) -> Refusal:
    return Refusal(400, f"Bad Request: {description}")


def units(text: str) -> int:
    """Length in UTF-16 code units, as Telegram counts."""
    return len(text.encode("utf-16-le")) // 2


def checked_text(text: str, entities: list[dict[str, Any]]) -> tuple[str, list[dict[str, Any]]]:
    """Text and entities as Telegram keeps them: blanks at both ends gone. Refuses what it refuses."""
    if not text.strip():
        raise bad("message text is empty")
    checked_entities(text, entities)
    front = units(text) - units(text.lstrip())
    text = text.strip()
    length = units(text)
    if length > LONGEST_TEXT:
        raise bad("message is too long")
    kept = []
    for entity in entities:
        start = max(0, entity["offset"] - front)
        end = min(length, entity["offset"] + entity["length"] - front)
        if end > start:
            kept.append({**entity, "offset": start, "length": end - start})
    return text, kept


def checked_entities(text: str, entities: list[dict[str, Any]]) -> None:
    """Each within the text, on whole characters, and properly nested."""
    borders, at = {0}, 0
    for character in text:
        at += units(character)
        borders.add(at)
    open_until: list[tuple[int, str]] = []
    for entity in sorted(entities, key=lambda one: (one["offset"], -one["length"])):
        kind, start, end = entity["type"], entity["offset"], entity["offset"] + entity["length"]
        if kind not in ENTITY_TYPES:
            raise bad(f"can't parse entities: unsupported entity type {kind}")
        if entity["length"] <= 0 or start < 0 or end > at:
            raise bad("can't parse entities: entity lies outside of the text")
        if start not in borders or end not in borders:
            raise bad("can't parse entities: entity begins or ends within a character")
        if kind == "text_link" and not re.match(r"(https?|tg|tel|mailto):", entity.get("url", "")):
            raise bad("can't parse entities: URL host is empty")
        open_until = [(until, outer) for until, outer in open_until if until > start]
        if any(until < end for until, _ in open_until):
            raise bad("can't parse entities: entities overlap")
        quotes = {"blockquote", "expandable_blockquote"}
        if any((kind in ALONE or outer in ALONE) and outer not in quotes for _, outer in open_until):
            raise bad("can't parse entities: code can't hold or be within other entities")
        if kind in quotes and any(outer in quotes for _, outer in open_until):
            raise bad("can't parse entities: blockquotes can't be nested")
        open_until.append((end, kind))
    if len(entities) > 100:
        raise bad("can't parse entities: too many of them")


def checked_keyboard(markup: dict[str, Any] | None) -> list[list[dict[str, Any]]]:
    """The rows of an inline keyboard."""
    rows: list[list[dict[str, Any]]] = [row for row in (markup or {}).get("inline_keyboard", []) if row]
    for row in rows:
        if len(row) > 8:
            raise bad("reply markup is too long")
        for button in row:
            if not button.get("text"):
                raise bad('can\'t parse inline keyboard button: field "text" must be non-empty')
            if "callback_data" in button and not 1 <= len(button["callback_data"].encode()) <= 64:
                raise bad("BUTTON_DATA_INVALID")
    return rows


def checked_commands(commands: list[dict[str, str]]) -> list[dict[str, str]]:
    """At most 100, each with a name and a description."""
    if len(commands) > 100:
        raise bad("too many commands")
    for command in commands:
        if COMMAND.fullmatch(command["command"]) is None:
            raise bad("BOT_COMMAND_INVALID")
        if not 1 <= len(command["description"]) <= 256:
            raise bad("BOT_COMMAND_DESCRIPTION_INVALID")
    return commands


@dataclass(frozen=True, slots=True)
class Rates:
    """Messages per seconds: a burst of `chat` refilled at `chat_second`, and so on. `times` makes all of it wider."""

    burst: int = 3
    chat_second: float = 1.0
    group_minute: int = 20
    second: int = 30

    def times(self, factor: float) -> Rates:
        return Rates(self.burst, self.chat_second * factor, int(self.group_minute * factor), int(self.second * factor))


class Limiter:
    """Counts calls and refuses those that come too soon."""

    def __init__(self, rates: Rates) -> None:
        self.rates = rates
        self._all: deque[float] = deque()
        self._minute: dict[int, deque[float]] = {}
        self._bucket: dict[int, tuple[float, float]] = {}

    def count(self, chat: int, *, message: bool) -> None:
        """Raises the 429 that this call earns, which then does not count."""
        now = time.monotonic()
        while self._all and self._all[0] <= now - 1:
            self._all.popleft()
        if len(self._all) >= self.rates.second:
            raise self._too_many(self._all[0] + 1 - now)
        if message:
            minute = self._minute.setdefault(chat, deque())
            while minute and minute[0] <= now - 60:
                minute.popleft()
            if chat < 0 and len(minute) >= self.rates.group_minute:
                raise self._too_many(minute[0] + 60 - now)
            left, since = self._bucket.get(chat, (float(self.rates.burst), now))
            left = min(self.rates.burst, left + (now - since) * self.rates.chat_second)
            if left < 1:
                raise self._too_many((1 - left) / self.rates.chat_second)
            self._bucket[chat] = (left - 1, now)
            minute.append(now)
        self._all.append(now)

    @staticmethod
    def _too_many(seconds: float) -> Refusal:
        after = max(1, math.ceil(seconds))
        return Refusal(429, f"Too Many Requests: retry after {after}", retry_after=after)
