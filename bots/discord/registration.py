"""Commands registered with Discord: for each server and for direct messages, and only when they have changed."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import structlog
from discord.errors import HTTPException
from discord.http import Route
from sqlalchemy import func, select

from bots.discord.calls import Calls
from bots.discord.cursor import read_cursor, write_cursor
from bots.discord.slash import digest, in_direct_messages, registered
from store.database import Database
from store.tables import RoleGiven

EVERYWHERE = "direct"
"""Stands for direct messages among the servers' ids."""

log = structlog.get_logger()


async def register(calls: Calls, database: Database, account: str, application: int, guilds: Iterable[int]) -> None:
    """Bring every menu up to date. A server that did not allow commands is left; typed ones work there."""
    known: dict[str, str] = dict((await read_cursor(database, account)).get("commands", {}))
    for_servers = registered(short=not await operators_known(database))
    wanted = {EVERYWHERE: in_direct_messages()} | {str(guild): for_servers for guild in guilds}
    for where, commands in wanted.items():
        if known.get(where) == digest(commands):
            continue
        try:
            await _write(calls, application, where, commands)
        except HTTPException as error:
            log.warning("commands_not_registered", account=account, guild=where, code=error.code)
            continue
        known[where] = digest(commands)
        await write_cursor(database, account, commands=known)


async def unregister(database: Database, account: str, guild: int) -> None:
    """The server is left; should it come back, its menu is written anew."""
    known = dict((await read_cursor(database, account)).get("commands", {}))
    if known.pop(str(guild), None) is not None:
        await write_cursor(database, account, commands=known)


async def operators_known(database: Database) -> bool:
    """Whether anybody on Discord, or any server role, was made operator: then everybody's menu shows all commands,
    for Discord cannot know who they are."""
    async with database.session() as session:
        given = select(func.count()).select_from(RoleGiven).where(RoleGiven.subject.startswith("discord"))
        return bool(await session.scalar(given))


async def _write(calls: Calls, application: int, where: str, commands: list[dict[str, Any]]) -> None:
    if where == EVERYWHERE:
        route = Route("PUT", "/applications/{application_id}/commands", application_id=application)
    else:
        route = Route(
            "PUT",
            "/applications/{application_id}/guilds/{guild_id}/commands",
            application_id=application,
            guild_id=int(where),
        )
    await calls.request(route, json=commands)
