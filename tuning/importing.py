"""Import: one export file into the store, whole or not at all.

Promises one transaction: on any error the database is as it was. A source is one chat of one assistant; the same file
twice adds nothing, a longer export of the same chat adds what is new and takes over what was edited since. The word of
whoever asked, that the chat may be used, is recorded with the source. What would become of the messages is counted by
curation before anything is committed.
"""

from __future__ import annotations

import asyncio
import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from sqlalchemy import select
from sqlalchemy.ext.asyncio import AsyncSession

from config.errors import BadInput, NotFound
from store.columns import now
from store.database import Database
from store.tables import Assistant, Import, Source
from tuning.curation import Say, measure, require_enough
from tuning.funnel import Step
from tuning.sources.message import SourceChat, SourceMessage
from tuning.sources.telegram import TelegramExport
from tuning.speakers import AnswerCount, choose_speaker
from tuning.storing import CHUNK, ChatStore, people_of

KIND = "telegram"
READING = "reading the export"
MOST_LISTED = 12


@dataclass(frozen=True, slots=True)
class Imported:
    """What an import did. `messages`: how many the source holds now; `new` and `changed`: of these, by this file.

    `speaker`: the display name of the one who is learnt; `speaker_chosen`: nobody named one, so it was chosen here.
    `conversations`, `examples` and the funnel are those of all the assistant's sources, but for the funnel's first
    step, which is this file's.
    """

    source_id: int
    messages: int
    new: int
    changed: int
    speaker: str
    speaker_chosen: bool
    conversations: int
    examples: int
    funnel: tuple[Step, ...]


async def import_file(
    database: Database,
    file: Path,
    assistant: str,
    speaker: str | None,
    asked_by: str,
    say: Say,
    chat: str | None = None,
) -> Imported:
    """Read `file` for `assistant`. `speaker`: a name or id; `chat`: a title or id, for the export of a whole account.

    `say` hears of the reading in bytes, then of curation in messages. Raises NotFound for an unknown assistant,
    BadInput for whatever is wrong with the file, the chat or the speaker.
    """
    export = TelegramExport(file)
    async with database.session() as session:
        owner = await session.scalar(select(Assistant).where(Assistant.name == assistant))
        if owner is None:
            raise NotFound(f"There is no assistant “{assistant[:60]}”; add it first.")
        reading = _Reading(session, export, owner, asked_by, database.cipher.derive("source_messages.digest"))
        source, imported = await reading.run(chat, say)
        people = await people_of(session, source.id)
        chosen, by_us = choose_speaker(people, speaker, source.speaker, reading.answers)
        source.speaker = chosen.external_id
        await session.flush()
        curated = await measure(session, owner.id, say)
        require_enough(curated)
        total = sum(person.messages for person in people)
        kept = min(reading.kept or total, imported.messages_read)
        return Imported(
            source_id=source.id,
            messages=total,
            new=reading.new,
            changed=reading.changed,
            speaker=chosen.name,
            speaker_chosen=by_us,
            conversations=curated.conversations,
            examples=curated.examples,
            funnel=(Step("with text", imported.messages_read, kept), *curated.funnel),
        )


@dataclass(slots=True)
class _Chat:
    head: SourceChat
    kept: int = 0


