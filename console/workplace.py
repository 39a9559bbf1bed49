"""What every command works with: settings, an open database and, when asked for, an engine."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Coroutine
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import TypeVar

from config.settings import Settings, load_settings
from serving.client import EngineClient
from serving.lease import engine_lease
from store.database import Database, open_database

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Workplace:
    """One home, open."""

    settings: Settings
    database: Database

    @asynccontextmanager
    async def engine(self, say: Callable[[str], None]) -> AsyncIterator[EngineClient]:
        """A client of the engine that runs on this home, or of one that is started now and stopped at the end."""
        async with engine_lease(self.settings, self.database.cipher, say) as client:
            yield client


@asynccontextmanager
async def workplace() -> AsyncIterator[Workplace]:
    """Open this home's database for as long as the block runs."""
    settings = load_settings()
    database = await open_database(settings)
    try:
        yield Workplace(settings, database)
    finally:
        await database.close()


def run(work: Coroutine[None, None, T]) -> T:
    """Run a command's coroutine to its end."""
    return asyncio.run(work)
