"""One chat's messages into the store: the new are added, those edited since taken over, the rest left alone.

Works in the caller's transaction and commits nothing. Remembers which ids a file had, one bit each, to notice an id
that comes twice. A message's digest is keyed, so that a stolen database does not tell whether somebody said a certain
sentence.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from typing import Any

from sqlalchemy import bindparam, func, insert, select, update
from sqlalchemy.ext.asyncio import AsyncSession

from config.errors import BadInput
from store.tables import Import, Source, SourceAuthor, SourceMessage
from tuning.sources.message import SourceMessage as Given
from tuning.speakers import Person

CHUNK = 1000
"""Messages stored at once."""
PAGE_BITS = 12


class IdSet:
    """A set of integers, at one bit each where they lie close together."""

    def __init__(self) -> None:
        self._pages: dict[int, bytearray] = {}

    def add(self, number: int) -> bool:
        """Put it in; whether it was not there before."""
        page, bit = number >> PAGE_BITS, number & ((1 << PAGE_BITS) - 1)
        bits = self._pages.get(page)
        if bits is None:
            bits = self._pages[page] = bytearray(1 << (PAGE_BITS - 3))
        mask = 1 << (bit & 7)
        new = not bits[bit >> 3] & mask
        bits[bit >> 3] |= mask
        return new


class ChatStore:
    """The messages of one file on their way into one source. `new` and `changed` count what this file brought."""

    def __init__(self, session: AsyncSession, source: Source, imported: Import, digest_key: bytes) -> None:
        self.new = 0
        self.changed = 0
        self._session = session
        self._source_id = source.id
        self._import_id = imported.id
        self._digest_key = digest_key
        self._seen = IdSet()
        self._authors: dict[str, int] = {}
        self._names: dict[str, str] = {}
        self._stored_names: dict[str, str] = {}
        self._had_messages = False

    async def open(self) -> None:
        """Learn who wrote in this source before."""
        table = SourceAuthor
        rows = await self._session.execute(
            select(table.external_id, table.id, table.name).where(table.source_id == self._source_id)
        )
        for external_id, number, name in rows:
            self._authors[external_id] = number
            self._stored_names[external_id] = name
        self._had_messages = bool(self._authors)

    async def add(self, messages: Sequence[Given], file_name: str) -> None:
        """Store these. Raises BadInput where an id comes a second time with other content."""
        first: list[tuple[Given, bytes]] = []
        again: list[tuple[Given, bytes]] = []
        for message in messages:
            digest = self._digest(message)
            if self._seen.add(int(message.external_id)):
                first.append((message, digest))
            else:
                again.append((message, digest))
        await self._add_authors(messages)
        known = await self._stored([message.external_id for message, _ in first]) if self._had_messages else {}
        added = [self._row(message, digest) for message, digest in first if message.external_id not in known]
        changed = [
            {"row": known[message.external_id][0], **self._row(message, digest)}
            for message, digest in first
            if message.external_id in known and known[message.external_id][1] != digest
        ]
        connection = await self._session.connection()
        if added:
            await connection.execute(insert(SourceMessage), added)
        if changed:
            columns: dict[str, Any] = {name: bindparam(name) for name in changed[0] if name != "row"}
            edit = update(SourceMessage).where(SourceMessage.id == bindparam("row")).values(columns)
            await connection.execute(edit, changed)
        self.new += len(added)
        self.changed += len(changed)
        if again:
            known = await self._stored([message.external_id for message, _ in again])
            for message, digest in again:
                if known[message.external_id][1] != digest:
                    raise BadInput(
                        f"Message {message.external_id} stands in {file_name} twice, with different content; "
                        "export the chat again."
                    )

    async def finish(self) -> None:
        """Take over the names people have by the end of the file."""
        renamed = [
            {"row": self._authors[author], "name": name}
            for author, name in self._names.items()
            if self._stored_names.get(author) != name
        ]
        if renamed:
            connection = await self._session.connection()
            rename = update(SourceAuthor).where(SourceAuthor.id == bindparam("row")).values(name=bindparam("name"))
            await connection.execute(rename, renamed)

    async def _add_authors(self, messages: Sequence[Given]) -> None:
        fresh: dict[str, str] = {}
        for message in messages:
            if message.author_id not in self._authors:
                fresh[message.author_id] = message.author
            self._names[message.author_id] = message.author
        if not fresh:
            return
        rows = [{"source_id": self._source_id, "external_id": key, "name": name} for key, name in fresh.items()]
        connection = await self._session.connection()
        table = SourceAuthor
        made = await connection.execute(insert(table).returning(table.external_id, table.id), rows)
        self._authors.update((external_id, number) for external_id, number in made)
        self._stored_names.update(fresh)

    async def _stored(self, external_ids: Sequence[str]) -> dict[str, tuple[int, bytes]]:
        table = SourceMessage
        rows = await self._session.execute(
            select(table.external_id, table.id, table.digest).where(
                table.source_id == self._source_id, table.external_id.in_(external_ids)
            )
        )
        return {external_id: (number, digest) for external_id, number, digest in rows}

    def _row(self, message: Given, digest: bytes) -> dict[str, Any]:
        return {
            "source_id": self._source_id,
            "import_id": self._import_id,
            "external_id": message.external_id,
            "author_id": self._authors[message.author_id],
            "sent_at": message.sent_at,
            "reply_to": message.reply_to,
            "forwarded": message.forwarded,
            "text": message.text,
            "digest": digest,
        }

    def _digest(self, message: Given) -> bytes:
        content = f"{message.author_id}\0{message.reply_to}\0{message.forwarded}\0{message.text}"
        return hashlib.blake2b(content.encode(), digest_size=8, key=self._digest_key).digest()


async def people_of(session: AsyncSession, source_id: int) -> list[Person]:
    """Everybody who wrote in a source, with how many messages."""
    written = (
        select(SourceMessage.author_id, func.count().label("messages"))
        .where(SourceMessage.source_id == source_id)
        .group_by(SourceMessage.author_id)
        .subquery()
    )
    rows = await session.execute(
        select(SourceAuthor.external_id, SourceAuthor.name, written.c.messages).join(
            written, written.c.author_id == SourceAuthor.id
        )
    )
    return [Person(*row) for row in rows]
