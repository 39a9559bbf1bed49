"""Forgetting a person: their words are deleted, and every version that learnt from any of them is marked.

Promises: one transaction deletes the rows, marks the versions, takes them out of service where the assistant's policy
says so, and tells the jobs that have read any of it to stop; so a kill leaves all of that done or none of it. Then run
folders go, and the database's journal is emptied. What was written before is not imported again.

What stays: that there were chats, roles that an owner gave, what other people wrote, and a keyed digest of who it was.
"""

from __future__ import annotations

from collections.abc import Sequence

import structlog
from sqlalchemy import delete, func, select, update
from sqlalchemy.ext.asyncio import AsyncSession

from config.names import VersionName
from config.settings import Settings
from store.columns import now
from store.database import Database
from store.footprint import Footprint, authored_by, chunks, footprint
from store.forgotten import note_forgotten
from store.journal import empty_journal
from store.lineage import learnt_from_any
from store.tables import (
    Admission,
    Assistant,
    Channel,
    Comparison,
    Consent,
    Import,
    Job,
    Lineage,
    Message,
    Person,
    Source,
    SourceAuthor,
    SourceMessage,
    Speaker,
    Version,
    Vote,
)
from tuning import run_folders
from tuning.echo import Echo
from tuning.forgotten import Counts, Forgotten
from tuning.versions import Move, withdraw

BY = "forgetting"
"""Who asked for what happens by policy."""

log = structlog.get_logger()


async def forget(database: Database, settings: Settings, person: str) -> Forgotten:
    """Forget `person` (a key, `PLATFORM:ID`). Somebody unknown is forgotten as well, with counts of nothing."""
    async with database.long_session() as session:
        await note_forgotten(session, database.cipher, person)  # a write first: nobody else writes until the end
        found = await footprint(session, person)
        versions = await _mark(session, await find_versions(session, found))
        stale, retraining = await _stop_jobs(session, found)
        samples = await _drop_samples(session, person, found)
        counts = await _delete(session, person, found, samples)
        withdrawn, queued = await _by_policy(session, versions)
        result = [VersionName(assistant.name, version.number) for version, assistant in versions]
    cleared = await run_folders.clear(settings.paths, stale)
    journal = await empty_journal(database)
    log.info("forgotten", versions=len(result), jobs=len(stale), cleared=cleared, journal=journal)
    return Forgotten(
        person, counts, tuple(result), tuple(withdrawn), tuple(sorted({*retraining, *queued})), not cleared, journal
    )


async def counted(database: Database, person: str) -> Counts:
    """What there is of `person`, without changing anything."""
    async with database.long_session() as session:
        found = await footprint(session, person)
        votes = await session.scalar(select(func.count()).select_from(Vote).where(Vote.voter == person))
        return _counts(found, votes or 0, 0, 0)


def _counts(found: Footprint, votes: int, samples: int, records: int) -> Counts:
    taught = len(set(found.taught))
    return Counts(
        len(found.messages), len(found.answers), len(found.imported) - 2 * taught, taught, votes, samples, records
    )


async def find_versions(session: AsyncSession, found: Footprint) -> set[int]:
    """Rows of the versions that learnt from any of it."""
    rows = await session.execute(
        select(Lineage.version_id, Lineage.source_id, Lineage.message_ids, Version.created_at)
        .join(Version, Version.id == Lineage.version_id)
        .where(Lineage.source_id.in_(found.by_source))
    )
    return {
        version
        for version, source, packed, made in rows.tuples()
        if learnt_from_any(packed, found.by_source[source].before(made))
    }


async def _mark(session: AsyncSession, learnt: set[int]) -> list[tuple[Version, Assistant]]:
    """Mark these versions; gives them by assistant and number."""
    await session.execute(
        update(Version).where(Version.id.in_(learnt), Version.forgotten_at.is_(None)).values(forgotten_at=now())
    )
    both = await session.execute(
        select(Version, Assistant)
        .join(Assistant, Assistant.id == Version.assistant_id)
        .where(Version.id.in_(learnt))
        .order_by(Assistant.name, Version.number)
        .execution_options(populate_existing=True)
    )
    return list(both.tuples())


async def _stop_jobs(session: AsyncSession, found: Footprint) -> tuple[list[int], list[str]]:
    """Jobs that have read some of it are asked to stop, and others asked for in their place. Gives the first, and the
    names of the assistants that learn afresh."""
    begun = await session.execute(
        select(Job, Assistant)
        .join(Assistant, Assistant.id == Job.assistant_id)
        .where(
            Job.assistant_id.in_(found.assistants), Job.state.in_(("queued", "running")), Job.started_at.is_not(None)
        )
    )
    stale: list[int] = []
    names: list[str] = []
    for job, assistant in begun.tuples().all():
        if not job.cancel:
            names.append(assistant.name)
            await _queue(session, assistant, job.asked_by)
        await session.execute(update(Job).where(Job.id == job.id).values(cancel=True))
        await session.execute(
            update(Job).where(Job.id == job.id, Job.state == "queued").values(state="cancelled", ended_at=now())
        )
        stale.append(job.id)
    return stale, names


