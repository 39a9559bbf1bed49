"""Connectors at work in tests: an account of a bot of the small Discord, and its connector until the block ends."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Any

import pytest
from discord_server import Bot, DiscordServer, Place
from sqlalchemy import select
from waiting import until

from bots.connectors import view_of
from bots.conversation import Conversation
from bots.discord import client, connector, outlet
from bots.discord.connector import DiscordConnector
from store.database import Database
from store.tables import Account


def hurry(patch: pytest.MonkeyPatch) -> None:
    """Pauses that are for the real Discord's sake are short."""
    patch.setattr(client, "GUILDS_WITHIN", 0.05)
    patch.setattr(client, "BEFORE_A_NEW_SESSION", (0.0, 0.0))
    patch.setattr(connector, "FIRST_WAIT", 0.02)
    patch.setattr(connector, "SAVE_SECONDS", 0.05)
    patch.setattr(outlet, "PACE", 0.02)


async def add_account(database: Database, discord: DiscordServer, bot: Bot, name: str = "quay", **more: Any) -> None:
    """As `parlance account add` leaves it."""
    async with database.session() as session:
        session.add(
            Account(
                name=name, platform="discord", external_id=bot.user["id"], username=bot.user["username"],
                token=bot.token, api_base=discord.api_base, **more,
            )
        )  # fmt: skip


async def account(database: Database, name: str = "quay") -> Account:
    async with database.session() as session:
        return (await session.scalars(select(Account).where(Account.name == name))).one()


@asynccontextmanager
async def running(
    database: Database, conversation: Conversation, discord: DiscordServer, bot: Bot, name: str = "quay"
) -> AsyncIterator[asyncio.Task[None]]:
    """Its connector, connected."""
    view = view_of(await account(database, name))
    task = asyncio.create_task(DiscordConnector(view, conversation, database).run())
    try:
        await until(lambda: discord.gateway.connected(bot) or task.done())
        yield task
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)


async def said(discord: DiscordServer, place: Place, bot: Bot, condition: Callable[[list[str]], Any]) -> list[str]:
    """What the bot's messages say, once they are as `condition` wants them."""
    try:
        await until(lambda: condition(discord.said(place, bot)))
    except TimeoutError:
        raise AssertionError(f"the bot said {discord.said(place, bot)}") from None
    return discord.said(place, bot)
