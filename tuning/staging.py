"""A chat on its way into the store: kept in temporary tables of one connection, then moved in one short transaction.

Promises that nobody else sees anything of it, or waits for it, before the move; that the move is whole or not at all;
and that a process that is killed leaves nothing, because temporary tables end with their connection. Knows tables and
columns, neither files nor what the rows mean.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import (
    BigInteger,
    Column,
    Integer,
    MetaData,
    Table,
    and_,
    bindparam,
    delete,
    exists,
    func,
    insert,
    literal,
    select,
    text,
    update,
)
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncSession

from config.errors import Refused
from store.database import Database
from store.tables import Base, ForgottenPerson, Import, Source, SourceAuthor, SourceMessage

NEW = 1 << 60
"""Rows that the store does not have yet are numbered from here on, in the order they came."""
SQLITE_CACHE_KIB = 32 * 1024
"""While rows are moved: enough for the upper pages of every index."""


def _twin(model: type[Base]) -> Table:
    """A temporary table with the columns of a model's own, sealed alike, without its keys."""
    number = BigInteger().with_variant(Integer(), "sqlite")
    columns = [
        Column(column.name, number if isinstance(column.type, Integer) else column.type, primary_key=column.primary_key,
               autoincrement=False)
        for column in model.__table__.columns
    ]  # fmt: skip
    return Table(f"staged_{model.__tablename__}", MetaData(), *columns, prefixes=["TEMPORARY"])


MODELS: tuple[type[Base], ...] = (Source, SourceAuthor, SourceMessage)
SOURCES, AUTHORS, MESSAGES = (_twin(model) for model in MODELS)


@dataclass(frozen=True, slots=True)
class Moved:
    """What the store got: messages that it did not have, and messages whose content is another now."""

    source_id: int
    new: int
    changed: int


