"""Forgetting a person: their words are deleted, and every version that learnt from any of them is marked.

Promises: one transaction deletes the rows, marks the versions, takes them out of service where the assistant's policy
says so, and tells the jobs that have read any of it to stop (tuning/aftermath.py); so a kill leaves all of that done or
none of it. Then run folders go, and the database's journal is emptied. What was written before is not imported again.

What stays: that there were chats, roles that an owner gave, what other people wrote, and a keyed digest of who it was.
"""

from __future__ import annotations

from sqlalchemy import delete, func, select, update
from sqlalchemy.ext.asyncio import AsyncSession

from config.settings import Settings
from store.authors import authors_of
from store.database import Database
from store.footprint import Footprint, chunks, footprint
from store.forgotten import note_forgotten
from store.lineage import learnt_from_any
from store.removed import learnt_before
from store.tables import (
    Admission,
    Channel,
    Comparison,
    Consent,
    Import,
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
from tuning.aftermath import drop_samples, follow, settle
from tuning.echo import Echo
from tuning.forgotten import Counts, Forgotten

BY = "forgetting"
"""Who asked for what happens by policy."""


async def forget(database: Database, settings: Settings, person: str) -> Forgotten:
    """Forget `person` (a key, `PLATFORM:ID`). Somebody unknown is forgotten as well, with counts of nothing."""
    async with database.long_session() as session:
        await note_forgotten(session, database.cipher, person)  # a write first: nobody else writes until the end
        found = await footprint(session, person)
        learnt = await find_versions(session, found) | await learnt_before(session, database.cipher, person)
        followed = await follow(session, learnt, found.assistants, BY)
        samples = await _drop_samples(session, person, found)
        counts = await _delete(session, person, found, samples)
    return Forgotten(person, counts, **await settle(database, settings, followed))


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


async def _drop_samples(session: AsyncSession, person: str, found: Footprint) -> int:
    """Samples in reports, and comparisons, that repeat any of it go, and the comparisons that the person asked for.
    Gives how many of both."""
    echo = Echo(found.texts)
    dropped = await drop_samples(session, found.assistants, lambda _, text: echo.in_(text))
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
    _, ids = authors_of(person)
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
