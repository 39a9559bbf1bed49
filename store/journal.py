"""SQLite's journal emptied: after a deletion it still holds the pages as they were."""

from __future__ import annotations

import asyncio

from store.database import BUSY_SECONDS, Database

JOURNAL_TRIES, JOURNAL_EVERY = 50, 0.1


async def empty_journal(database: Database) -> bool:
    """Write the journal back and cut it to nothing. False where somebody kept reading from it all the while."""
    if database.engine.dialect.name != "sqlite":
        return True
    for _ in range(JOURNAL_TRIES):
        async with database.engine.connect() as connection:
            await connection.exec_driver_sql("PRAGMA busy_timeout=0")  # waiting is done here, where it can be bounded
            busy = (await connection.exec_driver_sql("PRAGMA wal_checkpoint(TRUNCATE)")).one()[0]
            await connection.exec_driver_sql(f"PRAGMA busy_timeout={BUSY_SECONDS * 1000}")
        if not busy:
            return True
        await asyncio.sleep(JOURNAL_EVERY)
    return False
