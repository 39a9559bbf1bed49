"""Writers take turns: nobody finds the database locked by another task of the same process, nor waits for all."""

from __future__ import annotations

import asyncio
import sqlite3
from collections.abc import AsyncIterator
from contextlib import closing

import pytest
from sqlalchemy import select, update
from sqlalchemy.exc import OperationalError

from config.settings import Settings
from store import database as databases
from store import inline
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


async def test_another_process_that_writes_is_waited_for_without_holding_up_anybody(
    database: Database, settings: Settings
) -> None:
    async with database.session() as session:
        await add_assistant(session, "harbour", "", "demo")
    with closing(sqlite3.connect(settings.paths.database, timeout=0, isolation_level=None)) as other:
        other.execute("BEGIN IMMEDIATE")
        waiting = asyncio.create_task(_write(database, "ours"))
        for _ in range(20):  # all others go on
            await asyncio.sleep(0)
            async with database.session() as session:
                assert (await session.scalars(select(Assistant.system_prompt))).one() == ""
        assert not waiting.done()
        other.execute("UPDATE assistants SET system_prompt = 'theirs'")
        other.execute("COMMIT")
        await waiting
        assert other.execute("SELECT system_prompt FROM assistants").fetchone() == ("ours",)


async def test_a_lock_that_stays_is_an_error_in_the_end(
    database: Database, settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(inline, "PATIENCE", 0.05)
    async with database.session() as session:
        await add_assistant(session, "harbour", "", "demo")
    with closing(sqlite3.connect(settings.paths.database, timeout=0, isolation_level=None)) as other:
        other.execute("BEGIN IMMEDIATE")
        with pytest.raises(OperationalError, match="locked"):
            await _write(database, "ours")
        other.execute("ROLLBACK")
        await _write(database, "ours")


async def test_long_sessions_take_turns_with_quick_ones(impatient: Database) -> None:
    async def append(number: int) -> None:
        async with (impatient.long_session if number % 2 else impatient.session)() as session:
            await session.execute(update(Assistant).values(system_prompt=Assistant.system_prompt + "x"))
            await asyncio.sleep(0)

    await asyncio.gather(*(append(number) for number in range(40)))
    async with impatient.session() as session:
        assert (await session.scalars(select(Assistant.system_prompt))).one() == "x" * 40