class _Reading:
    """One pass over the file: the chat that is wanted is stored, the others are counted."""

    def __init__(
        self, session: AsyncSession, export: TelegramExport, owner: Assistant, asked_by: str, digest_key: str
    ) -> None:
        self.answers = AnswerCount()
        self.new = self.changed = self.kept = 0
        self._session = session
        self._export = export
        self._owner = owner
        self._asked_by = asked_by
        self._digest_key = bytes.fromhex(digest_key)

    async def run(self, wanted: str | None, say: Say) -> tuple[Source, Import]:
        """Store the chat. Gives its source, and this file's import: the earlier one if it was read before."""
        export, answers, name = self._export, self.answers, self._export.file.name
        chats: list[_Chat] = []
        taken: _Chat | None = None
        store: ChatStore | None = None
        pending: list[SourceMessage] = []
        for item in export:
            if isinstance(item, SourceChat):
                if chats and chats[-1].head.id == item.id:
                    chats[-1].head = item
                else:
                    chats.append(_Chat(item))
                continue
            current = chats[-1]
            current.kept += 1
            if taken is not current:
                if taken is not None or not (wanted is None or _is_called(current.head, wanted)):
                    continue
                taken = current
                source = await self._source(current.head)
                before = await self._read_before(source)
                if before is None:
                    imported, store = await self._open(source)
                else:
                    imported = before
                    if wanted is not None or not export.account:
                        break
            if store is None:
                continue  # known already; the rest is read to see whether there are other chats
            answers.take(item.external_id, item.author_id, item.sent_at, item.reply_to)
            pending.append(item)
            if len(pending) == CHUNK:
                await store.add(pending, name)
                pending.clear()
                say(READING, export.position, export.size)
        if taken is None:
            raise _nothing_taken(export, chats, wanted)
        _require_one([one for one in chats if wanted is None or _is_called(one.head, wanted)])
        if store is None:
            return source, imported
        await store.add(pending, name)
        await store.finish()
        say(READING, export.size, export.size)
        source.title = taken.head.title
        imported.file_digest = export.digest
        imported.messages_read = export.entries[taken.head.id]
        imported.messages_new, imported.messages_changed = store.new, store.changed
        self.new, self.changed, self.kept = store.new, store.changed, taken.kept
        return source, imported

    async def _source(self, head: SourceChat) -> Source:
        same = (Source.assistant_id == self._owner.id, Source.kind == KIND, Source.external_id == head.id)
        source = await self._session.scalar(select(Source).where(*same))
        if source is None:
            source = Source(assistant_id=self._owner.id, kind=KIND, external_id=head.id, speaker=None)
            self._session.add(source)
        source.title = head.title
        source.permission = f"{self._asked_by} imported this chat's export and says that it may be used for training."
        source.permission_by = self._asked_by
        source.permission_at = now()
        await self._session.flush()
        return source

    async def _open(self, source: Source) -> tuple[Import, ChatStore]:
        imported = Import(source_id=source.id, file_digest="")
        self._session.add(imported)
        await self._session.flush()
        store = ChatStore(self._session, source, imported, self._digest_key)
        await store.open()
        return imported, store

    async def _read_before(self, source: Source) -> Import | None:
        """The import of this very file into this source, if there was one."""
        if await self._session.scalar(select(Import.id).where(Import.source_id == source.id).limit(1)) is None:
            return None
        digest = await asyncio.to_thread(_digest, self._export.file)
        same = select(Import).where(Import.source_id == source.id, Import.file_digest == digest)
        found: Import | None = await self._session.scalar(same.limit(1))
        return found


def _digest(file: Path) -> str:
    with file.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()


def _is_called(head: SourceChat, wanted: str) -> bool:
    return wanted.strip() == head.id or wanted.strip().casefold() == head.title.strip().casefold()


def _nothing_taken(export: TelegramExport, chats: Sequence[_Chat], wanted: str | None) -> BadInput:
    written = [one for one in chats if one.kept]
    if wanted is None or not written:
        return BadInput(f"{export.file.name} has no messages with text; export a chat in which people write.")
    return BadInput(
        f"{export.file.name} has no chat “{wanted[:60]}” with messages; those that it has are {_listed(written)}."
    )


def _require_one(chats: Sequence[_Chat]) -> None:
    written = [one for one in chats if one.kept]
    if len(written) > 1:
        raise BadInput(
            f"This export holds {len(written):,} chats; say which to learn from with --chat and its title or id: "
            f"{_listed(written)}."
        )


def _listed(chats: Sequence[_Chat]) -> str:
    longest = sorted(chats, key=lambda one: -one.kept)
    shown = [f"“{one.head.title[:60]}” (id {one.head.id}, {one.kept:,} messages)" for one in longest[:MOST_LISTED]]
    more = f" and {len(longest) - MOST_LISTED:,} more" if len(longest) > MOST_LISTED else ""
    return ", ".join(shown) + more