async def _queue(session: AsyncSession, assistant: Assistant, asked_by: str) -> None:
    """A job that begins from nothing, unless one waits already."""
    waiting = select(Job.id).where(Job.assistant_id == assistant.id, Job.state == "queued", Job.started_at.is_(None))
    if await session.scalar(waiting) is None:
        session.add(Job(assistant_id=assistant.id, asked_by=asked_by))
        await session.flush()


async def _drop_samples(session: AsyncSession, person: str, found: Footprint) -> int:
    """Sample answers in reports show text that versions were measured with, and so may comparisons: those that repeat
    any of it go, and the comparisons that the person asked for. Gives how many of both."""
    echo = Echo(found.texts)
    dropped = 0
    rows = await session.scalars(select(Version).where(Version.assistant_id.in_(found.assistants)))
    for version in rows:
        samples = version.report.get("samples", [])
        kept = [sample for sample in samples if not any(echo.in_(str(text)) for text in sample.values() if text)]
        if len(kept) < len(samples):
            dropped += len(samples) - len(kept)
            version.report = version.report | {"samples": kept}
    comparisons = await session.scalars(select(Comparison))
    for row in comparisons.all():
        if row.asked_by == person or any(map(echo.in_, (row.question, row.first_answer, row.second_answer))):
            await session.delete(row)
            dropped += 1
    await session.execute(update(Comparison).where(Comparison.chosen_by == person).values(chosen_by=None))
    await session.flush()
    return dropped


async def _delete(session: AsyncSession, person: str, found: Footprint, samples: int) -> Counts:
    for ids in chunks([*found.answers, *found.messages]):
        await session.execute(delete(Message).where(Message.id.in_(ids)))
    for ids in chunks(found.commands):  # their rows stay, empty, so that one delivered twice is not done twice
        await session.execute(
            update(Message).where(Message.id.in_(ids)).values(state="undone", author_key=None, author="", text="")
        )
    for ids in chunks(found.taught):
        await session.execute(delete(Import).where(Import.id.in_(ids)))
    for ids in chunks(found.imported):
        await session.execute(delete(SourceMessage).where(SourceMessage.id.in_(ids)))
    await _unname(session, person, found)
    for ids in chunks(found.authors):
        await session.execute(delete(SourceAuthor).where(SourceAuthor.id.in_(ids)))
    for ids in chunks(found.private):
        await session.execute(update(Channel).where(Channel.id.in_(ids)).values(title=None))
    records = 0
    for table, column in (
        (Person, Person.key), (Consent, Consent.person), (Admission, Admission.subject), (Speaker, Speaker.person),
    ):  # fmt: skip
        gone = await session.scalars(delete(table).where(column == person).returning(table.id))
        records += len(gone.all())
    votes = await session.scalars(delete(Vote).where(Vote.voter == person).returning(Vote.id))
    return _counts(found, len(votes.all()), samples, records)


async def _unname(session: AsyncSession, person: str, found: Footprint) -> None:
    """A source is no longer learnt for, nor called after, somebody who was forgotten."""
    _, ids = authored_by(person)
    rows = await session.execute(
        select(Source, SourceAuthor.name)
        .join(SourceAuthor, SourceAuthor.source_id == Source.id)
        .where(SourceAuthor.id.in_(found.authors))
    )
    for source, name in rows.tuples():
        if source.speakers is not None and set(source.speakers) & set(ids):
            source.speakers = [one for one in source.speakers if one not in ids] or None
        if source.title.strip() == name.strip():
            source.title = "A chat with somebody who was forgotten"
    await session.flush()


async def _by_policy(
    session: AsyncSession, versions: Sequence[tuple[Version, Assistant]]
) -> tuple[list[Move], list[str]]:
    """What each assistant's policy asks for now that versions of it are marked."""
    moves: list[Move] = []
    queued: list[str] = []
    numbers: dict[int, set[int]] = {}
    for version, assistant in versions:
        numbers.setdefault(assistant.id, set()).add(version.number)
    for assistant in {assistant.id: assistant for _, assistant in versions}.values():
        if assistant.on_forget == "withdraw" and assistant.in_service in numbers[assistant.id]:
            moves.append(await withdraw(session, assistant, BY))
        elif assistant.on_forget == "retrain":
            await _queue(session, assistant, BY)
            queued.append(assistant.name)
    return moves, queued
