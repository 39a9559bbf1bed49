"""SQLite without a thread: a dialect for async engines whose statements run where they are called.

What a chat asks of the database takes SQLite 20 to 100 microseconds; handing it to a thread and back takes several
times that, four times a statement. Promises that a lock which another process holds keeps nobody waiting but who
asked: it is tried again in a while. A statement that works long keeps everybody waiting, and belongs on an engine with
threads.
"""

from __future__ import annotations

import asyncio
import sqlite3
from collections.abc import Callable
from typing import Any, TypeVar

from sqlalchemy import AsyncAdaptedQueuePool, Pool, make_url
from sqlalchemy.dialects import registry
from sqlalchemy.dialects.sqlite.pysqlite import SQLiteDialect_pysqlite
from sqlalchemy.engine import URL
from sqlalchemy.util import await_only

PATIENCE = 30.0
"""Seconds after which a lock is an error."""
FIRST_WAIT, LONGEST_WAIT = 0.001, 0.05
"""Seconds until a lock is tried again."""
LOCKED = (sqlite3.SQLITE_BUSY, sqlite3.SQLITE_BUSY_RECOVERY)

Result = TypeVar("Result")


def _insist(work: Callable[..., Result], *given: Any) -> Result:
    """The result of `work`, called again for as long as another process has the database locked."""
    end, wait = None, FIRST_WAIT
    while True:
        try:
            return work(*given)
        except sqlite3.OperationalError as error:
            now = asyncio.get_running_loop().time()
            end = end or now + PATIENCE
            if error.sqlite_errorcode not in LOCKED or now > end:
                raise
        await_only(asyncio.sleep(wait))
        wait = min(2 * wait, LONGEST_WAIT)


class _Cursor(sqlite3.Cursor):
    def execute(self, *given: Any) -> _Cursor:
        return _insist(super().execute, *given)

    def executemany(self, *given: Any) -> _Cursor:
        return _insist(super().executemany, *given)

    async def _async_soft_close(self) -> None:
        """SQLAlchemy's asyncio results end with it; there is nothing to wait for."""


class _Connection(sqlite3.Connection):
    def cursor(self, factory: Any = _Cursor) -> Any:
        return super().cursor(factory)

    def commit(self) -> None:
        _insist(super().commit)


class InlineDialect(SQLiteDialect_pysqlite):
    """`sqlite+inline:///FILE`."""

    driver = "inline"
    is_async = True
    supports_statement_cache = True
    supports_server_side_cursors = True

    @classmethod
    def get_pool_class(cls, url: URL) -> type[Pool]:
        return AsyncAdaptedQueuePool

    def create_connect_args(self, url: URL) -> Any:
        words, options = super().create_connect_args(url)
        return words, {**options, "factory": _Connection, "timeout": 0, "check_same_thread": False}


registry.register("sqlite.inline", __name__, InlineDialect.__name__)


def inline(url: str) -> URL:
    """The same file, without a thread."""
    return make_url(url).set(drivername="sqlite+inline")


def never_wait(connection: Any, record: object) -> None:
    """A new connection leaves waiting for locks to us."""
    connection.execute("PRAGMA busy_timeout=0").close()
