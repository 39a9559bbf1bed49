"""One Discord account at work: its gateway client kept running, what was left behind taken up, commands registered.

Promises: what the gateway tells, or told nobody in between, is handed on; one bad event, a dropped connection or a
server out of order end nothing; a token that no longer works ends this account alone.
"""

from __future__ import annotations

import asyncio
from contextlib import suppress
from dataclasses import replace
from typing import Any

import aiohttp
import structlog
from discord.errors import ConnectionClosed, GatewayNotFound, HTTPException, LoginFailure

from bots.accounts import note_trouble
from bots.conversation import Conversation
from bots.discord.asked import Questions
from bots.discord.calls import Calls
from bots.discord.client import Client
from bots.discord.cursor import Reading, read_cursor, write_cursor
from bots.discord.identity import CONTENT_OFF, check
from bots.discord.incomings import external_of
from bots.discord.messages import Messages
from bots.discord.missed import read_missed
from bots.discord.registration import operators_known, register
from bots.discord.talk import Talk
from bots.incoming import Incoming
from bots.platforms import AccountStopped, AccountView
from bots.trouble import tell_operators
from store.database import Database
from store.deliveries import Undelivered

__all__ = ["DiscordConnector", "check"]

SAVE_SECONDS = 5.0
FIRST_WAIT, LONGEST_WAIT = 1.0, 30.0
REVOKED, SHARDED, NOT_ALLOWED = 4004, 4011, 4014
NO_LONGER_ACCEPTED = (
    "Discord no longer accepts this account’s token; copy the present one at discord.com/developers/applications under "
    "Bot, Reset Token, and add it with: parlance account add"
)
TOO_LARGE = (
    "This bot is in more servers than Discord lets one connection serve (about 2,500); make another bot for some of "
    "them, and add it with: parlance account add"
)
UNREACHABLE = "Discord cannot be reached at the moment; it is being tried again."

log = structlog.get_logger()


