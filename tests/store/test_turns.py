"""Writers take turns: nobody finds the database locked by another task of the same process."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator

import pytest
from sqlalchemy import select, update

from config.settings import Settings
from store import database as databases
from store.assistants import add_assistant
from store.database import Database, open_database
from store.tables import Assistant


@pytest.fixture
async def impatient(settings: Settings, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Database]:
    """A database that gives up at once where it is locked."""
    monkeypatch.setattr(databases, "BUSY_SECONDS", 0)
    opened = await open_database(settings)
    async with opened.session() as session:
        await add_assistant(session, "harbour", "", "demo")
    yield opened
    await opened.close()


async def test_a_hundred_tasks_that_write_and_then_read_all_do(impatient: Database) -> None:
    async def append(letter: str) -> None:
        async with impatient.session() as session:
            await session.execute(
                update(Assistant).values(system_prompt=Assistant.system_prompt + letter, name=Assistant.name)
            )
            await asyncio.sleep(0)  # others come and want to write now
            assert (await session.scalars(select(Assistant.name))).one() == "harbour"

    letters = [chr(0x4E00 + number) for number in range(100)]
    await asyncio.gather(*(append(letter) for letter in letters))
    async with impatient.session() as session:
        written = (await session.scalars(select(Assistant.system_prompt))).one()
    assert sorted(written) == letters


async def test_a_turn_is_over_when_its_session_fails_or_is_cancelled(impatient: Database) -> None:
    wrote, never = asyncio.Event(), asyncio.Event()

    async def hold() -> None:
        async with impatient.session() as session:
            await session.execute(update(Assistant).values(system_prompt="held"))
            wrote.set()
            await never.wait()

    with pytest.raises(RuntimeError, match="of ours"):
        async with impatient.session() as session:
            await session.execute(update(Assistant).values(system_prompt="failed"))
            raise RuntimeError("a failure of ours")
    holding = asyncio.create_task(hold())
    await wrote.wait()
    waiting = asyncio.create_task(_write(impatient, "cancelled while it waited"))
    await asyncio.sleep(0.01)
    waiting.cancel()
    holding.cancel()
    await asyncio.gather(holding, waiting, return_exceptions=True)
    await _write(impatient, "after both")
    async with impatient.session() as session:
        assert (await session.scalars(select(Assistant.system_prompt))).one() == "after both"


async def test_readers_wait_for_no_writer(impatient: Database) -> None:
    async with impatient.session() as writer:
        await writer.execute(update(Assistant).values(system_prompt="not yet"))
        async with impatient.session() as reader:
            assert (await reader.scalars(select(Assistant.system_prompt))).one() == ""


async def _write(database: Database, text: str) -> None:
    async with database.session() as session:
        await session.execute(update(Assistant).values(system_prompt=text))
