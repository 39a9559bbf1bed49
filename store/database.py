"""The database: opened, migrated, and handed out as sessions. SQLite in WAL mode, or what the settings name.

`open_database` is the one way in: it also sets the cipher that sealed columns use. With SQLite, sessions work where
they are called (store/inline.py); and because it lets one transaction write at a time, and whoever tries meanwhile
looks again at intervals, in no order, until it gives up, writers of this process take turns in the order they came
(store/turns.py). Alembic is imported where it is used, because importing it takes longer than all else here and
whoever shows a page imports this module.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from sqlalchemy import Connection, Engine, Row, Select, create_engine, event
from sqlalchemy.engine import URL, make_url
from sqlalchemy.ext.asyncio import AsyncEngine, AsyncSession, async_sessionmaker, create_async_engine

from config.settings import Settings
from store.columns import use_cipher
from store.crypto import Cipher, load_cipher
from store.full_disk import told
from store.inline import inline, never_wait
from store.turns import TURN, Turn, WriteTurns

if TYPE_CHECKING:
    from alembic.config import Config

MIGRATIONS = Path(__file__).parent / "migrations"
BUSY_SECONDS = 30
POOL_SIZE = 16
"""Connections; opening one costs a thread and takes longer than a query, so they are kept."""
LONGEST_WAIT = 600
"""Seconds for a connection: a burst is worked through, however long the line."""


class Database:
    """An open database. `session()` commits at its end, or rolls back on any error. `engine` gives connections of their
    own to what works long."""

    def __init__(self, engine: AsyncEngine, cipher: Cipher) -> None:
        self.engine = engine
        self.cipher = cipher
        self._quick, self._turns = engine, None
        if engine.dialect.name == "sqlite":
            self._quick = _engine(inline(str(engine.url)))
            self._turns = WriteTurns(engine.sync_engine, self._quick.sync_engine)
        self._sessions = async_sessionmaker(self._quick, expire_on_commit=False)
        self._reader: Engine | None = None
        self._reading: Connection | None = None

    @asynccontextmanager
    async def session(self) -> AsyncIterator[AsyncSession]:
        """One transaction, of quick statements: with SQLite all else waits while one runs. Its first write waits for
        its turn; one that has written must not wait for another that is going to. Raises DiskFull where nothing more
        can be kept."""
        async with self._turn() as turn, self._sessions(info={TURN: turn}) as session, session.begin():
            yield session

    @asynccontextmanager
    async def long_session(self) -> AsyncIterator[AsyncSession]:
        """One transaction, of statements that may go through much: they work in a thread. Raises DiskFull."""
        turning = self._turn()
        async with turning as turn, self._sessions(bind=self.engine, info={TURN: turn}) as session, session.begin():
            yield session

    @asynccontextmanager
    async def writing(self) -> AsyncIterator[None]:
        """This turn to write is the caller's, who has a connection of its own."""
        async with self._turn() as turn:
            if self._turns is not None:
                await self._turns.take(turn)
            yield

    @asynccontextmanager
    async def _turn(self) -> AsyncIterator[Turn]:
        turn = Turn()
        try:
            with told():
                yield turn
        finally:
            if self._turns is not None:
                self._turns.leave(turn)

    async def look_up(self, statement: Select[Any], parameters: Mapping[str, Any]) -> Row[Any] | None:
        """The first row, as it is committed now: for what is asked with every message.

        SQLite answers in this very thread: that takes 50 microseconds, a session 600 and more, and in WAL mode a reader
        waits for nobody.
        """
        if self.engine.dialect.name != "sqlite":
            async with self.engine.connect() as connection:
                return (await connection.execute(statement, parameters)).first()
        return self._read().execute(statement, parameters).first()

    async def look_through(self, statement: Select[Any], parameters: Mapping[str, Any]) -> Sequence[Row[Any]]:
        """All rows, in the same way; for what is short."""
        if self.engine.dialect.name != "sqlite":
            async with self.engine.connect() as connection:
                return (await connection.execute(statement, parameters)).all()
        return self._read().execute(statement, parameters).all()

    def _read(self) -> Connection:
        if self._reading is None:
            self._reader = create_engine(
                self.engine.url.set(drivername="sqlite"), isolation_level="AUTOCOMMIT", hide_parameters=True
            )
            event.listen(self._reader, "connect", _prepare_sqlite)
            self._reading = self._reader.connect()
        return self._reading

    async def close(self) -> None:
        """Let every connection go."""
        if self._reading is not None and self._reader is not None:
            self._reading.close()
            self._reader.dispose()
            self._reading = self._reader = None
        await self._quick.dispose()
        await self.engine.dispose()


def database_url(settings: Settings) -> str:
    """With an async driver."""
    if settings.database_url is not None:
        return settings.database_url.get_secret_value()
    return f"sqlite+aiosqlite:///{settings.paths.database}"


def _prepare_sqlite(connection: Any, record: object) -> None:
    cursor = connection.cursor()
    cursor.execute("PRAGMA journal_mode=WAL")
    cursor.execute("PRAGMA synchronous=NORMAL")
    cursor.execute("PRAGMA foreign_keys=ON")
    cursor.execute("PRAGMA secure_delete=ON")
    cursor.execute(f"PRAGMA busy_timeout={BUSY_SECONDS * 1000}")
    cursor.close()


def _config(connection: Connection) -> Config:
    from alembic.config import Config

    config = Config()
    config.set_main_option("script_location", str(MIGRATIONS))
    config.attributes["connection"] = connection
    return config


def migrate(url: str, revision: str = "head") -> None:
    """Bring the database's tables to `revision`. Blocking; safe to call when there is nothing to do."""
    from alembic import command

    plain = make_url(url)
    if plain.get_backend_name() == "sqlite":
        plain = plain.set(drivername="sqlite")
    engine = create_engine(plain)
    if plain.get_backend_name() == "sqlite":
        event.listen(engine, "connect", _prepare_sqlite)
    try:
        with engine.begin() as connection:
            command.upgrade(_config(connection), revision)
    finally:
        engine.dispose()


def known_revisions() -> set[str]:
    """Every revision that this program can bring a database to, or take up from."""
    from alembic.script import ScriptDirectory

    return {script.revision for script in ScriptDirectory(str(MIGRATIONS)).walk_revisions()}


async def open_database(settings: Settings) -> Database:
    """Make the folders and the key where they are missing, migrate, and open. Raises BadInput for a wrong key."""
    settings.paths.ensure()
    cipher = load_cipher(settings.paths.key_file, settings.key)
    url = database_url(settings)
    await asyncio.to_thread(migrate, url)
    if make_url(url).get_backend_name() == "sqlite" and settings.database_url is None:
        settings.paths.database.chmod(0o600)
    use_cipher(cipher)
    return Database(_engine(make_url(url)), cipher)


def _engine(url: URL) -> AsyncEngine:
    engine = create_async_engine(
        url, pool_size=POOL_SIZE, max_overflow=0, pool_timeout=LONGEST_WAIT,
        hide_parameters=True,  # what went wrong is told and logged, what was written is not
    )  # fmt: skip
    if engine.dialect.name == "sqlite":
        event.listen(engine.sync_engine, "connect", _prepare_sqlite)
    if engine.dialect.driver == "inline":
        event.listen(engine.sync_engine, "connect", never_wait)
    return engine
