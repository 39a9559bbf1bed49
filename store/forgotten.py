"""Who was forgotten, by keyed digests alone: enough to keep their old words out, too little to say who they were."""

from __future__ import annotations

from datetime import datetime

from sqlalchemy import select
from sqlalchemy.ext.asyncio import AsyncSession

from store.authors import person_of
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


class KeptOut:
    """Everybody who was forgotten, for reading old chats without their words."""

    def __init__(self, cipher: Cipher, since: dict[str, datetime]) -> None:
        self._cipher = cipher
        self._since = since
        self._known: dict[tuple[str, str], float] = {}

    @classmethod
    async def load(cls, session: AsyncSession, cipher: Cipher) -> KeptOut:
        """As it is now."""
        rows = await session.execute(select(ForgottenPerson.digest, ForgottenPerson.forgotten_at))
        return cls(cipher, dict(rows.tuples().all()))

    @property
    def latest(self) -> datetime | None:
        """When somebody was last forgotten."""
        return max(self._since.values(), default=None)

    def covers(self, kind: str, author: str, sent_at: int) -> bool:
        """Whether what `author` (as sources of this kind name them) wrote at `sent_at`, in Unix seconds, was to be
        forgotten."""
        if not self._since:
            return False
        known = self._known.get((kind, author))
        if known is None:
            person = person_of(kind, author)
            # The second is how people were noted whose platform stood in their key twice.
            keys = () if person is None else (person, f"{kind}:{author}")
            dates = [self._since.get(digest_of(self._cipher, key)) for key in keys]
            known = max((at.timestamp() for at in dates if at is not None), default=float("-inf"))
            self._known[kind, author] = known
        return sent_at <= known
