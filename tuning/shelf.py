"""An assistant's sources as people look after them: listed, looked into, paused, and removed with all they brought.

What learnt from a source that is removed is dealt with as where a person is forgotten (tuning/aftermath.py). The log of
a channel is a source that cannot be removed, because it is the assistant's memory; it can be paused. Knows nothing of
how a source was read.
"""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import delete, func, select, update
from sqlalchemy.ext.asyncio import AsyncSession

from config.errors import NotFound, Refused
from config.settings import Settings
from store.assistants import find_assistant
from store.authors import LOGGED
from store.database import Database
from store.removed import note_removed
from store.tables import Import, Source, SourceAuthor, SourceMessage, Version
from tuning.aftermath import drop_samples, follow, settle, texts_of
from tuning.echo import Echo
from tuning.forgotten import Aftermath
from tuning.funnel import Counter
from tuning.sources import channel_log
from tuning.speakers import voice_name

BY = "removing a source"
"""Who asked for what happens by policy."""
ROWS_AT_ONCE = 1000
KINDS = {
    "telegram": "Telegram", "discord": "Discord", "whatsapp": "WhatsApp", "slack": "Slack", "dialogues": "dialogues",
    "document": "document", "taught": "taught answers", "channel": "this channel’s own log",
}  # fmt: skip


@dataclass(frozen=True, slots=True)
class SourceView:
    """One source. `speaker`: the names of those who are learnt; `messages`: how many it has, of a channel's own log how
    many may be learnt from; `permission`: the word it is used on. `log`: it is a channel's own log."""

    id: int
    kind: str
    title: str
    speaker: str | None
    messages: int
    paused: bool
    imported_at: datetime | None
    permission: str
    log: bool = False


@dataclass(frozen=True, slots=True)
class Line:
    """One message of a source, as it was written."""

    author: str
    at: datetime
    text: str


@dataclass(frozen=True, slots=True)
class Removed(Aftermath):
    """What went with a source, and what followed. `samples`: answers in reports that repeated something of it."""

    title: str
    messages: int
    samples: int

    def sentences(self) -> tuple[str, ...]:
        """As people read it."""
        answers = "sample answer" if self.samples == 1 else "sample answers"
        samples = f" and {self.samples:,} {answers} in reports" if self.samples else ""
        return (f"Removed “{self.title}” with {self.messages:,} messages{samples}.", *self.of("it"))


async def shelf(database: Database, assistant_name: str) -> list[SourceView]:
    """All of an assistant's sources, oldest first. Raises NotFound for an unknown assistant."""
    async with database.long_session() as session:
        assistant = await find_assistant(session, assistant_name)
        sources = (await session.scalars(select(Source).where(Source.assistant_id == assistant.id))).all()
        return [await _view(session, source) for source in sorted(sources, key=lambda source: source.id)]


async def look_into(database: Database, assistant_name: str, source_id: int, limit: int) -> list[Line]:
    """The newest messages of a source, oldest of them first; of a channel's own log those that may be learnt from.
    Raises NotFound."""
    async with database.long_session() as session:
        source = await _find(session, assistant_name, source_id)
        if source.kind == LOGGED:
            return await _look_into_log(session, source, assistant_name, limit)
        rows = await session.execute(
            select(SourceAuthor.name, SourceMessage.sent_at, SourceMessage.text)
            .join(SourceAuthor, SourceAuthor.id == SourceMessage.author_id)
            .where(SourceMessage.source_id == source.id)
            .order_by(SourceMessage.sent_at.desc(), SourceMessage.id.desc())
            .limit(limit)
        )
        return [Line(name, datetime.fromtimestamp(at).astimezone(), text) for name, at, text in rows.tuples()][::-1]


async def _look_into_log(session: AsyncSession, source: Source, assistant_name: str, limit: int) -> list[Line]:
    log = await _log(session, source)
    newest: deque[Line] = deque(maxlen=limit)
    if log is not None:
        async for chunk in channel_log.read(session, log, Counter("with consent")):
            for said in chunk:
                if said.text:
                    at = datetime.fromtimestamp(said.sent_at).astimezone()
                    newest.append(Line(said.author or assistant_name, at, said.text))
    return list(newest)


