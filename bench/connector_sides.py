"""Who performs, each in a process of its own: our connectors with a stand-in engine that answers at once, and what one
would write without us, a bare bot of each platform's library that says what it hears.

    python -m bench.connector_sides SIDE PLATFORM ADDRESS TOKEN BOT_ID USERNAME CHATS STRICT
"""

from __future__ import annotations

import asyncio
import logging
import sys
from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass
from typing import Any

import structlog

from config.names import VersionName
from serving.answer import Finished, Piece, Sampling
from serving.prompt import Message
from serving.status import EngineStatus

FIRST_PERSON = 1000
ACCOUNT = "bench"
SAID = "The boat leaves at dawn, and the keeper has oil for the lamp."
FASTEST = 10_000.0


@dataclass(slots=True)
class InstantEngine:
    """Always ready, and answers with the same words at once."""

    status: EngineStatus
    context: int = 4096

    @property
    def client(self) -> Any:
        return self

    async def wait_ready(self) -> None:
        """It is."""

    async def healthy(self) -> bool:
        return True

    async def stream(
        self, version: VersionName, messages: Sequence[Message], sampling: Sampling
    ) -> AsyncIterator[Piece | Finished]:
        yield Piece(SAID)
        yield Finished(SAID, "stop", 7, 14, 0.0, 0.0)


class Words:
    """A tokenizer: a token a word."""

    def count(self, messages: Sequence[Message]) -> int:
        return sum(len(message["content"].split()) for message in messages)

    def without_control(self, text: str) -> str:
        return text


async def words() -> Any:
    """The tokenizer."""
    return Words()


@dataclass(frozen=True, slots=True)
class Part:
    """What a side is told."""

    platform: str
    address: str
    token: str
    bot_id: str
    username: str
    chats: int
    strict: bool


async def ours(part: Part) -> None:
    """Parlance's connector over a conversation on a database, as the platform runs it. Nobody is asked for consent
    again, and nobody writes too fast: neither is what is measured."""
    from pydantic import SecretStr

    from bots.consent import SHOWN
    from bots.conversation import Conversation
    from bots.pace import Limit, Pace
    from bots.platforms import AccountView
    from config.settings import load_settings
    from serving.router import set_route
    from store.assistants import add_assistant
    from store.database import open_database
    from store.tables import Account, Consent

    settings = load_settings()
    database = await open_database(settings)
    async with database.session() as session:
        await add_assistant(session, "harbour", "You keep the harbour.", "demo")
        await set_route(session, "default", "", "harbour")
        session.add(
            Account(
                name=ACCOUNT, platform=part.platform, external_id=part.bot_id, username=part.username, token=part.token,
                api_base=part.address,
            )
        )  # fmt: skip
        people = range(FIRST_PERSON, FIRST_PERSON + part.chats)
        session.add_all(
            Consent(person=f"telegram:{one}", chat=f"{ACCOUNT}:{one}", state="out", shown=SHOWN) for one in people
        )
    free = Pace(Limit(1 << 30, 1.0), Limit(1 << 30, 1.0))
    engine = InstantEngine(EngineStatus("ready", "The engine is ready.", 0.0))
    conversation = Conversation(database, settings, engine, words, free)
    view = AccountView(ACCOUNT, part.platform, SecretStr(part.token), part.address, part.bot_id, part.username)
    if part.platform == "telegram":
        from bots.telegram.connector import TelegramConnector
        from bots.telegram.limits import RATES, Rates

        rates = RATES if part.strict else Rates(speed=FASTEST)
        await TelegramConnector(view, conversation, database, rates).run()
    else:
        from bots.discord import calls
        from bots.discord.connector import DiscordConnector

        if not part.strict:
            calls.A_SECOND = int(FASTEST)
        await DiscordConnector(view, conversation, database).run()


async def bare(part: Part) -> None:
    """A bot that says what it hears, as the library's own first example has it."""
    await (_bare_telegram if part.platform == "telegram" else _bare_discord)(part)


async def _bare_telegram(part: Part) -> None:
    from telegram import Update
    from telegram.ext import Application, ContextTypes, MessageHandler, filters

    async def echo(update: Update, context: ContextTypes.DEFAULT_TYPE) -> None:
        if update.message is not None and update.message.text is not None:
            await update.message.reply_text(SAID)

    built = Application.builder().token(part.token).base_url(f"{part.address}/bot")
    application = built.concurrent_updates(True).connection_pool_size(256).pool_timeout(60).build()
    application.add_handler(MessageHandler(filters.TEXT, echo))
    async with application:
        await application.start()
        assert application.updater is not None
        await application.updater.start_polling()
        await asyncio.Event().wait()


async def _bare_discord(part: Part) -> None:
    import discord
    import yarl
    from discord.gateway import DiscordWebSocket
    from discord.http import Route

    Route.BASE = part.address
    gateway = part.address.replace("http://", "ws://").removesuffix("/api/v10") + "/gateway"
    DiscordWebSocket.DEFAULT_GATEWAY = yarl.URL(gateway)

    client = discord.Client(intents=discord.Intents(guilds=True, dm_messages=True), max_messages=None)

    @client.event
    async def on_message(message: discord.Message) -> None:
        if message.author != client.user:
            await message.channel.send(SAID)

    await client.start(part.token)


def main() -> None:
    """Perform until killed."""
    side, platform, address, token, bot_id, username, chats, strict = sys.argv[1:]
    logging.basicConfig(level=logging.ERROR)
    structlog.configure(
        processors=[structlog.processors.KeyValueRenderer()],
        wrapper_class=structlog.make_filtering_bound_logger(logging.ERROR),
        logger_factory=structlog.PrintLoggerFactory(sys.stderr),
    )
    part = Part(platform, address, token, bot_id, username, int(chats), strict == "strict")
    asyncio.run({"ours": ours, "bare": bare}[side](part))


if __name__ == "__main__":
    main()
