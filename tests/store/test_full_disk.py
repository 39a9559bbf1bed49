"""A database that may not grow, by SQLite's own limit: the same error as on a full disk."""

from __future__ import annotations

import pytest
from sqlalchemy import func, select, text

from config.errors import DiskFull
from store.database import Database
from store.tables import Assistant


async def test_what_finds_no_room_is_not_kept_and_said_to_be_so(database: Database) -> None:
    async with database.session() as session:
        before = await session.scalar(text("PRAGMA max_page_count"))
        await session.execute(text("PRAGMA max_page_count=1"))  # no more than there are
    with pytest.raises(DiskFull, match="disk of the machine"):
        async with database.session() as session:
            session.add_all(
                Assistant(name=f"a{number}", system_prompt="x" * 2000, base_model="demo") for number in range(500)
            )
    async with database.session() as session:
        await session.execute(text(f"PRAGMA max_page_count={before}"))
        assert await session.scalar(select(func.count()).select_from(Assistant)) == 0
        session.add(Assistant(name="a", system_prompt="", base_model="demo"))


async def test_whoever_writes_while_the_disk_is_full_is_told_and_answered_afterwards(database, settings) -> None:
    from fake_engine import FakeEngine, words

    from bots.conversation import Conversation
    from bots.events import Answer, Notice
    from bots.incoming import Incoming
    from serving.router import set_route
    from store.assistants import add_assistant

    async with database.session() as session:
        await add_assistant(session, "harbour", "You are the harbour.", "demo")
        await set_route(session, "default", "", "harbour")
        before = await session.scalar(text("PRAGMA max_page_count"))
        await session.execute(text("PRAGMA max_page_count=1"))
    conversation = Conversation(database, settings, FakeEngine(), words)

    async def say(number: int) -> list[object]:
        said = Incoming("web", "web:a", "1", "Ada", "member", "word " * 1500, f"id-{number}")
        return [event async for event in conversation.handle(said)]

    for number in range(100):
        shown = await say(number)
        notices = [event.text for event in shown if isinstance(event, Notice) and "disk" in event.text]
        if notices:
            break
    assert "try again later" in notices[0] and not any(isinstance(event, Answer) for event in shown)
    async with database.session() as session:
        await session.execute(text(f"PRAGMA max_page_count={before}"))
    shown = await say(number + 1)
    assert any(isinstance(event, Answer) for event in shown)
    await conversation.close()
