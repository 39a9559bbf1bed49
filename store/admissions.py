"""Queries on admissions: who waits to talk with an assistant, who was admitted or refused.

Nothing is kept of somebody who waits but who they are and until when; a request that nobody decided in time is gone.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import bindparam, delete, func, select
from sqlalchemy.ext.asyncio import AsyncSession

from store.columns import now
from store.database import Database
from store.tables import Admission, Assistant

# Asked with every message, so put together once.
_STATE = select(Admission.state, Admission.expires_at).where(
    Admission.assistant_id == bindparam("assistant"), Admission.subject == bindparam("subject")
)


@dataclass(frozen=True, slots=True)
class Request:
    """Somebody who waits, as those who decide see them."""

    id: int
    assistant_id: int
    assistant: str
    subject: str
    title: str
    expires_at: datetime


async def find_admission(session: AsyncSession, assistant_id: int, subject: str) -> Admission | None:
    """What was decided on `subject`, or their request while it is good."""
    found = await session.scalar(
        select(Admission).where(Admission.assistant_id == assistant_id, Admission.subject == subject)
    )
    return None if found is None or _is_over(found) else found


async def state_of(database: Database, assistant_id: int, subject: str) -> str | None:
    """Waiting, admitted or refused; None where nothing is known, or no longer."""
    found = await database.look_up(_STATE, {"assistant": assistant_id, "subject": subject})
    if found is None or (found.state == "waiting" and (found.expires_at is None or found.expires_at <= now())):
        return None
    return str(found.state)


async def drop_expired(session: AsyncSession) -> None:
    """Requests that nobody decided in time are gone."""
    await session.execute(delete(Admission).where(Admission.state == "waiting", Admission.expires_at <= now()))


async def count_waiting(session: AsyncSession, assistant_id: int) -> int:
    """How many wait now."""
    waiting = select(func.count()).where(
        Admission.assistant_id == assistant_id, Admission.state == "waiting", Admission.expires_at > now()
    )
    return await session.scalar(waiting) or 0


async def waiting(session: AsyncSession) -> list[Request]:
    """All who wait now, the longest waiting first."""
    rows = await session.execute(
        select(Admission, Assistant.name)
        .join(Assistant, Assistant.id == Admission.assistant_id)
        .where(Admission.state == "waiting", Admission.expires_at > now())
        .order_by(Admission.id)
    )
    return [
        Request(row.id, row.assistant_id, name, row.subject, row.title, row.expires_at)
        for row, name in rows
        if row.expires_at is not None
    ]


async def with_code(session: AsyncSession, digest: str) -> Admission | None:
    """Whose code this is, as long as it is good or was used."""
    found = await session.scalar(select(Admission).where(Admission.code_digest == digest))
    return None if found is None or _is_over(found) else found


async def with_id(session: AsyncSession, admission_id: int) -> Admission | None:
    """By its number, as long as it is good."""
    found = await session.get(Admission, admission_id)
    return None if found is None or _is_over(found) else found


def _is_over(row: Admission) -> bool:
    return row.state == "waiting" and (row.expires_at is None or row.expires_at <= now())
