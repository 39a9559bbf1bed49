"""Who was forgotten, by keyed digests alone: enough to keep their old words out, too little to say who they were."""

from __future__ import annotations

from datetime import datetime

from sqlalchemy import select
from sqlalchemy.ext.asyncio import AsyncSession

from store.columns import now
from store.crypto import Cipher
from store.tables import ForgottenPerson


def digest_of(cipher: Cipher, person: str) -> str:
    """Of a person's key, `PLATFORM:ID`."""
    return cipher.derive(f"forgotten_people:{person}")


async def note_forgotten(session: AsyncSession, cipher: Cipher, person: str) -> None:
    """From now on nothing that they wrote before is imported."""
    digest = digest_of(cipher, person)
    row = await session.scalar(select(ForgottenPerson).where(ForgottenPerson.digest == digest))
    if row is None:
        session.add(ForgottenPerson(digest=digest))
    else:
        row.forgotten_at = now()
    await session.flush()


async def forgotten_since(session: AsyncSession, cipher: Cipher, person: str) -> datetime | None:
    """When this person was forgotten; None for everybody else."""
    query = select(ForgottenPerson.forgotten_at).where(ForgottenPerson.digest == digest_of(cipher, person))
    found: datetime | None = await session.scalar(query)
    return found
