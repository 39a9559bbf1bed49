"""A Telegram account at work in a test: a bot of the test's server, and a connector that runs for it."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress

from bot_api_server import Bot, BotApiServer
from pydantic import SecretStr

from bots.conversation import Conversation
from bots.platforms import AccountView
from bots.telegram.connector import TelegramConnector
from bots.telegram.limits import Rates
from store.database import Database
from store.tables import Account

NAME = "harbour"


def view_of(server: BotApiServer, bot: Bot, name: str = NAME) -> AccountView:
    return AccountView(name, "telegram", SecretStr(bot.token), server.url, str(bot.me.id), bot.me.username or "")


async def keep_account(database: Database, server: BotApiServer, bot: Bot, name: str = NAME) -> None:
    """The account's row, as `parlance account add` makes it."""
    async with database.session() as session:
        session.add(
            Account(
                name=name,
                platform="telegram",
                external_id=str(bot.me.id),
                username=bot.me.username,
                token=bot.token,
                api_base=server.url,
            )
        )


@asynccontextmanager
async def at_work(
    server: BotApiServer, bot: Bot, conversation: Conversation, database: Database, *, speed: float = 20.0
) -> AsyncIterator[asyncio.Task[None]]:
    """A connector that runs; the task ends only when the account stops."""
    connector = TelegramConnector(view_of(server, bot), conversation, database, Rates(speed=speed))
    task = asyncio.create_task(connector.run())
    try:
        yield task
    finally:
        task.cancel()
        with suppress(asyncio.CancelledError, Exception):
            await task
