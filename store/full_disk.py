"""A disk without room, told as what it is: whatever the database was about to keep was not kept, and people hear why.

Knows the ways in which the system, SQLite, PostgreSQL and what writes weights say so.
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
SYSTEM_SAYS = (errno.ENOSPC, errno.EDQUOT)
SENTENCE = (
    "The disk of the machine I run on is full, so I can neither keep nor answer what you write; please tell whoever "
    "looks after me, and try again later."
)


@contextmanager
def told() -> Iterator[None]:
    """Raises DiskFull in place of the database's own error where that means that there is no room."""
    try:
        yield
    except (DBAPIError, OSError) as error:
        if is_full(error):
            raise DiskFull(SENTENCE) from error
        raise


def is_full(error: BaseException) -> bool:
    """Whether this is what a disk without room does, or was raised in place of that."""
    reason = error.__cause__ or error.__context__
    return _says_so(error) or (reason is not None and is_full(reason))


def _says_so(error: BaseException) -> bool:
    if isinstance(error, DBAPIError):
        code = getattr(error.orig, "sqlite_errorcode", None)
        return code in SQLITE_SAYS or getattr(error.orig, "sqlstate", None) == POSTGRES_SAYS
    if isinstance(error, OSError):
        return error.errno in SYSTEM_SAYS
    written_in_rust = any(f"(os error {number})" in str(error) for number in SYSTEM_SAYS)  # by safetensors
    return isinstance(error, DiskFull) or written_in_rust
