"""A home on a disk that is really full, with an engine of its own: it answers on, and what cannot be kept is said."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from full_disk import fill, mounted
from sqlalchemy import func, select

from bots.conversation import Conversation
from bots.events import Answer, Event, Notice
from bots.incoming import Incoming
from bots.seams import base_model_tokenizer
from config.settings import load_settings
from serving.answer import Sampling
from serving.router import set_route
from serving.supervisor import EngineSupervisor
from store.assistants import add_assistant
from store.database import open_database
from store.tables import Message

MOST = 200
"""Messages until even the last spare page of the database is written to."""


@pytest.fixture
def disk(tmp_path: Path) -> Iterator[Path]:
    """For the home."""
    with mounted(tmp_path / "disk") as place:
        yield place


async def test_on_a_full_disk_the_engine_answers_on_and_whoever_writes_is_told_until_there_is_room(disk: Path) -> None:
    settings = load_settings(home=disk / "home", base_model="demo", max_answer_tokens=16)
    settings.paths.ensure()
    database = await open_database(settings)
    engine = EngineSupervisor(settings, database.cipher)
    conversation = Conversation(database, settings, engine, base_model_tokenizer(settings))

    async def say(number: int) -> list[Event]:
        said = Incoming("web", "web:a", "1", "Ada", "operator", f"Is there room? {'word ' * 400}", f"id-{number}")
        return [event async for event in conversation.handle(said)]

    async def kept() -> int:
        async with database.session() as session:
            return await session.scalar(select(func.count()).select_from(Message).where(Message.role == "user")) or 0

    engine.start()
    try:
        await engine.wait_ready(timeout=600)
        async with database.session() as session:
            await add_assistant(session, "harbour", "You are the harbour.", "demo")
            await set_route(session, "default", "", "harbour")
        assert any(isinstance(event, Answer) for event in await say(0))
        begun = engine.pid
        ballast = fill(disk)
        told: list[str] = []
        for number in range(1, MOST):
            before = await kept()
            shown = await say(number)
            told = [event.text for event in shown if isinstance(event, Notice) and "disk" in event.text]
            if told:
                break
        assert len(told) == 1 and "try again later" in told[0]
        assert not any(isinstance(event, Answer) for event in shown)
        assert await kept() - before <= 1, "a message is kept whole, or not at all"
        asked = [{"role": "user", "content": "Hello"}]
        answer = await engine.client.answer(engine.untuned, asked, Sampling(max_tokens=4))  # type: ignore[arg-type]
        assert answer.answer_tokens > 0
        ballast.unlink()
        assert any(isinstance(event, Answer) for event in await say(MOST))
        assert engine.pid == begun and engine.status.state == "ready", "no process was lost for it"
    finally:
        await conversation.close()
        await engine.stop()
        await database.close()
