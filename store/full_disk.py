"""A disk without room, told as what it is: whatever the database was about to keep was not kept, and people hear why.

Knows SQLite's and PostgreSQL's ways to say so.
"""

from __future__ import annotations

import errno
import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager

from sqlalchemy.exc import DBAPIError

from config.errors import DiskFull

SQLITE_SAYS = (sqlite3.SQLITE_FULL, sqlite3.SQLITE_IOERR_WRITE, sqlite3.SQLITE_IOERR_FSYNC)
POSTGRES_SAYS = "53100"
SENTENCE = (
    "The disk of the machine I run on is full, so I can neither keep nor answer what you write; please tell whoever "
    "looks after me, and try again later."
)


@contextmanager
def told() -> Iterator[None]:
    """Raises DiskFull in place of the database's own error where that means that there is no room."""
    try:
        yield
    except DBAPIError as error:
        if _full(error.orig):
            raise DiskFull(SENTENCE) from error
        raise
    except OSError as error:
        if error.errno in (errno.ENOSPC, errno.EDQUOT):
            raise DiskFull(SENTENCE) from error
        raise


def _full(error: BaseException | None) -> bool:
    code = getattr(error, "sqlite_errorcode", None)
    return code in SQLITE_SAYS or getattr(error, "sqlstate", None) == POSTGRES_SAYS