async def _log(session: AsyncSession, source: Source) -> channel_log.ChannelLog | None:
    """The channel's log that a source stands for; None where it may not be learnt from as things are."""
    logs = await channel_log.logs_of(session, source.assistant_id, paused_too=True)
    return next((log for log in logs if log.source_id == source.id), None)


async def pause(database: Database, assistant_name: str, source_id: int, *, paused: bool) -> SourceView:
    """Learn from it no more, or again, from the next retrain on. Raises NotFound."""
    async with database.long_session() as session:
        source = await _find(session, assistant_name, source_id)
        source.paused = paused
        await session.flush()
        return await _view(session, source)


async def remove(database: Database, settings: Settings, assistant_name: str, source_id: int) -> Removed:
    """Delete it with its messages. Versions that learnt from it are marked, and withdrawn or made anew by the
    assistant's policy; what is being learnt begins anew.

    Raises NotFound, and Refused for a channel's own log.
    """
    async with database.long_session() as session:  # before the transaction that others wait for
        source = await _find(session, assistant_name, source_id)
        if source.kind == LOGGED:
            raise Refused(
                f"Source {source_id} is what is said in “{source.title}” itself, which {assistant_name} remembers, so "
                f"it cannot be removed. To learn from it no more: parlance sources {assistant_name} --pause "
                f"{source_id}. What one person wrote goes with: parlance forget WHO"
            )
        echo, looked_at = await _echo(session, source)
    async with database.long_session() as session:
        # A write first: nobody else writes until the end.
        await session.execute(update(Source).where(Source.id == source_id).values(paused=True))
        source = await _find(session, assistant_name, source_id)
        title, assistants = source.title, {source.assistant_id}
        learnt = await note_removed(session, database.cipher, source)
        followed = await follow(session, learnt, assistants, BY)
        samples = await drop_samples(
            session, assistants, lambda version, text: version.id not in looked_at or echo.in_(text)
        )
        messages = (await _view(session, source)).messages
        await session.execute(delete(SourceMessage).where(SourceMessage.source_id == source_id))
        await session.execute(delete(Source).where(Source.id == source_id))
    aftermath = await settle(database, settings, followed)
    return Removed(title, messages, samples, **aftermath)


async def _echo(session: AsyncSession, source: Source) -> tuple[Echo, set[int]]:
    """What the sample answers of the assistant's versions repeat of a source, and the rows of these versions."""
    versions = (await session.scalars(select(Version).where(Version.assistant_id == source.assistant_id))).all()
    shown = [text for version in versions for one in version.report.get("samples", []) for text in texts_of(one)]
    echo = Echo(about=shown)
    if shown:
        texts = await session.stream_scalars(
            select(SourceMessage.text).where(SourceMessage.source_id == source.id),
            execution_options={"yield_per": ROWS_AT_ONCE},
        )
        async for chunk in texts.partitions():
            for text in chunk:
                echo.remember(text)
    return echo, {version.id for version in versions}


async def _find(session: AsyncSession, assistant_name: str, source_id: int) -> Source:
    assistant = await find_assistant(session, assistant_name)
    source = await session.get(Source, source_id)
    if source is None or source.assistant_id != assistant.id:
        raise NotFound(f"{assistant_name} has no source {source_id}; parlance sources {assistant_name} lists them.")
    return source


async def _view(session: AsyncSession, source: Source) -> SourceView:
    if source.kind == LOGGED:
        log = await _log(session, source)
        messages = await channel_log.count_learnable(session, log) if log is not None else 0
    else:
        stored = select(func.count()).select_from(SourceMessage).where(SourceMessage.source_id == source.id)
        messages = await session.scalar(stored) or 0
    imported = await session.scalar(select(func.max(Import.created_at)).where(Import.source_id == source.id))
    authors = select(SourceAuthor.external_id, SourceAuthor.name).where(SourceAuthor.source_id == source.id)
    rows = await session.execute(authors.where(SourceAuthor.external_id.in_(source.speakers or ())))
    speaker = voice_name(dict(rows.tuples().all()), source.speakers)
    return SourceView(
        source.id, KINDS.get(source.kind, source.kind), source.title, speaker, messages, source.paused, imported,
        source.permission, source.kind == LOGGED,
    )  # fmt: skip
