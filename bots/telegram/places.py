"""How Telegram's chats, topics and messages are named in the tables. Pure; knows no API.

A channel's key is `ACCOUNT:CHAT`, a topic's `ACCOUNT:CHAT/TOPIC` within it. Message ids count per chat in supergroups,
but per bot in private chats and basic groups; a basic group that is upgraded keeps its channel and counts anew, so its
older ids carry a letter that no later one has.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

SUPERGROUPS = -1_000_000_000_000
"""Chat ids of supergroups and channels are not above this."""
_KEY = re.compile(r"(-?\d+)(?:/(\d+))?")
_MESSAGE = re.compile(r"g?(\d+)")
_PRESS = re.compile(r"press-g?(\d+)-\w+")


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

    def external_id(self, message_id: int) -> str:
        """A message's name in the tables."""
        return f"g{message_id}" if SUPERGROUPS < self.chat < 0 else str(message_id)

    def message_id(self, external_id: str | None) -> int | None:
        """The number that the API knows; None where this is no message of this chat as it is now."""
        found = _MESSAGE.fullmatch(external_id or "")
        if found is None or self.external_id(int(found[1])) != external_id:
            return None
        return int(found[1])


def place_of(account: str, key: str) -> Place | None:
    """The place that a channel's key names; None where it is none of this account's."""
    found = _KEY.fullmatch(key.removeprefix(f"{account}:"))
    if found is None or not key.startswith(f"{account}:"):
        return None
    return Place(int(found[1]), None if found[2] is None else int(found[2]))


def press_id(place: Place, message_id: int, query_id: str) -> str:
    """The name of one press of a button under a message."""
    return f"press-{place.external_id(message_id)}-{query_id}"


def older_than(external_id: str | None) -> int | None:
    """The number of a message that is no newer than what `external_id` names, a press of a button included."""
    found = _MESSAGE.fullmatch(external_id or "") or _PRESS.fullmatch(external_id or "")
    return None if found is None else int(found[1])
