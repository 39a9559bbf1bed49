"""One Discord connector in a process of its own, to be killed: `python discord_process.py HOME SOCKET CONTEXT`.

The engine behind SOCKET is another process's; its key comes in the environment.
"""

from __future__ import annotations

import asyncio
import os
import sys
from pathlib import Path

from pydantic import SecretStr

from bots.connectors import view_of
from bots.conversation import Conversation
from bots.discord.connector import DiscordConnector
from bots.seams import base_model_tokenizer
from config.settings import load_settings
from serving.client import EngineClient
from serving.status import EngineStatus
from store.accounts import list_accounts
from store.database import open_database

KEY = "TEST_ENGINE_KEY"


class Borrowed:
    """An engine that somebody else keeps running."""

    status = EngineStatus("ready", "The engine is ready.", 0.0)

    def __init__(self, client: EngineClient) -> None:
        self.client = client

    async def wait_ready(self) -> None:
        return


async def main(home: Path, socket: Path, context: int) -> None:
    settings = load_settings(home=home, base_model="demo")
    database = await open_database(settings)
    client = EngineClient(socket, SecretStr(os.environ[KEY]), context)
    conversation = Conversation(database, settings, Borrowed(client), base_model_tokenizer(settings))
    async with database.session() as session:
        [account] = await list_accounts(session)
    await DiscordConnector(view_of(account), conversation, database).run()


if __name__ == "__main__":
    asyncio.run(main(Path(sys.argv[1]), Path(sys.argv[2]), int(sys.argv[3])))
