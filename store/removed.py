"""Whose words versions learnt from sources that were removed since: keyed digests, so that forgetting finds them still.

Lineage names rows, and with a source its rows go. Too little to say who it was; goes once the person is forgotten.
"""

from __future__ import annotations

import numpy as np
from sqlalchemy import delete, select
from sqlalchemy.ext.asyncio import AsyncSession

from store.authors import person_of
from store.crypto import Cipher
from store.forgotten import digest_of
from store.lineage import unpack_array
from store.tables import Lineage, RemovedAuthor, Source, SourceAuthor, SourceMessage

ROWS_AT_ONCE = 10_000


async def note_removed(session: AsyncSession, cipher: Cipher, source: Source, import_id: int | None = None) -> set[int]:
    """Call before this source goes, or this import of it alone. Gives the rows of the versions that learnt from the
    source."""
    learnt = await session.execute(
        select(Lineage.version_id, Lineage.message_ids).where(Lineage.source_id == source.id)
    )
    versions = dict(learnt.tuples().all())
    if not versions:
        return set()
    authors = select(SourceAuthor.id, SourceAuthor.external_id).where(SourceAuthor.source_id == source.id)
    rows = (await session.execute(authors)).tuples()
    people = {number: person_of(source.kind, called) for number, called in rows}
    messages, wrote = await _authorship(session, source.id, import_id)
    before = await session.scalars(select(RemovedAuthor).where(RemovedAuthor.version_id.in_(versions)))
    known = {(row.version_id, row.digest) for row in before}
    for version, packed in versions.items():
        for author in np.unique(wrote[np.isin(messages, unpack_array(packed))]).tolist():
            person = people[author]
            noted = (version, digest_of(cipher, person)) if person is not None else None
            if noted is not None and noted not in known:
                known.add(noted)
                session.add(RemovedAuthor(version_id=noted[0], digest=noted[1]))
    await session.flush()
    return set(versions)


async def learnt_before(session: AsyncSession, cipher: Cipher, person: str) -> set[int]:
    """Rows of the versions that learnt from this person in sources that were removed; they are known no more after."""
    gone = delete(RemovedAuthor).where(RemovedAuthor.digest == digest_of(cipher, person))
    return set(await session.scalars(gone.returning(RemovedAuthor.version_id)))


async def _authorship(session: AsyncSession, source_id: int, import_id: int | None) -> tuple[np.ndarray, np.ndarray]:
    """Rows of the messages of a source, or of one import, and of who wrote each."""
    messages = select(SourceMessage.id, SourceMessage.author_id).where(SourceMessage.source_id == source_id)
    if import_id is not None:  # one pair, by a quick session
        few = (await session.execute(messages.where(SourceMessage.import_id == import_id))).all()
        both = [np.array([tuple(row) for row in few], np.int64)] if few else []
    else:
        rows = await session.stream(messages, execution_options={"yield_per": ROWS_AT_ONCE})
        both = [np.array([tuple(row) for row in chunk], np.int64) async for chunk in rows.partitions()]
    pairs = np.concatenate(both) if both else np.empty((0, 2), np.int64)
    return pairs[:, 0], pairs[:, 1]
