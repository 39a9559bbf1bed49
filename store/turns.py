"""Turns at writing to an SQLite file, within this process: first come, first served.

A session takes its turn right before its first statement that writes, and its owner leaves it after the commit. Those
who only read wait for nobody.
"""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from typing import Any

from sqlalchemy import Connection, Engine, event
from sqlalchemy.orm import Session, SessionTransaction
from sqlalchemy.util import await_only

LONGEST_WAIT = 120.0
"""Seconds: whoever waits longer waits for itself, in a session within one that has written."""
TURN = "turn"
WRITES = {"INSERT", "UPDATE", "DELETE", "REPLAC"}


@dataclass(slots=True)
class Turn:
    """Of one session."""

    taken: bool = False


class WriteTurns:
    """One for all engines of a file. A session's `info` holds its turn."""

    def __init__(self, *engines: Engine) -> None:
        self._lock = asyncio.Lock()
        for engine in engines:
            event.listen(engine, "before_cursor_execute", self._before)
            event.listen(engine, "checkin", _forget)

    async def take(self, turn: Turn) -> None:
        """Wait for it, unless it is taken already."""
        if not turn.taken:
            async with asyncio.timeout(LONGEST_WAIT):
                await self._lock.acquire()
            turn.taken = True

    def leave(self, turn: Turn) -> None:
        """Let the next one write."""
        if turn.taken:
            turn.taken = False
            self._lock.release()

    def _before(
        self, connection: Connection, cursor: Any, statement: str, parameters: Any, context: Any, executemany: bool
    ) -> None:
        turn = connection.info.get(TURN)
        if turn is not None and not turn.taken and statement.lstrip()[:6].upper() in WRITES:
            await_only(self.take(turn))


@event.listens_for(Session, "after_begin")
def _remember(session: Session, transaction: SessionTransaction, connection: Connection) -> None:
    """Statements know their connection, not their session."""
    connection.info[TURN] = session.info.get(TURN)


def _forget(dbapi_connection: Any, record: Any) -> None:
    record.info.pop(TURN, None)
