"""Accounts: the bots that this installation speaks through, added, paused and removed while it runs.

Promises: a token is asked for its bot before it is kept, is stored sealed and shown never; one bot has one account.
Whatever process changes the table, the running platform follows within about a second. Removing an account forgets
its token and keeps its chats under its name, which nobody else may have; the same bot, added again, goes on there.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import TYPE_CHECKING

import structlog
from pydantic import SecretStr
from sqlalchemy.exc import IntegrityError
from sqlalchemy.ext.asyncio import AsyncSession

from bots import api_base as api_bases
from bots.connectors import Connectors, view_of
from bots.platforms import PLATFORMS, AccountStopped, AccountView, Connector, Identity, Platform, platform_of
from config.errors import BadInput, Refused
from store import accounts as rows
from store.columns import now
from store.database import Database
from store.tables import Account

if TYPE_CHECKING:
    from bots.conversation import Conversation

__all__ = ["AccountRow", "AccountStopped", "AccountView", "Accounts", "Added", "Connector", "Identity", "note_trouble"]

NAME = re.compile(r"[a-z][a-z0-9_-]{0,39}")
TAKEN_NAMES = ("web", "default")
LONGEST_TOKEN = 300
LONGEST_REFERENCE = 1000

log = structlog.get_logger()


@dataclass(frozen=True, slots=True)
class Added:
    """A token was kept. `renewed`: its bot was known, by the name that `view` has, and goes on with this token."""

    view: AccountView
    identity: Identity
    renewed: bool = False


@dataclass(frozen=True, slots=True)
class AccountRow:
    """An account as it is shown: never its token. `state`: on, paused, stopped; `channels`: in how many it is."""

    name: str
    platform: str
    username: str
    state: str
    trouble: str | None
    api_base: str | None
    permission: str | None
    permission_by: str | None
    permission_at: datetime | None
    channels: int
    created_at: datetime


async def note_trouble(database: Database, name: str, sentence: str | None) -> None:
    """For connectors: what is wrong with account `name` at the moment, in one sentence; None when it is over."""
    async with database.session() as session:
        account = await rows.named(session, name)
        if account is not None and account.state == "on" and account.trouble != sentence:
            account.trouble = sentence


@dataclass(slots=True)
class Accounts:
    """All accounts. Without a conversation it keeps the table, for another process's `run_forever` to follow."""

    database: Database
    conversation: Conversation | None = None
    platforms: Mapping[str, Platform] = field(default_factory=lambda: PLATFORMS)

    async def add(
        self,
        platform: str | None,
        token: SecretStr,
        *,
        by: str,
        api_base: str | None = None,
        name: str | None = None,
    ) -> Added:
        """Ask the platform whose token it is, keep it, and let it run. Without `platform` the token's shape tells;
        without `name` the bot's own is taken.

        Raises BadInput for a token, an address or a name that cannot be used, Refused for a bot that is here already.
        """
        token = _clean(token)
        platform = platform or platform_of(token, self.platforms)
        if platform not in self.platforms:
            raise BadInput(f"There is no platform “{platform[:40]}”; there are {', '.join(self.platforms)}.")
        address = None if api_base is None else api_bases.checked(api_base)
        if name is not None:
            _require_name(name)
        identity = await self.platforms[platform].check(token, address)
        try:
            async with self.database.session() as session:
                account, renewed = await self._keep(session, platform, identity, token, address, name)
        except IntegrityError:
            raise Refused("That bot, or an account with that name, was added at this very moment.") from None
        log.info("account_added", account=account.name, platform=platform, renewed=renewed, by=by)
        return Added(view_of(account), identity, renewed)

    async def _keep(
        self,
        session: AsyncSession,
        platform: str,
        identity: Identity,
        token: SecretStr,
        address: str | None,
        name: str | None,
    ) -> tuple[Account, bool]:
        account = await rows.known_bot(session, platform, identity.external_id)
        if account is None:
            chosen = name or await _free_name(session, identity.username)
            if await rows.named(session, chosen) is not None:
                raise BadInput(f"There is or was another account “{chosen}”; choose another name.")
            account = Account(
                name=chosen, platform=platform, external_id=identity.external_id, username=identity.username
            )
            session.add(account)
        elif account.state in ("on", "paused") and account.token == token.get_secret_value():
            raise Refused(f"@{identity.username} is connected already, as “{account.name}”.")
        elif name not in (None, account.name):
            raise Refused(f"@{identity.username} is here already as “{account.name}”; leave the name away to renew it.")
        renewed = account.id is not None
        account.token, account.api_base, account.username = token.get_secret_value(), address, identity.username
        account.state, account.trouble = "on", None
        await session.flush()
        return account, renewed

    async def pause(self, name: str, by: str) -> None:
        """It answers nobody until it is resumed. Raises NotFound."""
        async with self.database.session() as session:
            account = await rows.find_account(session, name)
            account.state, account.trouble = "paused", None
        log.info("account_paused", account=name, by=by)

    async def resume(self, name: str, by: str) -> None:
        """Let it run again, also one that had stopped. Raises NotFound."""
        async with self.database.session() as session:
            account = await rows.find_account(session, name)
            if account.state != "on":
                account.state, account.trouble = "on", None
        log.info("account_resumed", account=name, by=by)

    async def remove(self, name: str, by: str) -> None:
        """Forget its token; what was said in its chats stays, and is deleted by person with /forgetme. Raises
        NotFound."""
        async with self.database.session() as session:
            account = await rows.find_account(session, name)
            account.state, account.trouble, account.token, account.cursor = rows.REMOVED, None, "", {}
        log.info("account_removed", account=name, by=by)

    async def permission(self, name: str, reference: str | None, by: str) -> None:
        """Record what allows learning from this account's channels where its platform asks for it, or withdraw it
        with None. Raises NotFound, BadInput for an empty or endless reference."""
        if reference is not None and not 1 <= len(reference.strip()) <= LONGEST_REFERENCE:
            raise BadInput(
                f"Say in 1 to {LONGEST_REFERENCE:,} characters where the platform’s permission can be read: a ticket, "
                "a letter, a link."
            )
        async with self.database.session() as session:
            account = await rows.find_account(session, name)
            account.permission = None if reference is None else reference.strip()
            account.permission_by, account.permission_at = by, now()
        log.info("account_permission", account=name, given=reference is not None, by=by)

    async def list(self) -> Sequence[AccountRow]:
        """All accounts, by name."""
        async with self.database.session() as session:
            found = await rows.list_accounts(session)
            channels = await rows.channel_counts(session)
        return [
            AccountRow(
                one.name, one.platform, one.username, one.state, one.trouble, one.api_base, one.permission,
                one.permission_by, one.permission_at, channels.get(one.name, 0), one.created_at,
            )
            for one in found
        ]  # fmt: skip

    async def run_forever(self) -> None:
        """Keep one connector running for each account that is on, until cancelled; then stop them all."""
        if self.conversation is None:
            raise ValueError("accounts run only beside a conversation")
        await Connectors(self.database, self.conversation, self.platforms).run_forever()