class Staging:
    """One chat beside the store. Rows have the store's own number where it has them already, else one from NEW on."""

    def __init__(self, database: Database, connection: AsyncConnection) -> None:
        self.session = AsyncSession(connection, expire_on_commit=False)
        self._database = database
        self._connection = connection
        self._indexed = False

    @classmethod
    @asynccontextmanager
    async def beside(cls, database: Database) -> AsyncIterator[Staging]:
        """On a connection of its own, which is closed at the end, and all that is staged with it."""
        async with database.engine.connect() as connection:
            staging = cls(database, connection)
            try:
                for table in (SOURCES, AUTHORS, MESSAGES):
                    await connection.run_sync(table.create)
                await connection.commit()
                yield staging
            finally:
                await staging.session.close()
                await connection.invalidate()

    async def stage(self, table: Table, rows: Sequence[dict[str, Any]]) -> None:
        """Put rows into one of the twins."""
        if rows:
            await self._connection.execute(insert(table), rows)
            await self.release()

    async def release(self) -> None:
        """End the present look at the store, so that the next one sees what others have written since."""
        await self.session.commit()
        await self._connection.commit()

    async def digests(self, external_ids: Sequence[str]) -> dict[str, bytes]:
        """Of those of these messages that are staged."""
        if not self._indexed:  # needed for hardly any file
            await self._connection.execute(text("CREATE INDEX staged_by_id ON staged_source_messages (external_id)"))
            self._indexed = True
        found = select(MESSAGES.c.external_id, MESSAGES.c.digest).where(MESSAGES.c.external_id.in_(external_ids))
        rows = await self._connection.execute(found)
        return {row.external_id: row.digest for row in rows}

    @asynccontextmanager
    async def shown(self) -> AsyncIterator[AsyncSession]:
        """A session that sees the store as it will be after the move: views stand before the tables' own names."""
        schema = "main"
        if self._connection.dialect.name != "sqlite":
            schema = await self._connection.scalar(text("SELECT current_schema()"))
        await self._connection.execute(
            text("CREATE INDEX staged_by_time ON staged_source_messages (source_id, sent_at, id)")
        )
        for model in MODELS:
            name = model.__tablename__
            columns = ", ".join(column.name for column in model.__table__.columns)
            view = (
                f"CREATE TEMPORARY VIEW {name} AS SELECT {columns} FROM {schema}.{name} AS kept "  # noqa: S608
                f"WHERE NOT EXISTS (SELECT 1 FROM staged_{name} AS staged WHERE staged.id = kept.id) "
                f"UNION ALL SELECT {columns} FROM staged_{name}"
            )
            await self._connection.execute(text(view))
        await self.release()
        try:
            yield self.session
        finally:
            self.session.expunge_all()
            await self.release()
            for model in MODELS:
                await self._connection.execute(text(f"DROP VIEW {model.__tablename__}"))
            await self.release()

    async def set_source(self, row: dict[str, Any]) -> None:
        """The source as it will be."""
        await self._connection.execute(delete(SOURCES))
        await self.stage(SOURCES, [row])

    async def counted(self) -> Moved:
        """What a move would bring, with nothing moved."""
        row = (await self._connection.execute(select(SOURCES.c.id))).one()
        new = select(func.count()).select_from(MESSAGES).where(MESSAGES.c.id >= NEW)
        other = and_(SourceMessage.id == MESSAGES.c.id, SourceMessage.digest != MESSAGES.c.digest)
        changed = select(func.count()).select_from(MESSAGES).join(SourceMessage, other)
        counts = [await self._connection.scalar(query) or 0 for query in (new, changed)]
        await self.release()
        return Moved(row.id, counts[0], counts[1])

    async def move(self, imported: dict[str, Any] | None, forgotten: datetime | None) -> Moved:
        """All that is staged into the store, with `imported` as the record of it; one transaction, which writes first
        and so waits for others' at its very beginning or not at all. Of a message that was edited, the latest edit
        stays, whatever came last.

        Raises Refused where somebody was forgotten after `forgotten`: what is staged may have their words.
        """
        async with self._database.writing():
            return await self._move(imported, forgotten)

    async def _move(self, imported: dict[str, Any] | None, forgotten: datetime | None) -> Moved:
        if self._connection.dialect.name == "sqlite":
            await self._connection.execute(text(f"PRAGMA main.cache_size = -{SQLITE_CACHE_KIB}"))
        source_id, fresh = await self._move_source()
        if await self._connection.scalar(select(func.max(ForgottenPerson.forgotten_at))) != forgotten:
            await self._connection.rollback()
            raise Refused("Somebody was forgotten while this was read, so nothing was imported; import it again.")
        if imported is None:
            await self.release()
            return Moved(source_id, 0, 0)
        import_id = await self._connection.scalar(
            insert(Import).values(source_id=source_id, **imported).returning(Import.id)
        )
        await self._move_authors(source_id)
        new = await self._add_messages(source_id, import_id or 0, fresh)
        changed = await self._change_messages(source_id, import_id or 0)
        counts = {"messages_new": new, "messages_changed": changed}
        await self._connection.execute(update(Import).where(Import.id == import_id).values(counts))
        await self.release()
        return Moved(source_id, new, changed)

    async def _move_source(self) -> tuple[int, bool]:
        row = (await self._connection.execute(select(SOURCES))).one()
        given = {name: value for name, value in row._mapping.items() if name not in ("id", "paused")}
        await self.release()
        if row.id < NEW:
            await self._connection.execute(update(Source).where(Source.id == row.id).values(given))
            return row.id, False
        made = await self._connection.scalar(insert(Source).values(given).returning(Source.id))
        return made or 0, True

    async def _move_authors(self, source_id: int) -> None:
        known = select(SourceAuthor.external_id).where(SourceAuthor.source_id == source_id)
        columns = ["source_id", "external_id", "name"]
        fresh = select(literal(source_id), AUTHORS.c.external_id, AUTHORS.c.name)
        fresh = fresh.where(AUTHORS.c.external_id.not_in(known)).order_by(AUTHORS.c.id)
        await self._connection.execute(insert(SourceAuthor).from_select(columns, fresh))
        again = and_(SourceAuthor.source_id == source_id, SourceAuthor.external_id == AUTHORS.c.external_id)
        await self._connection.execute(update(SourceAuthor).where(again).values(name=AUTHORS.c.name))

    async def _add_messages(self, source_id: int, import_id: int, fresh: bool) -> int:
        carried = ("external_id", "sent_at", "edited_at", "reply_to", "forwarded", "text", "digest")
        rows = (
            select(
                literal(source_id), literal(import_id), SourceAuthor.id, *(MESSAGES.c[name] for name in carried)
            )
            .select_from(MESSAGES)
            .join(AUTHORS, AUTHORS.c.id == MESSAGES.c.author_id)
            .join(
                SourceAuthor,
                and_(SourceAuthor.source_id == source_id, SourceAuthor.external_id == AUTHORS.c.external_id),
            )
            .where(MESSAGES.c.id >= NEW)
            .order_by(MESSAGES.c.id)
        )  # fmt: skip
        if not fresh:  # another import of this chat may have been quicker
            same = and_(SourceMessage.source_id == source_id, SourceMessage.external_id == MESSAGES.c.external_id)
            rows = rows.where(~exists().where(same))
        added = await self._connection.execute(
            insert(SourceMessage).from_select(["source_id", "import_id", "author_id", *carried], rows),
            execution_options={"preserve_rowcount": True},
        )
        return added.rowcount

    async def _change_messages(self, source_id: int, import_id: int) -> int:
        later = func.coalesce(MESSAGES.c.edited_at, 0) >= func.coalesce(SourceMessage.edited_at, 0)
        same = and_(SourceMessage.id == MESSAGES.c.id, SourceMessage.source_id == source_id, later)
        other = and_(same, SourceMessage.digest != MESSAGES.c.digest)
        changed = await self._connection.scalar(select(func.count()).select_from(MESSAGES).where(other)) or 0
        author = (
            select(SourceAuthor.id)
            .join(AUTHORS, AUTHORS.c.external_id == SourceAuthor.external_id)
            .where(SourceAuthor.source_id == source_id, AUTHORS.c.id == MESSAGES.c.author_id)
            .scalar_subquery()
        )
        carried = ("sent_at", "edited_at", "reply_to", "forwarded", "text", "digest")
        values = {name: MESSAGES.c[name] for name in carried}
        edit = update(SourceMessage).where(same).values(import_id=bindparam("by"), author_id=author, **values)
        await self._connection.execute(edit, {"by": import_id})
        return changed
