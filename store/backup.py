"""The database copied while it is in use, and which key opens what it holds.

Promises that a copy is the database as it was at one moment, whoever writes meanwhile and for however long. Knows
nothing of where copies are kept. Blocking: call it in a thread.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Callable
from contextlib import closing
from pathlib import Path

from sqlalchemy import Connection, LargeBinary, create_engine, inspect, select, type_coerce

from config.errors import BadInput
from store.columns import SealedJson, SealedText
from store.crypto import Cipher
from store.tables import Base

PAGES_AT_ONCE = 2_000
SNAPSHOT = "SELECT count(*) FROM sqlite_master"

Say = Callable[[float], None]
"""Told how far it is, 0 to 1."""


def key_mark(cipher: Cipher) -> str:
    """Tells one key from another in a dozen letters and digits, and nothing about it."""
    digest = cipher.derive("key mark")[:12]
    return "-".join(digest[at : at + 4] for at in range(0, 12, 4))


def copy_database(source: Path, target: Path, say: Say = lambda fraction: None) -> None:
    """Copy the SQLite database `source` to the new file `target` by SQLite's online backup.

    Writers go on: a read transaction that is open all the while holds the moment still, so that no write of theirs
    makes the copy begin anew. Raises BadInput where the copy is not whole, because the database is not.
    """
    with closing(sqlite3.connect(source, isolation_level=None)) as reading, closing(sqlite3.connect(target)) as copy:
        reading.execute("BEGIN")
        try:
            reading.execute(SNAPSHOT).fetchone()
            reading.backup(
                copy, pages=PAGES_AT_ONCE, sleep=0,
                progress=lambda _, left, total: say(1 - left / total if total else 1.0),
            )  # fmt: skip
            copy.execute("PRAGMA journal_mode=DELETE")  # one file, nothing beside it
            unwell = trouble(copy)
        except sqlite3.DatabaseError as error:
            raise BadInput(f"The database cannot be copied, because it is damaged ({error}); {RESCUE}") from error
    if unwell is not None:
        raise BadInput(f"The database cannot be copied, because it is damaged ({unwell}); {RESCUE}")


RESCUE = "restore the last good backup into an empty folder and use that one."


def trouble(connection: sqlite3.Connection) -> str | None:
    """What SQLite finds wrong with a database when it goes through all of it; None where it is whole."""
    found = str(connection.execute("PRAGMA quick_check(1)").fetchone()[0])
    return None if found == "ok" else found.splitlines()[-1].strip("* ")


def revision_of(file: Path) -> str | None:
    """Up to which migration a database was brought; None where it never was."""
    with closing(sqlite3.connect(file)) as connection:
        try:
            row = connection.execute("SELECT version_num FROM alembic_version").fetchone()
        except sqlite3.DatabaseError:
            return None
    return str(row[0]) if row else None


def check_key(file: Path, cipher: Cipher) -> int:
    """Open one value of every sealed column of `file` that holds any; how many. Raises BadInput for a wrong key."""
    engine = create_engine(f"sqlite:///{file}")
    try:
        with engine.connect() as connection:
            return open_samples(connection, cipher)
    finally:
        engine.dispose()


def open_samples(connection: Connection, cipher: Cipher) -> int:
    """The same on an open connection, which may be to a database older or newer than this program."""
    looked = inspect(connection)
    there = set(looked.get_table_names())
    opened = 0
    for table in Base.metadata.sorted_tables:
        if table.name not in there:
            continue
        columns = {column["name"] for column in looked.get_columns(table.name)}
        for column in table.columns:
            if isinstance(column.type, SealedText | SealedJson) and column.name in columns:
                label = column.type.label.encode()
                sealed = connection.scalar(select(type_coerce(column, LargeBinary)).where(column.is_not(None)).limit(1))
                if sealed is not None:
                    cipher.open(bytes(sealed), label)
                    opened += 1
    return opened
