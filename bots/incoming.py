"""One message or command as a connector hands it in: the same shape from every platform. Knows no platform."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

Role = Literal["member", "operator", "owner"]
RANK: dict[Role, int] = {"member": 0, "operator": 1, "owner": 2}


@dataclass(frozen=True, slots=True)
class Incoming:
    """What was said, where, and by whom.

    `account` is the bot's own account, `channel` the full key `ACCOUNT:EXTERNAL`; `author_id` is the platform's id of
    the person and `author` the name that others see. `external_id` is unique in the channel: the same id is the same
    message, however often it is delivered. `reply_to` is an external id. `parent` and `server` are keys of what
    the channel lies in. `mentioned` also holds for a reply to the assistant.
    """

    account: str
    channel: str
    author_id: str
    author: str
    role: Role
    text: str
    external_id: str
    reply_to: str | None = None
    parent: str | None = None
    server: str | None = None
    private: bool = True
    mentioned: bool = False

    def may(self, role: Role) -> bool:
        """Whether this author has at least `role`."""
        return RANK[self.role] >= RANK[role]

    @property
    def for_us(self) -> bool:
        """Whether it was said to the assistant: in private, by mention or reply, or as a command."""
        return self.private or self.mentioned or self.text.lstrip().startswith("/")
