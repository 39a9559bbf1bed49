"""How far an account has read, and what else it has to remember from one start to the next.

Promises that no message between the mark and now has been passed over: the mark moves only past messages that were
taken whole, and not at all while history is still to be read. Ids of messages are times, so one mark holds for all
channels.
"""

from __future__ import annotations

from typing import Any

from discord.utils import time_snowflake, utcnow
from sqlalchemy import select

from store.database import Database
from store.tables import Account

MARGIN = 5_000 << 22
"""Five seconds of ids: between channels, messages do not come in the order of their ids."""


class Reading:
    """Which messages are being taken right now, and the mark that follows from it."""

    def __init__(self, mark: int | None) -> None:
        self._under_way: set[int] = set()
        self._held: int | None = None
        self._newest = mark if mark is not None else time_snowflake(utcnow())

    def begin(self, message_id: int) -> None:
        """It came in."""
        self._under_way.add(message_id)
        self._newest = max(self._newest, message_id)

    def end(self, message_id: int) -> None:
        """It is logged, or need not be."""
        self._under_way.discard(message_id)

    @property
    def mark(self) -> int:
        """Everything up to this id was taken."""
        return self._held if self._held is not None else min((*self._under_way, self._newest)) - MARGIN

    def hold(self) -> None:
        """A new session began: what came before it may have been missed."""
        self._held = self.mark

    def release(self) -> None:
        """What was missed has been read."""
        self._held = None


async def read_cursor(database: Database, account: str) -> dict[str, Any]:
    """What the account remembers; empty at its first start."""
    async with database.session() as session:
        found = await session.scalar(select(Account.cursor).where(Account.name == account))
    return dict(found or {})


async def write_cursor(database: Database, account: str, **changed: Any) -> None:
    """Remember these. Nothing for an account that is gone."""
    async with database.session() as session:
        row = await session.scalar(select(Account).where(Account.name == account).with_for_update())
        if row is not None and row.state != "removed":
            row.cursor = {**row.cursor, **changed}
