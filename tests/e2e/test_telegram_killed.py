"""A connector that is killed with SIGKILL, wherever it is, and started again: every message is answered once."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from bot_api_server import Bot, BotApiServer, Chat, Person
from telegram_account import keep_account, running
from waiting import until

from serving.router import set_route
from store.assistants import add_assistant
from store.database import Database

ADA = Person(11, "Ada", "ada", "en")
BEN = Person(12, "Ben")


@pytest.fixture
async def server() -> AsyncIterator[BotApiServer]:
    async with BotApiServer() as made:
        yield made


@pytest.fixture
async def bot(server: BotApiServer, database: Database) -> Bot:
    async with database.session() as session:
        await add_assistant(session, "harbour", "You are the harbour.", "demo")
        await set_route(session, "default", "", "harbour")
    made = server.add_bot("harbour_bot")
    await keep_account(database, server, made)
    return made


def answers(chat: Chat, text: str) -> list[str]:
    return [shown for shown in chat.texts if shown == text]


async def test_killed_before_it_is_logged(server: BotApiServer, bot: Bot, home: Path) -> None:
    reading = server.fail("hang", method="getFile")
    chat = bot.private(ADA)
    number = bot.file("notes.txt", b"my notes")
    document = {"file_id": number, "file_unique_id": number, "file_name": "notes.txt", "file_size": 8}
    with running(home, "echo"):
        chat.says(ADA, caption="look", document=document)
        await until(lambda: reading.seen)
    reading.release.set()
    with running(home, "echo"):
        await bot.until(lambda: any("my notes" in text for text in chat.texts))
        chat.says(ADA, "second")
        await bot.until(lambda: answers(chat, "second"))
    assert [text for text in chat.texts if "my notes" in text] == ["my notes"]


async def test_killed_between_hearing_and_answering(server: BotApiServer, bot: Bot, home: Path) -> None:
    chat = bot.private(ADA)
    with running(home, "never"):
        chat.says(ADA, "first")
        [number] = [update["update_id"] for update in bot.updates]
        await until(lambda: number in bot.confirmed)
    with running(home, "echo"):
        await bot.until(lambda: any(message.text == "first" and message.buttons for message in chat.shown))
        chat.says(ADA, "second")
        await bot.until(lambda: answers(chat, "second"))
    assert (answers(chat, "first"), answers(chat, "second")) == (["first"], ["second"])


@pytest.mark.parametrize("kind", ["private", "group", "topic"])
async def test_killed_between_answering_and_noting_it(server: BotApiServer, bot: Bot, home: Path, kind: str) -> None:
    chat = bot.private(ADA) if kind == "private" else bot.supergroup("Quay", forum=kind == "topic")
    topic = chat.topic("Boats") if kind == "topic" else None
    sending = server.fail("hang_after", method="sendMessage")
    with running(home, "echo"):
        chat.says(ADA, "@harbour_bot first", topic=topic)
        await until(lambda: chat.shown)
        assert sending.seen == 1
    chat.says(BEN, "@harbour_bot between", topic=topic)
    with running(home, "echo"):
        await bot.until(lambda: any("first" in message.text and message.buttons for message in chat.shown))
        await bot.until(lambda: any("between" in text for text in chat.texts))
    sending.release.set()
    assert len([text for text in chat.texts if "first" in text]) == 1
    assert len([text for text in chat.texts if "between" in text]) == 1


async def test_killed_while_an_answer_is_growing(server: BotApiServer, bot: Bot, home: Path) -> None:
    chat = bot.private(ADA)
    with running(home, "never"):
        chat.says(ADA, "first")
        await bot.until(lambda: answers(chat, "first"))
    with running(home, "echo"):
        await bot.until(lambda: any(message.text == "first" and message.buttons for message in chat.shown))
    assert len(answers(chat, "first")) == 1
