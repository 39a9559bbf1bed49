"""One message or command as a connector hands it in: the same shape from every platform. Knows no platform."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Literal

Role = Literal["member", "operator", "owner"]
RANK: dict[Role, int] = {"member": 0, "operator": 1, "owner": 2}


@dataclass(frozen=True, slots=True)
class Attachment:
    """Something that came with a message. `size` in bytes as the platform says; `read` fetches it, whole."""

    name: str
    media_type: str
    size: int
    read: Callable[[], Awaitable[bytes]]


@dataclass(frozen=True, slots=True)
class Incoming:
    """What was said, where, and by whom.

    `account` is the bot's own account, `channel` the full key `ACCOUNT:EXTERNAL`; `author_id` is the platform's id of
    the person and `author` the name that others see. `role` is what the connector itself knows of them; what is
    recorded for the person or for one of their `server_roles` (`discord-role:ID`) is added by the conversation.
    `external_id` is unique in the channel: the same id is the same message, however often it is delivered; a pressed
    button is a message with an id of its own, the button's command as its text, and `pressed`. `reply_to` is an
    external id, of a pressed button that of the message it stands under; `reply_person` is the key (`PLATFORM:ID`) of
    whoever wrote what was replied to. `parent` and `server` are keys of what the channel lies in. `mentioned` also
    holds for a reply to the assistant, and for a command that names it. `title` is what people call the channel,
    `language` the person's, as IETF writes it, `username` what they are mentioned by. `forwarded`: passed on from
    elsewhere, so that the words may be somebody else's.
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
    platform: str = "web"
    server_roles: tuple[str, ...] = ()
    attachments: tuple[Attachment, ...] = ()
    pressed: bool = False
    title: str | None = None
    language: str | None = None
    username: str | None = None
    reply_person: str | None = None
    forwarded: bool = False

    def may(self, role: Role) -> bool:
        """Whether this author has at least `role`."""
        return RANK[self.role] >= RANK[role]

    @property
    def person(self) -> str:
        """The author as all tables name them."""
        return f"{self.platform}:{self.author_id}"

    @property
    def chat(self) -> str:
        """What consent is given for: the channel, of topics and threads the chat they lie in."""
        return self.parent or self.channel
