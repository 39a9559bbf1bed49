from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import pytest
from discord_running import account, add_account, hurry, running, said
from discord_server import Bot, DiscordServer, Place
from fake_engine import FakeEngine
from sqlalchemy import select
from waiting import until

from bots.conversation import Conversation
from bots.platforms import AccountStopped
from store.database import Database
from store.tables import Channel, Message, RoleGiven, Vote


@pytest.fixture
async def discord(monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[DiscordServer]:
    hurry(monkeypatch)
    async with DiscordServer() as server:
        yield server


@pytest.fixture
async def bot(discord: DiscordServer, database: Database) -> Bot:
    made = discord.bot("Harbour")
    await add_account(database, discord, made)
    return made


@pytest.fixture
def ada(discord: DiscordServer) -> dict[str, Any]:
    return discord.user("Ada")


def mention(bot: Bot) -> str:
    return f"<@{bot.user['id']}>"


async def test_a_direct_message_is_answered(
    discord: DiscordServer, bot: Bot, ada: dict[str, Any], database: Database, conversation: Conversation
) -> None:
    place = discord.direct(bot, ada)
    async with running(database, conversation, discord, bot):
        await discord.say(place, ada, "Hello")
        assert await said(discord, place, bot, lambda texts: texts == ["Hello there."]) == ["Hello there."]
