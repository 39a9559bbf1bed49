"""The lists of commands that Telegram shows behind '/': by scope and role, in the languages we have, set when changed.

Members see theirs in private chats and in groups; whoever looks after an assistant sees theirs too, in their own chat
with the bot and in its groups. What was set is kept as digests with the account.
"""

from __future__ import annotations

import asyncio
import hashlib
import json
from dataclasses import dataclass

import structlog
from sqlalchemy import select
from telegram import (
    BotCommand,
    BotCommandScope,
    BotCommandScopeAllGroupChats,
    BotCommandScopeAllPrivateChats,
    BotCommandScopeChat,
    BotCommandScopeChatMember,
)
from telegram.error import BadRequest, Forbidden

from bots.commands import Command, allowed
from bots.incoming import RANK, Role
from bots.telegram.client import TelegramClient
from bots.telegram.menu_words import WORDS
from bots.telegram.places import place_of
from store.accounts import named
from store.database import Database
from store.tables import Account, Channel, RoleGiven

LOOK_SECONDS = 60.0
"""Between two looks at who looks after what."""
MOST_GROUPS = 20
"""In which people with a role see their commands; in others they type them."""
LONGEST_DESCRIPTION = 256
PLATFORM = "telegram:"

log = structlog.get_logger()


@dataclass(frozen=True, slots=True)
class Scope:
    """Who sees a list: everybody in private or in groups, one person in their chat with the bot, one in a group."""

    kind: str
    role: Role
    chat: int = 0
    person: int = 0

    @property
    def key(self) -> str:
        return f"{self.kind} {self.chat} {self.person}"

    @property
    def of_api(self) -> BotCommandScope:
        return scope_of(self.key)


def scope_of(key: str) -> BotCommandScope:
    """As the API writes the scope with this key."""
    kind, chat, person = key.split()
    match kind:
        case "private":
            return BotCommandScopeAllPrivateChats()
        case "groups":
            return BotCommandScopeAllGroupChats()
        case "chat":
            return BotCommandScopeChat(int(chat))
        case _:
            return BotCommandScopeChatMember(int(chat), int(person))


def listed(role: Role, language: str) -> list[BotCommand]:
    """The commands that `role` may type; `language` is empty for English, and what it lacks is English too."""
    words = WORDS.get(language, {})
    return [BotCommand(one.name, _described(one, words)) for one in allowed(role)]


def _described(command: Command, words: dict[str, str]) -> str:
    return words.get(command.name, command.help)[:LONGEST_DESCRIPTION]


class Menus:
    """One account's lists."""

    def __init__(self, client: TelegramClient, database: Database, account: str) -> None:
        self._client = client
        self._database = database
        self._account = account
        self._refused: set[str] = set()

    async def keep(self) -> None:
        """Set what has changed, now and whenever somebody is given a role."""
        while True:
            await self.bring_up_to_date()
            await asyncio.sleep(LOOK_SECONDS)

    async def bring_up_to_date(self) -> None:
        """Set the lists that are not as they should be, and take away those that should not be."""
        scopes, before = await self._wanted()
        now = {scope.key: _digest(scope.role) for scope in scopes}
        for scope in scopes:
            if before.get(scope.key) != now[scope.key] and f"{scope.key} {scope.role}" not in self._refused:
                if await self._set(scope):
                    await self._note(scope.key, now[scope.key])
                else:
                    self._refused.add(f"{scope.key} {scope.role}")
        for key in before.keys() - now.keys():
            await self._delete(key)
            await self._note(key, None)

    async def _wanted(self) -> tuple[list[Scope], dict[str, str]]:
        """The lists that there should be, and the digests of those that were set."""
        async with self._database.session() as session:
            account = await named(session, self._account)
            given = await session.scalars(select(RoleGiven).where(RoleGiven.subject.startswith(PLATFORM)))
            roles: dict[int, Role] = {}
            for one in given:
                number = one.subject.removeprefix(PLATFORM)
                role: Role = "owner" if one.role == "owner" else "operator"
                if number.isdecimal() and RANK[role] > RANK[roles.get(int(number), "member")]:
                    roles[int(number)] = role
            keys = await session.scalars(
                select(Channel.key)
                .where(
                    Channel.account == self._account, ~Channel.private, Channel.present, Channel.parent_key.is_(None)
                )
                .order_by(Channel.id.desc())
                .limit(MOST_GROUPS)
            )
            groups = [place.chat for key in keys if (place := place_of(self._account, key)) is not None]
        scopes = [Scope("private", "member"), Scope("groups", "member")]
        for person, role in sorted(roles.items()):
            scopes.append(Scope("chat", role, person))
            scopes += [Scope("member", role, group, person) for group in groups]
        return scopes, dict(account.cursor.get("menus", {})) if account is not None else {}

    async def _set(self, scope: Scope) -> bool:
        """In every language. False where Telegram does not know that chat or person."""
        try:
            for language in ("", *WORDS):
                commands = listed(scope.role, language)
                await self._client.call(
                    lambda language=language, commands=commands: self._client.bot.set_my_commands(  # type: ignore[misc]
                        commands, scope=scope.of_api, language_code=language or None
                    )
                )
        except (BadRequest, Forbidden) as error:
            log.info("telegram_menu_refused", kind=scope.kind, reason=type(error).__name__)
            return False
        return True

    async def _delete(self, key: str) -> None:
        try:
            for language in ("", *WORDS):
                await self._client.call(
                    lambda language=language: self._client.bot.delete_my_commands(  # type: ignore[misc]
                        scope=scope_of(key), language_code=language or None
                    )
                )
        except (BadRequest, Forbidden) as error:
            log.info("telegram_menu_refused", kind=key.split()[0], reason=type(error).__name__)

    async def _note(self, key: str, digest: str | None) -> None:
        async with self._database.session() as session:
            account = await session.scalar(select(Account).where(Account.name == self._account).with_for_update())
            if account is None:
                return
            menus = {one: kept for one, kept in account.cursor.get("menus", {}).items() if one != key}
            account.cursor = account.cursor | {"menus": menus | ({key: digest} if digest else {})}


def _digest(role: Role) -> str:
    said = [[one.command, one.description] for language in ("", *WORDS) for one in listed(role, language)]
    return hashlib.sha256(json.dumps(said).encode()).hexdigest()[:16]
