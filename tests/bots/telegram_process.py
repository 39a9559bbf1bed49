"""A Telegram connector as a process that a test can kill: HOME API_BASE TOKEN ENGINE.

ENGINE is `echo` (says again what was asked, at once), `never` (never comes to an end) or the home of a real engine.
The account is the first one of the home's database.
"""

from __future__ import annotations

import asyncio
import sys
from collections.abc import AsyncIterator, Sequence
from contextlib import AsyncExitStack
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from sqlalchemy import select

from bots.connectors import view_of
from bots.conversation import Conversation
from bots.seams import base_model_tokenizer
from bots.telegram.connector import TelegramConnector
from config.names import VersionName
from config.settings import load_settings
from serving.answer import Finished, Piece, Sampling
from serving.lease import engine_lease
from serving.prompt import Message
from serving.status import EngineStatus
from store.crypto import load_cipher
from store.database import open_database
from store.tables import Account


@dataclass
class Stand:
    """An engine that is ready. `client` is a real one, or this itself."""

    never: bool = False
    client: Any = None
    context: int = 100
    status: EngineStatus = field(default_factory=lambda: EngineStatus("ready", "The engine is ready.", 0.0))

    def __post_init__(self) -> None:
        self.client = self.client or self

    async def wait_ready(self) -> None:
        return

    async def healthy(self) -> bool:
        return True

    async def stream(
        self, version: VersionName, messages: Sequence[Message], sampling: Sampling
    ) -> AsyncIterator[Piece | Finished]:
        said = messages[-1]["content"].splitlines()[-1]
        yield Piece(said)
        if self.never:
            await asyncio.Event().wait()
        yield Finished(said, "stop", 1, 1, 0.0, 0.0)


class Words:
    def count(self, messages: Sequence[Message]) -> int:
        return sum(len(message["content"].split()) for message in messages)

    def without_control(self, text: str) -> str:
        return text


async def words() -> Any:
    return Words()


async def run(home: str, engine_home: str) -> None:
    settings = load_settings(home=Path(home))
    database = await open_database(settings)
    async with database.session() as session:
        account = view_of((await session.scalars(select(Account))).one())
    async with AsyncExitStack() as stack:
        engine: Any = Stand(never=engine_home == "never")
        tokenizer = words
        if engine_home not in ("echo", "never"):
            real = load_settings(home=Path(engine_home), base_model="demo")
            cipher = load_cipher(real.paths.key_file, None)
            engine = Stand(client=await stack.enter_async_context(engine_lease(real, cipher)))
            tokenizer = base_model_tokenizer(real)  # type: ignore[assignment]
        await TelegramConnector(account, Conversation(database, settings, engine, tokenizer), database).run()


if __name__ == "__main__":
    asyncio.run(run(sys.argv[1], sys.argv[2]))
