"""A Telegram account at work in a test: a bot of the test's server, and a connector that runs for it."""

from __future__ import annotations

import asyncio
import os
import subprocess
import sys
from collections.abc import AsyncIterator, Iterator, Sequence
from contextlib import asynccontextmanager, contextmanager, suppress
from pathlib import Path

from bot_api_server import Bot, BotApiServer
from fake_engine import FakeEngine
from pydantic import SecretStr

from bots.conversation import Conversation
from bots.platforms import AccountView
from bots.telegram.connector import TelegramConnector
from bots.telegram.limits import Rates
from config.names import VersionName
from serving.answer import Finished, Piece, Sampling
from serving.prompt import Message
from store.database import Database
from store.tables import Account

NAME = "harbour"
PROCESS = Path(__file__).with_name("telegram_process.py")
ROOT = PROCESS.parents[2]


class EchoEngine(FakeEngine):
    """Says again what was asked."""

    async def stream(
        self, version: VersionName, messages: Sequence[Message], sampling: Sampling
    ) -> AsyncIterator[Piece | Finished]:
        self.requests.append((version, list(messages)))
        said = messages[-1]["content"].splitlines()[-1]
        yield Piece(said)
        yield Finished(said, "stop", 7, 1, 0.1, 0.2)


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


@contextmanager
def running(home: Path, engine: str) -> Iterator[subprocess.Popen[bytes]]:
    """A connector in a process of its own, killed at the end; see telegram_process.py for `engine`."""
    environment = os.environ | {"PYTHONPATH": str(ROOT), "PARLANCE_HOME": str(home)}
    process = subprocess.Popen([sys.executable, PROCESS, str(home), engine], env=environment, cwd=ROOT)
    try:
        yield process
    finally:
        process.kill()
        process.wait()
