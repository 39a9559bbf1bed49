"""An assistant's sources as people look after them: listed, looked into, paused, and removed with all they brought.

A version that learnt from a source that is removed is marked, as it is when a person is forgotten: what it learnt from
is deleted since. Whether it goes on serving is the operator's to say. Knows nothing of how a source was read.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import delete, func, select
from sqlalchemy.ext.asyncio import AsyncSession

from config.errors import NotFound, Refused
from config.names import VersionName
from store.assistants import find_assistant
from store.columns import now
from store.database import Database
from store.tables import Assistant, Import, Job, Lineage, Source, SourceAuthor, SourceMessage, Version
from tuning.speakers import voice_name

KINDS = {
    "telegram": "Telegram", "discord": "Discord", "whatsapp": "WhatsApp", "slack": "Slack", "dialogues": "dialogues",
    "document": "document", "taught": "taught answers", "channel": "this channel’s own log",
}  # fmt: skip


@dataclass(frozen=True, slots=True)
class SourceView:
    """One source. `speaker`: the names of those who are learnt; `permission`: the word it is used on."""

    id: int
    kind: str
    title: str
    speaker: str | None
    messages: int
    paused: bool
    imported_at: datetime | None
    permission: str


@dataclass(frozen=True, slots=True)
class Line:
    """One message of a source, as it was written."""

    author: str
    at: datetime
    text: str


@dataclass(frozen=True, slots=True)
class Removed:
    """What went with a source. `marked`: versions that had learnt from it."""

    title: str
    messages: int
    marked: tuple[VersionName, ...]


async def shelf(database: Database, assistant_name: str) -> list[SourceView]:
    """All of an assistant's sources, oldest first. Raises NotFound for an unknown assistant."""
    async with database.session() as session:
        assistant = await find_assistant(session, assistant_name)
        sources = (await session.scalars(select(Source).where(Source.assistant_id == assistant.id))).all()
        return [await _view(session, source) for source in sorted(sources, key=lambda source: source.id)]


async def look_into(database: Database, assistant_name: str, source_id: int, limit: int) -> list[Line]:
    """The newest messages of a source, oldest of them first. Raises NotFound."""
    async with database.session() as session:
        source = await _find(session, assistant_name, source_id)
        rows = await session.execute(
            select(SourceAuthor.name, SourceMessage.sent_at, SourceMessage.text)
            .join(SourceAuthor, SourceAuthor.id == SourceMessage.author_id)
            .where(SourceMessage.source_id == source.id)
            .order_by(SourceMessage.sent_at.desc(), SourceMessage.id.desc())
            .limit(limit)
        )
        return [Line(name, datetime.fromtimestamp(at).astimezone(), text) for name, at, text in rows.tuples()][::-1]


async def pause(database: Database, assistant_name: str, source_id: int, *, paused: bool) -> SourceView:
    """Learn from it no more, or again, from the next retrain on. Raises NotFound."""
    async with database.session() as session:
        source = await _find(session, assistant_name, source_id)
        source.paused = paused
        await session.flush()
        return await _view(session, source)


async def remove(database: Database, assistant_name: str, source_id: int) -> Removed:
    """Delete it with its messages. Raises NotFound, and Refused while the assistant is learning from it."""
    async with database.session() as session:
        source = await _find(session, assistant_name, source_id)
        active = select(Job.id).where(Job.assistant_id == source.assistant_id, Job.state == "running")
        if await session.scalar(active) is not None:
            raise Refused(f"{assistant_name} is learning from its sources now; stop that first, or wait for its end.")
        view = await _view(session, source)
        learnt = select(Lineage.version_id).where(Lineage.source_id == source.id)
        versions = await session.execute(
            select(Version, Assistant)
            .join(Assistant, Assistant.id == Version.assistant_id)
            .where(Version.id.in_(learnt))
        )
        marked = []
        for version, assistant in versions.tuples().all():
            version.forgotten_at = version.forgotten_at or now()
            marked.append(VersionName(assistant.name, version.number))
        await session.flush()
        await session.execute(delete(Source).where(Source.id == source.id))
    return Removed(view.title, view.messages, tuple(sorted(marked, key=lambda name: name.number)))


async def _find(session: AsyncSession, assistant_name: str, source_id: int) -> Source:
    assistant = await find_assistant(session, assistant_name)
    source = await session.get(Source, source_id)
    if source is None or source.assistant_id != assistant.id:
        raise NotFound(f"{assistant_name} has no source {source_id}; parlance sources {assistant_name} lists them.")
    return source


async def _view(session: AsyncSession, source: Source) -> SourceView:
    messages = await session.scalar(
        select(func.count()).select_from(SourceMessage).where(SourceMessage.source_id == source.id)
    )
    imported = await session.scalar(select(func.max(Import.created_at)).where(Import.source_id == source.id))
    authors = select(SourceAuthor.external_id, SourceAuthor.name).where(SourceAuthor.source_id == source.id)
    rows = await session.execute(authors.where(SourceAuthor.external_id.in_(source.speakers or ())))
    speaker = voice_name(dict(rows.tuples().all()), source.speakers)
    return SourceView(
        source.id, KINDS.get(source.kind, source.kind), source.title, speaker, messages or 0, source.paused, imported,
        source.permission,
    )  # fmt: skip
