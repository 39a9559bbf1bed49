"""What a platform's room offers to the rest: whose token it is, and a connector for an account.

The rooms are imported when the first account of their platform needs them, in a thread: a page is up before any client
library is, and answers while one is being imported.
"""

from __future__ import annotations

import asyncio
import re
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

from pydantic import SecretStr

from config.errors import BadInput, ParlanceError

if TYPE_CHECKING:
    from bots.conversation import Conversation
    from store.database import Database


@dataclass(frozen=True, slots=True)
class AccountView:
    """An account as its connector sees it. `external_id` and `username` are the bot's own on its platform; `api_base`
    is another server that speaks the platform's protocol, without a slash at its end."""

    name: str
    platform: str
    token: SecretStr
    api_base: str | None
    external_id: str
    username: str


@dataclass(frozen=True, slots=True)
class Identity:
    """Whose token it is. `hints`: sentences on what the owner may want to change at the platform; `invite`: a link
    that brings the bot to a chat or a chat to the bot."""

    external_id: str
    username: str
    name: str
    hints: tuple[str, ...] = ()
    invite: str | None = None


class AccountStopped(ParlanceError):
    """The token no longer works: this account stops until somebody does what the sentence says; others go on."""


class Connector(Protocol):
    """One account's talk with its platform."""

    async def run(self) -> None:
        """Until cancelled. Raises AccountStopped when the token no longer works; anything else is a fault after
        which it is made and run again."""
        ...


Check = Callable[[SecretStr, str | None], Awaitable[Identity]]
Connect = Callable[[AccountView, "Conversation", "Database"], Connector]


@dataclass(frozen=True, slots=True)
class Platform:
    """`title` is its name for people; `token` the shape of its tokens; `load` imports its room."""

    title: str
    token: re.Pattern[str]
    load: Callable[[], tuple[Check, Connect]]

    async def check(self, token: SecretStr, api_base: str | None) -> Identity:
        """Ask whose token it is. Raises BadInput for one that the platform does not know."""
        check, _ = await asyncio.to_thread(self.load)
        return await check(token, api_base)

    async def connect(self, account: AccountView, conversation: Conversation, database: Database) -> Connector:
        """A connector for `account`, not yet running."""
        _, connect = await asyncio.to_thread(self.load)
        return connect(account, conversation, database)


def _telegram() -> tuple[Check, Connect]:
    from bots.telegram.connector import TelegramConnector, check

    return check, TelegramConnector


def _discord() -> tuple[Check, Connect]:
    from bots.discord.connector import DiscordConnector, check

    return check, DiscordConnector


PLATFORMS: Mapping[str, Platform] = {
    "telegram": Platform("Telegram", re.compile(r"\d{5,}:[\w-]{30,}"), _telegram),
    "discord": Platform("Discord", re.compile(r"[\w-]{18,}\.[\w-]{5,}\.[\w-]{20,}"), _discord),
}


def platform_of(token: SecretStr, platforms: Mapping[str, Platform] = PLATFORMS) -> str:
    """The platform whose tokens look like this one. Raises BadInput where none does."""
    for name, platform in platforms.items():
        if platform.token.fullmatch(token.get_secret_value()):
            return name
    titles = " or a ".join(platform.title for platform in platforms.values())
    raise BadInput(
        f"That does not look like a {titles} bot’s token; copy it whole, or say with --platform which one it is."
    )
