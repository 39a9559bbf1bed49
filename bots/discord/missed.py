"""What was written while nobody listened: read from the history of every channel with something newer than a mark.

The gateway tells nothing twice after a new session. Servers name each channel's newest message, so only those with
news are asked; direct channels are not listed anywhere and are asked one by one, the liveliest first.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from datetime import timedelta
from typing import Any

import discord
import structlog
from discord.errors import Forbidden, NotFound
from discord.utils import time_snowflake, utcnow
from sqlalchemy import func, select

from bots.discord.incomings import external_of
from store.database import Database
from store.tables import Channel, Message

BACK = timedelta(days=1)
"""What is older is not answered any more: whoever wrote it does not wait for it."""
MOST_MESSAGES = 500
"""Of one channel."""
AT_ONCE = 4

Take = Callable[[discord.Message], Awaitable[None]]

log = structlog.get_logger()


async def read_missed(client: discord.Client, database: Database, account: str, mark: int, take: Take) -> None:
    """Give `take` what was written after `mark`, in its order within each channel."""
    mark = max(mark, time_snowflake(utcnow() - BACK))
    room = asyncio.Semaphore(AT_ONCE)

    async def read(channel: Any) -> None:
        async with room:
            try:
                async for message in _after(channel, mark):
                    await take(message)
            except (Forbidden, NotFound) as error:
                log.info("history_not_read", channel=channel.id, code=error.code)

    channels = [channel for guild in client.guilds for channel in _with_news(guild, mark)]
    direct = [client.get_partial_messageable(number) for number in await _direct(database, account)]
    await asyncio.gather(*(read(channel) for channel in (*channels, *direct)))


def _with_news(guild: discord.Guild, mark: int) -> list[Any]:
    """Its channels and threads in which somebody wrote after `mark`, as far as we may read them."""
    places: list[Any] = [*guild.text_channels, *guild.voice_channels, *guild.stage_channels, *guild.threads]
    return [place for place in places if (place.last_message_id or 0) > mark and _readable(place, guild)]


def _readable(place: Any, guild: discord.Guild) -> bool:
    allowed = place.permissions_for(guild.me)
    return bool(allowed.view_channel and allowed.read_message_history)


async def _after(channel: Any, mark: int) -> AsyncIterator[discord.Message]:
    async for message in channel.history(limit=MOST_MESSAGES, after=discord.Object(mark), oldest_first=True):
        yield message


async def _direct(database: Database, account: str) -> list[int]:
    newest = select(Message.channel_id, func.max(Message.id).label("newest")).group_by(Message.channel_id).subquery()
    async with database.session() as session:
        keys = await session.scalars(
            select(Channel.key)
            .outerjoin(newest, newest.c.channel_id == Channel.id)
            .where(Channel.account == account, Channel.private, Channel.present)
            .order_by(newest.c.newest.desc())
        )
        return [external_of(key) for key in keys]
