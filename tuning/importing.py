"""Import: one export file into the store, whole or not at all.

Promises one transaction, a short one at the end: on any error the database is as it was, and whoever writes meanwhile
hardly waits. A source is one chat of one assistant; the same file twice adds nothing, a longer export of the same chat
adds what is new and takes over what was edited since; an older one takes nothing back. However little it is, it is
kept, since sources add up; what is wanting before a version can be learnt is told. The word of whoever asked, that
the chat may be used, is recorded with the source. What would become of the messages is counted by curation before
anything is written.
"""

from __future__ import annotations

import asyncio
import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from sqlalchemy import select
from sqlalchemy.exc import IntegrityError

from config.errors import BadInput, NotFound, Refused
from store.columns import now
from store.database import Database
from store.forgotten import KeptOut
from store.tables import Assistant, Import, Source
from tuning.curation import measure, wanting
from tuning.funnel import Step
from tuning.reading import Say
from tuning.sources.detect import open_export
from tuning.sources.export import Export
from tuning.sources.message import SourceChat, SourceMessage
from tuning.speakers import AnswerCount, choose_voice
from tuning.staging import NEW, Staging
from tuning.storing import CHUNK, ChatStore, people_of

READING = "reading the export"
SPEAKERS = {"dialogues": "assistant", "document": "assistant"}
"""Whose words are learnt where the format says so, by the source's kind."""
MOST_LISTED = 12