def _clean(token: SecretStr) -> SecretStr:
    """As it is sent: no blanks around it, no word before it. Raises BadInput, without quoting it."""
    text = token.get_secret_value().strip().removeprefix("Bot ").strip()
    if not text:
        raise BadInput("There was no token; copy it from the platform and try again.")
    if len(text) > LONGEST_TOKEN or not text.isascii() or not text.isprintable() or set(text) & set(" /\\?#%"):
        raise BadInput("That is not a token: it has characters that no token has; copy it whole and alone.")
    return SecretStr(text)


def _require_name(name: str) -> None:
    if NAME.fullmatch(name) is None or name in TAKEN_NAMES:
        raise BadInput(
            f"“{name[:60]}” cannot be an account's name: use up to 40 small letters, digits, - and _, a letter first, "
            f"and not {' or '.join(TAKEN_NAMES)}."
        )


async def _free_name(session: AsyncSession, username: str) -> str:
    """From the bot's own name, with a number where that is taken."""
    stem = re.sub(r"[^a-z0-9_-]+", "-", username.lower()).strip("-_")[:35]
    if NAME.fullmatch(stem) is None or stem in TAKEN_NAMES:
        stem = f"bot-{stem}"[:35].rstrip("-")
    number, name = 1, stem
    while await rows.named(session, name) is not None:
        number += 1
        name = f"{stem}-{number}"
    return name
