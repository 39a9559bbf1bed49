"""One chat's messages on their way into a source: the new are staged, those edited since too, the rest left alone.

Writes nothing into the store; staging does, at the end. Remembers which ids a file had, to notice an id
that comes twice. A message's digest is keyed, so that a stolen database does not tell whether somebody said a certain
sentence.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from typing import Any

from sqlalchemy import func, select
from sqlalchemy.ext.asyncio import AsyncSession

from config.errors import BadInput
from store.tables import SourceAuthor, SourceMessage
from tuning.sources.message import SourceMessage as Given
from tuning.speakers import Person
from tuning.staging import AUTHORS, MESSAGES, NEW, Staging

CHUNK = 1000
"""Messages stored at once."""
PAGE_BITS = 12
DIGITS = 13
"""Longer numbers are no counters but made of the time, and far apart."""


class IdSet:
    """A set of external ids: at one bit each where they are small numbers that lie close together, as Telegram's do;
    else by 8 bytes of a digest."""

    def __init__(self) -> None:
        self._pages: dict[int, bytearray] = {}
        self._others: set[int] = set()

    def add(self, external_id: str) -> bool:
        """Put it in; whether it was not there before."""
        number = int(external_id) if len(external_id) <= DIGITS and external_id.lstrip("-").isdecimal() else None
        if number is None:
            known = len(self._others)
            digest = hashlib.blake2b(external_id.encode(), digest_size=8).digest()
            self._others.add(int.from_bytes(digest, "little"))
            return len(self._others) > known
        page, bit = number >> PAGE_BITS, number & ((1 << PAGE_BITS) - 1)
        bits = self._pages.get(page)
        if bits is None:
            bits = self._pages[page] = bytearray(1 << (PAGE_BITS - 3))
        mask = 1 << (bit & 7)
        new = not bits[bit >> 3] & mask
        bits[bit >> 3] |= mask
        return new


class ChatStore:
    """The messages of one file on their way into one source, whose number it has or will be given."""

    def __init__(self, staging: Staging, source_id: int, digest_key: bytes) -> None:
        self._staging = staging
        self._source_id = source_id
        self._digest_key = digest_key
        self._seen = IdSet()
        self._authors: dict[str, int] = {}
        self._names: dict[str, str] = {}
        self._next = NEW
        self._had_messages = False

    async def open(self) -> None:
        """Learn who wrote in this source before."""
        table = SourceAuthor
        rows = await self._staging.session.execute(
            select(table.external_id, table.id).where(table.source_id == self._source_id)
        )
        self._authors.update((external_id, number) for external_id, number in rows)
        self._had_messages = bool(self._authors)

    async def add(self, messages: Sequence[Given], file_name: str) -> None:
        """Take these. Raises BadInput where an id comes a second time with other content."""
        first: list[tuple[Given, bytes]] = []
        again: list[tuple[Given, bytes]] = []
        for message in messages:
            self._names[message.author_id] = message.author
            digest = self._digest(message)
            if self._seen.add(message.external_id):
                first.append((message, digest))
            else:
                again.append((message, digest))
        known = await self._stored([message.external_id for message, _ in first]) if self._had_messages else {}
        rows = []
        for message, digest in first:
            stored = known.get(message.external_id)
            if stored is None or _is_later(message, digest, stored):
                rows.append(self._row(None if stored is None else stored[0], message, digest))
        await self._staging.stage(MESSAGES, rows)
        if again:
            await self._require_the_same(again, file_name)

    async def finish(self) -> None:
        """Take over the names people have by the end of the file."""
        rows = [
            {"id": self._author(key), "source_id": self._source_id, "external_id": key, "name": name}
            for key, name in self._names.items()
        ]
        for start in range(0, len(rows), CHUNK):
            await self._staging.stage(AUTHORS, rows[start : start + CHUNK])

    async def _require_the_same(self, again: Sequence[tuple[Given, bytes]], file_name: str) -> None:
        ids = [message.external_id for message, _ in again]
        stored = await self._stored(ids) if self._had_messages else {}
        digests = {number: row[1] for number, row in stored.items()} | await self._staging.digests(ids)
        for message, digest in again:
            if digests[message.external_id] != digest:
                raise BadInput(
                    f"Message {message.external_id} stands in {file_name} twice, with different content; "
                    "export the chat again."
                )

    async def _stored(self, external_ids: Sequence[str]) -> dict[str, tuple[int, bytes, int]]:
        """By external id: number, digest, second of the last edit known (0: none)."""
        table = SourceMessage
        rows = await self._staging.session.execute(
            select(table.external_id, table.id, table.digest, table.edited_at).where(
                table.source_id == self._source_id, table.external_id.in_(external_ids)
            )
        )
        found = {external_id: (number, digest, edited or 0) for external_id, number, digest, edited in rows}
        await self._staging.release()
        return found

    def _author(self, external_id: str) -> int:
        return self._authors.setdefault(external_id, NEW + len(self._authors))

    def _row(self, number: int | None, message: Given, digest: bytes) -> dict[str, Any]:
        if number is None:
            number = self._next
            self._next += 1
        return {
            "id": number,
            "source_id": self._source_id,
            "import_id": 0,
            "external_id": message.external_id,
            "author_id": self._author(message.author_id),
            "sent_at": message.sent_at,
            "edited_at": message.edited_at,
            "reply_to": message.reply_to,
            "forwarded": message.forwarded,
            "text": message.text,
            "digest": digest,
        }

    def _digest(self, message: Given) -> bytes:
        content = f"{message.author_id}\0{message.reply_to}\0{message.forwarded}\0{message.text}"
        return hashlib.blake2b(content.encode(), digest_size=8, key=self._digest_key).digest()


def _is_later(message: Given, digest: bytes, stored: tuple[int, bytes, int]) -> bool:
    """Whether this is to take the place of what is stored: a later edit, or other content of the same one."""
    edited = message.edited_at or 0
    return edited > stored[2] or (edited == stored[2] and digest != stored[1])


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