@dataclass(frozen=True, slots=True)
class Imported:
    """What an import did. `messages`: how many the source holds now; `new` and `changed`: of these, by this file.

    `speaker`: the display name of the one who is learnt, or of those; `speaker_chosen`: nobody named one, so it was
    chosen here. `without_text`: messages that could not be kept and only hold their place, where this file was not
    imported before. `wanting`: what it takes before a version can be learnt, as a sentence.
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
    without_text: int = 0
    wanting: str | None = None


async def import_file(
    database: Database,
    file: Path,
    assistant: str,
    speaker: str | Sequence[str] | None,
    asked_by: str,
    say: Say,
    chat: str | None = None,
    *,
    preview: bool = False,
) -> Imported:
    """Read `file` for `assistant`. `speaker`: a name or id, several, or EVERYBODY; `chat`: a title or id, for the
    export of a whole account.
    A `preview` tells what an import would do and keeps nothing.

    `say` hears of the reading in bytes, then of curation in messages. Raises NotFound for an unknown assistant,
    BadInput for whatever is wrong with the file, the chat or the speaker, and where nobody gives their word for it,
    Refused where another process was quicker with the same chat, or somebody was forgotten meanwhile.
    """
    if not asked_by.strip():
        raise BadInput("Nobody says that this may be used for training; give the name of whoever imports it.")
    export = open_export(file)
    speaker = speaker or SPEAKERS.get(export.kind) or ()
    wanted = (speaker,) if isinstance(speaker, str) else tuple(speaker)
    async with Staging.beside(database) as staging:
        owner = await staging.session.scalar(select(Assistant).where(Assistant.name == assistant))
        if owner is None:
            raise NotFound(f"There is no assistant “{assistant[:60]}”; add it first.")
        kept_out = await KeptOut.load(staging.session, database.cipher)
        reading = _Reading(staging, export, owner.id, database.cipher.derive("source_messages.digest"), kept_out)
        await staging.release()
        read = await reading.run(chat, say)
        await staging.set_source(_source_row(read, export.kind, owner.id, asked_by, read.speakers))
        async with staging.shown() as session:
            people = await people_of(session, read.source_id)
            voice = choose_voice(people, wanted, read.speakers, reading.answers)
            await staging.set_source(_source_row(read, export.kind, owner.id, asked_by, voice.ids))
            curated = await measure(session, owner.id, say)
        imported = {"file_digest": export.digest, "messages_read": read.entries} if read.before is None else None
        try:
            moved = await staging.counted() if preview else await staging.move(imported, kept_out.latest)
        except IntegrityError:
            raise Refused("This chat was imported by another process at this very moment; import it again.") from None
        total = sum(person.messages for person in people)
        kept = read.kept if read.before is None else min(total, read.entries)
        return Imported(
            source_id=moved.source_id,
            messages=total,
            new=moved.new,
            changed=moved.changed,
            speaker=voice.name,
            speaker_chosen=voice.chosen,
            conversations=curated.conversations,
            examples=curated.examples,
            funnel=(Step("with text", read.entries, kept), *curated.funnel),
            without_text=read.without_text,
            wanting=wanting(curated),
        )


@dataclass(frozen=True, slots=True)
class _Read:
    """What was read: into which source (or its number to come), whose answers it learnt so far, how many entries of
    the chat have text, and how many are kept without it; `before`: the import of this very file, if it was read
    before."""

    head: SourceChat
    source_id: int
    speakers: Sequence[str] | None
    entries: int
    kept: int
    before: Import | None
    without_text: int = 0


def _source_row(
    read: _Read, kind: str, assistant_id: int, asked_by: str, speakers: Sequence[str] | None
) -> dict[str, Any]:
    return {
        "id": read.source_id,
        "assistant_id": assistant_id,
        "kind": kind,
        "external_id": read.head.id,
        "title": read.head.title,
        "speakers": None if speakers is None else list(speakers),
        "paused": False,  # as it is looked at; a source that is paused stays so
        "permission": f"{asked_by} imported this chat's export and says that it may be used for training.",
        "permission_by": asked_by,
        "permission_at": now(),
    }


@dataclass(slots=True)
class _Chat:
    head: SourceChat
    kept: int = 0
    without_text: int = 0


class _Reading:
    """One pass over the file: the chat that is wanted is staged, the others are counted. Who was forgotten stays so:
    what they wrote before that is passed over."""

    def __init__(self, staging: Staging, export: Export, assistant_id: int, digest_key: str, kept_out: KeptOut) -> None:
        self.answers = AnswerCount()
        self._staging = staging
        self._export = export
        self._assistant_id = assistant_id
        self._digest_key = bytes.fromhex(digest_key)
        self._kept_out = kept_out

    async def run(self, wanted: str | None, say: Say) -> _Read:
        """Stage the chat, unless this very file was read before."""
        export, answers, name = self._export, self.answers, self._export.file.name
        chats: list[_Chat] = []
        taken: _Chat | None = None
        source_id, speakers, before = NEW, None, None
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
            if self._kept_out.covers(export.kind, item.author_id, item.sent_at):
                continue
            current.kept += bool(item.text)
            current.without_text += not item.text
            if not current.kept:
                continue  # nothing was said before it that it could hold apart
            if taken is not current:
                if taken is not None or not (wanted is None or _is_called(current.head, wanted)):
                    continue
                taken = current
                source_id, speakers = await self._source(current.head)
                before = await self._read_before(source_id)
                if before is None:
                    store = ChatStore(self._staging, source_id, self._digest_key)
                    await store.open()
                elif wanted is not None or not export.account:
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
            entries = before.messages_read if before is not None else 0
            return _Read(taken.head, source_id, speakers, entries, taken.kept, before)
        await store.add(pending, name)
        await store.finish()
        say(READING, export.size, export.size)
        entries = export.entries[taken.head.id]
        return _Read(taken.head, source_id, speakers, entries, taken.kept, None, taken.without_text)

    async def _source(self, head: SourceChat) -> tuple[int, Sequence[str] | None]:
        """Number and speakers of the source that this chat is for the assistant, or will be."""
        same = (
            Source.assistant_id == self._assistant_id,
            Source.kind == self._export.kind,
            Source.external_id == head.id,
        )
        found = (await self._staging.session.execute(select(Source.id, Source.speakers).where(*same))).first()
        await self._staging.release()
        return (NEW, None) if found is None else (found.id, found.speakers)

    async def _read_before(self, source_id: int) -> Import | None:
        """The import of this very file into this source, if there was one."""
        session = self._staging.session
        if await session.scalar(select(Import.id).where(Import.source_id == source_id).limit(1)) is None:
            return None
        digest = await asyncio.to_thread(_digest, self._export.file)
        same = select(Import).where(Import.source_id == source_id, Import.file_digest == digest)
        found: Import | None = await session.scalar(same.limit(1))
        await self._staging.release()
        return found


def _digest(file: Path) -> str:
    with file.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()


def _is_called(head: SourceChat, wanted: str) -> bool:
    return wanted.strip() == head.id or wanted.strip().casefold() == head.title.strip().casefold()


def _nothing_taken(export: Export, chats: Sequence[_Chat], wanted: str | None) -> BadInput:
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
