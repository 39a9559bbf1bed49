"""Interactions as the gateway sends them: slash commands, buttons, completions, forms; and what they say to us.

Read from the payload itself, which names its channel by id even where the library knows none. Knows no network.
"""

from __future__ import annotations

from enum import IntEnum
from typing import Any

from pydantic import BaseModel, ConfigDict, Field

from bots.discord.components import command_of
from bots.discord.incomings import channel_key, roles_of, server_key
from bots.incoming import Incoming

_THREADS = (10, 11, 12)
EPHEMERAL = 64


class Kind(IntEnum):
    """What somebody did."""

    command = 2
    button = 3
    completion = 4
    form = 5


class Wire(BaseModel):
    """A part of a payload; what we do not need is left."""

    model_config = ConfigDict(extra="ignore", frozen=True)


class User(Wire):
    """Somebody, everywhere."""

    id: str
    username: str
    global_name: str | None = None


class Member(Wire):
    """Somebody in a server; roles by id."""

    user: User
    nick: str | None = None
    roles: tuple[str, ...] = ()


class Place(Wire):
    """A channel, as far as it is told."""

    id: str
    type: int
    name: str | None = None
    parent_id: str | None = None


class Option(Wire):
    """What was filled in for one option of a command."""

    name: str
    type: int = 3
    value: Any = None
    focused: bool = False


class Filled(Wire):
    """One field of a form."""

    custom_id: str = ""
    value: Any = None


class Row(Wire):
    """One row of a form."""

    components: tuple[Filled, ...] = ()


class Resolved(Wire):
    """Which ids in options are roles."""

    roles: dict[str, Any] = {}


class Data(Wire):
    """The command, button or form."""

    name: str = ""
    type: int = 1
    options: tuple[Option, ...] = ()
    custom_id: str = ""
    target_id: str | None = None
    components: tuple[Row, ...] = ()
    resolved: Resolved = Resolved()


class Shown(Wire):
    """The message that a button stands under."""

    id: str
    flags: int = 0


class Interaction(Wire):
    """One of them, whole."""

    id: str
    application_id: str
    type: int
    token: str = Field(repr=False)
    data: Data = Data()
    channel_id: str | None = None
    channel: Place | None = None
    guild_id: str | None = None
    member: Member | None = None
    user: User | None = None
    message: Shown | None = None
    locale: str | None = None

    @property
    def place_id(self) -> int | None:
        """The channel's id, from wherever it stands."""
        found = self.channel_id or (self.channel.id if self.channel is not None else None)
        return None if found is None else int(found)

    @property
    def person(self) -> User | None:
        return self.member.user if self.member is not None else self.user

    @property
    def under_private(self) -> bool:
        """Whether the button stands under a message that only its reader sees."""
        return self.message is not None and bool(self.message.flags & EPHEMERAL)

    @property
    def focused(self) -> Option | None:
        """The option that is being typed."""
        return next((option for option in self.data.options if option.focused), None)

    @property
    def filled(self) -> str:
        """What was written into a form's one field."""
        return next((str(field.value or "") for row in self.data.components for field in row.components), "")


def incoming_of(asked: Interaction, account: str, text: str, *, reply_to: str | None = None) -> Incoming | None:
    """What somebody asked for, as if they had typed `text`; None where Discord does not say who or where."""
    person, place = asked.person, asked.place_id
    if person is None or place is None:
        return None
    name = (asked.member.nick if asked.member is not None else None) or person.global_name or person.username
    thread = asked.channel is not None and asked.channel.type in _THREADS
    parent = asked.channel.parent_id if asked.channel is not None and thread else None
    known = asked.channel.name if asked.channel is not None else None
    under = asked.message.id if asked.message is not None and asked.type == Kind.button else None
    return Incoming(
        account=account,
        channel=channel_key(account, place),
        author_id=person.id,
        author=name,
        role="member",
        text=text,
        external_id=asked.id,
        reply_to=reply_to or under,
        parent=None if parent is None else channel_key(account, int(parent)),
        server=None if asked.guild_id is None else server_key(account, int(asked.guild_id)),
        private=asked.guild_id is None,
        mentioned=True,
        platform="discord",
        server_roles=roles_of(int(role) for role in (asked.member.roles if asked.member is not None else ())),
        pressed=asked.type == Kind.button,
        title=f"#{known}" if known and asked.guild_id is not None else name if asked.guild_id is None else None,
        language=asked.locale,
        username=person.username,
    )


def pressed(asked: Interaction) -> str | None:
    """The command of the button that was pressed; None where it is none of ours."""
    return command_of(asked.data.custom_id)
