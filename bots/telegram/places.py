"""How Telegram's chats, topics and messages are named in the tables. Pure; knows no API.

A channel's key is `ACCOUNT:CHAT`, a topic's `ACCOUNT:CHAT/TOPIC` within it. A message is named by its number, which
counts per chat in supergroups, but per bot in private chats and basic groups.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

SUPERGROUPS = -1_000_000_000_000
"""Chat ids of supergroups and channels are not above this."""
_KEY = re.compile(r"(-?\d+)(?:/(\d+))?")
_OLDER = re.compile(r"(?:press-)?(\d{1,18})(?:-\w+)?")


@dataclass(frozen=True, slots=True)
class Place:
    """Where messages go: a chat, or one topic of it. The General topic is the chat itself."""

    chat: int
    topic: int | None = None

    @property
    def group(self) -> bool:
        """Whether more than one person is there."""
        return self.chat < 0

    @property
    def counter(self) -> int:
        """What its message ids are counted by: the chat where that is a supergroup, else 0, the bot."""
        return self.chat if self.chat <= SUPERGROUPS else 0

    def key(self, account: str) -> str:
        """The channel's key."""
        return f"{account}:{self.chat}" if self.topic is None else f"{account}:{self.chat}/{self.topic}"


def place_of(account: str, key: str) -> Place | None:
    """The place that a channel's key names; None where it is none of this account's."""
    found = _KEY.fullmatch(key.removeprefix(f"{account}:"))
    if found is None or not key.startswith(f"{account}:"):
        return None
    return Place(int(found[1]), None if found[2] is None else int(found[2]))


def message_number(external_id: str | None) -> int | None:
    """The number that the API knows a message by; None where this names no message of the chat as it is now."""
    return int(external_id) if external_id and external_id.isascii() and external_id.isdecimal() else None


def press_id(message_id: int, query_id: str) -> str:
    """The name of one press of a button under a message."""
    return f"press-{message_id}-{query_id}"


def older_than(external_id: str | None) -> int | None:
    """The number of a message that is no newer than what `external_id` names, be it the press of a button."""
    found = _OLDER.fullmatch(external_id or "")
    return None if found is None else int(found[1])
