"""What is stored: the database whole and of our time, its text readable with the key, its journal, its backups."""

from __future__ import annotations

import asyncio
import json
import sqlite3
from contextlib import closing
from datetime import UTC, datetime
from pathlib import Path

from sqlalchemy import func, select

from config.errors import BadInput, ParlanceError
from config.settings import Settings
from console.backup.shelf import LAST, Shelf
from console.doctor.finding import Finding, Repair, awaited
from console.sizes import size
from store.backup import open_samples, revision_of, trouble
from store.database import Database, known_revisions
from store.journal import empty_journal
from store.tables import Message, SourceMessage, Version

LONG_JOURNAL = 256 << 20
"""Bytes; SQLite itself empties it at four million, where it is let."""
OLD_DAYS = 14


async def check_file(settings: Settings) -> list[Finding]:
    """Whether the database can be opened by us at all; says nothing where there is none yet, or where all is well."""
    file = settings.paths.database
    if settings.database_url is not None or not file.exists():
        return []
    if settings.key is None and not settings.paths.key_file.exists():  # opening would make one, which fits nothing
        return [Finding("Database", "warning", "not looked at while its key is gone", "Put the key back first.")]
    try:
        unwell = await asyncio.to_thread(_go_through, file)
        revision = await asyncio.to_thread(revision_of, file)
    except sqlite3.DatabaseError as error:
        unwell, revision = str(error), None
    if unwell is not None:
        advice = "Restore the last good backup into an empty folder: parlance restore"
        return [Finding("Database", "wrong", f"it is damaged: {unwell}", advice)]
    if revision is not None and revision not in known_revisions():
        return [Finding("Database", "wrong", "a newer Parlance has used it", "Update this one.")]
    return []


async def look(settings: Settings, database: Database) -> list[Finding]:
    """All of this group but for the key, which comes first: see `check_sealed`."""
    return [
        *await awaited("Database", check_journal(settings, database)),
        *await awaited("Backups", check_backups(settings, database)),
    ]


async def check_sealed(database: Database) -> Finding:
    """Whether the key opens what is sealed."""
    try:
        async with database.engine.connect() as connection:
            opened = await connection.run_sync(open_samples, database.cipher)
    except BadInput as error:
        return Finding("Sealed text", "wrong", "this key does not open the text that is stored", str(error))
    return Finding("Sealed text", "ok", f"the key opens it ({opened} kinds tried)" if opened else "none yet")


async def check_journal(settings: Settings, database: Database) -> Finding:
    """SQLite's journal: one that only grows means that somebody never stops reading."""
    file = settings.paths.database.with_name(f"{settings.paths.database.name}-wal")
    length = file.stat().st_size if file.exists() else 0
    if length < LONG_JOURNAL:
        return Finding("Database", "ok", f"whole; {size(length)} of journal")

    async def make() -> None:
        await empty_journal(database)

    advice = "End other programs that read the database."
    return Finding("Database", "warning", f"its journal has {size(length)}", advice, Repair("empty it", make))


async def check_backups(settings: Settings, database: Database) -> Finding:
    """Whether there is a backup, of late, and where it was said to be."""
    how = "Run: parlance backup FOLDER, best by a timer and to another disk."
    try:
        last = json.loads((settings.home / LAST).read_text())
        shelf, made = Shelf(Path(last["folder"])), datetime.fromisoformat(last["made"])
        there = (shelf.folder / last["name"] / "backup.json").exists()
    except FileNotFoundError:
        async with database.session() as session:
            worth = [await session.scalar(select(func.count()).select_from(table)) for table in WORTH_KEEPING]
        if not any(worth):
            return Finding("Backups", "ok", "nothing to be backed up yet")
        return Finding("Backups", "warning", "there is none", how)
    except (ValueError, KeyError, TypeError, ParlanceError):
        return Finding("Backups", "warning", f"{LAST} cannot be read, so nobody knows of any", how)
    except OSError as error:
        found = f"the last one cannot be looked at: {error.filename}: {error.strerror}"
        return Finding("Backups", "warning", found, "Look as who makes them, or see that the disk is there.")
    days = (datetime.now(UTC) - made).days
    if not there:
        return Finding("Backups", "warning", f"the last one is not in {shelf.folder} any more", how)
    if days > OLD_DAYS:
        return Finding("Backups", "warning", f"the last one is {days} days old", how)
    return Finding("Backups", "ok", f"the last one is of {made:%Y-%m-%d %H:%M} UTC, in {shelf.folder}")


WORTH_KEEPING = (Version, SourceMessage, Message)


def _go_through(file: Path) -> str | None:
    with closing(sqlite3.connect(file)) as connection:
        return trouble(connection)