class DiscordConnector:
    """`run` it once."""

    def __init__(self, account: AccountView, conversation: Conversation, database: Database) -> None:
        self._account = account
        self._conversation = conversation
        self._database = database
        self._content = True
        self._told: str | None = ""
        self._well = asyncio.Event()
        self._catching_up: asyncio.Task[None] | None = None

    async def run(self) -> None:
        """Until cancelled. Raises AccountStopped when the token no longer works."""
        calls = Calls(self._account.api_base)
        talk = Talk(self._account, self._conversation, self._database, calls)
        reading = Reading((await read_cursor(self._database, self._account.name)).get("seen"))
        messages, questions = Messages(talk, reading), Questions(talk)
        keeping = asyncio.create_task(self._keep_mark(reading))
        wait, entered = FIRST_WAIT, False
        try:
            while True:
                try:
                    if not entered:
                        await calls.static_login(self._account.token.get_secret_value())
                        await self._take_over(talk, messages)
                        talk.begin(tell_operators(self._database, talk.account, self._conversation.busy, talk.tell))
                        entered = True
                    await self._listen(talk, messages, questions, reading)
                except AccountStopped:
                    raise
                except LoginFailure:
                    raise AccountStopped(NO_LONGER_ACCEPTED) from None
                except ConnectionClosed as closed:
                    self._judge(closed)
                except (HTTPException, GatewayNotFound, aiohttp.ClientError, OSError, TimeoutError) as error:
                    log.warning("discord_unreachable", account=self._account.name, kind=type(error).__name__)
                    await self._tell(UNREACHABLE)
                except Exception:
                    log.exception("discord_client_ended", account=self._account.name)
                if self._well.is_set():
                    wait = FIRST_WAIT
                self._well.clear()
                await asyncio.sleep(wait)
                wait = min(2 * wait, LONGEST_WAIT)
        finally:
            await _end(keeping, self._catching_up)
            await talk.end()
            await write_cursor(self._database, self._account.name, seen=reading.mark)
            await calls.end()

    async def _listen(self, talk: Talk, messages: Messages, questions: Questions, reading: Reading) -> None:
        """One gateway client, as long as it lasts; reconnections with the same session are its own affair."""
        client = Client(talk.calls, content=self._content)
        messages.reads = self._content
        for listener in (
            messages.on_message, messages.on_raw_message_edit, messages.on_raw_message_delete,
            messages.on_raw_bulk_message_delete, messages.on_guild_join, messages.on_guild_remove,
            messages.on_guild_channel_delete, messages.on_raw_thread_delete, questions.on_raw_interaction,
        ):  # fmt: skip
            client.event(listener)

        async def on_ready() -> None:
            if self._catching_up is not None:
                self._catching_up.cancel()
            self._catching_up = asyncio.create_task(self._catch_up(client, talk, messages, reading))

        async def on_connect() -> None:
            reading.hold()

        client.event(on_connect)
        client.event(on_ready)
        running = asyncio.create_task(client.start(self._account.token.get_secret_value(), reconnect=False))
        revoked = asyncio.create_task(talk.calls.revoked.wait())
        try:
            await asyncio.wait({running, revoked}, return_when=asyncio.FIRST_COMPLETED)
            if revoked.done():
                raise AccountStopped(NO_LONGER_ACCEPTED)
            await running
        finally:
            await _end(running, revoked, self._catching_up)
            await client.close()

    def _judge(self, closed: ConnectionClosed) -> None:
        """What a closed gateway means."""
        if closed.code == REVOKED:
            raise AccountStopped(NO_LONGER_ACCEPTED) from None
        if closed.code == SHARDED:
            raise AccountStopped(TOO_LARGE) from None
        log.warning("discord_gateway_closed", account=self._account.name, code=closed.code)
        if closed.code == NOT_ALLOWED and self._content:
            self._content = False
            self._well.set()

    async def _catch_up(self, client: Client, talk: Talk, messages: Messages, reading: Reading) -> None:
        """After a new session: what was missed, and what may have changed at either end; until the next one."""
        self._well.set()
        wait = FIRST_WAIT
        while True:
            try:
                await self._tell(None if self._content else CONTENT_OFF)
                await read_missed(client, self._database, self._account.name, reading.mark, messages.take_missed)
                reading.release()
                await self._compare_guilds(client, messages)
                await self._register(client, talk)
            except Exception:
                log.exception("discord_catching_up_failed", account=self._account.name)
            await asyncio.sleep(wait)
            wait = min(2 * wait, LONGEST_WAIT)

    async def _compare_guilds(self, client: Client, messages: Messages) -> None:
        """Servers that were joined or left while nobody listened; at the first start all are taken as known."""
        known = (await read_cursor(self._database, self._account.name)).get("guilds")
        if known is not None:
            for guild_id in set(known) - {guild.id for guild in client.guilds}:
                await messages.gone_from(guild_id)
            for guild in (guild for guild in client.guilds if guild.id not in known):
                await messages.on_guild_join(guild)
        await write_cursor(self._database, self._account.name, guilds=sorted(guild.id for guild in client.guilds))

    async def _register(self, client: Client, talk: Talk) -> None:
        """Commands, now and whenever it changes who has to see them."""
        application = client.application_id
        shown: tuple[bool, frozenset[int]] | None = None
        while application is not None:
            wanted = await operators_known(self._database), frozenset(guild.id for guild in client.guilds)
            if wanted != shown:
                await register(talk.calls, self._database, self._account.name, application, wanted[1])
                await write_cursor(self._database, self._account.name, guilds=sorted(wanted[1]))
                shown = wanted
            await asyncio.sleep(SAVE_SECONDS)

    async def _take_over(self, talk: Talk, messages: Messages) -> None:
        """Begin with what a process that is gone left behind."""
        name = self._account.name
        unanswered = await self._conversation.unanswered(name)
        for left in await talk.presenter.left_undelivered(name):
            talk.begin(self._redeliver(talk, left))
        for incoming in unanswered:
            talk.begin(self._answer(talk, messages, incoming))

    async def _redeliver(self, talk: Talk, left: Undelivered) -> None:
        await talk.presenter.redeliver(left, talk.outlet(external_of(left.channel.key)))

    async def _answer(self, talk: Talk, messages: Messages, incoming: Incoming) -> None:
        if incoming.server is not None and incoming.text.startswith("/") and incoming.author_id.isdigit():
            server, author = external_of(incoming.server), int(incoming.author_id)
            incoming = replace(incoming, server_roles=await messages.roles(server, author))
        outlet = talk.outlet(external_of(incoming.channel))
        await talk.show(self._conversation.answer_left(incoming), incoming, outlet)

    async def _keep_mark(self, reading: Reading) -> None:
        kept = None
        while True:
            if reading.mark != kept:
                kept = reading.mark
                await write_cursor(self._database, self._account.name, seen=kept)
            await asyncio.sleep(SAVE_SECONDS)

    async def _tell(self, trouble: str | None) -> None:
        if trouble != self._told:
            self._told = trouble
            await note_trouble(self._database, self._account.name, trouble)


async def _end(*tasks: asyncio.Task[Any] | None) -> None:
    for task in filter(None, tasks):
        task.cancel()
        with suppress(asyncio.CancelledError, Exception):
            await task
