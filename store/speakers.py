"""Queries on speakers: whose words to others an assistant learns from its channels, because an operator named them."""

from __future__ import annotations

from dataclasses import dataclass

from sqlalchemy import delete, select
from sqlalchemy.exc import IntegrityError
from sqlalchemy.ext.asyncio import AsyncSession

from store.tables import Consent, Person, Speaker


@dataclass(frozen=True, slots=True)
class SpeakerView:
    """`name` as people call them, where that is known; `agreed`: in how many chats they consent."""

    person: str
    name: str | None
    named_by: str
    agreed: int


async def add_speaker(session: AsyncSession, assistant_id: int, person: str, named_by: str) -> bool:
    """From now on what `person` says to others is learnt, where they consent. False where they were named before."""
    try:
        async with session.begin_nested():
            session.add(Speaker(assistant_id=assistant_id, person=person, named_by=named_by[:120]))
    except IntegrityError:
        return False
    return True


async def remove_speaker(session: AsyncSession, assistant_id: int, person: str) -> bool:
    """They are no speaker any more; False where they were none."""
    query = delete(Speaker).where(Speaker.assistant_id == assistant_id, Speaker.person == person).returning(Speaker.id)
    return await session.scalar(query) is not None


async def list_speakers(session: AsyncSession, assistant_id: int) -> list[SpeakerView]:
    """Those of one assistant, in the order in which they were named."""
    rows = await session.execute(
        select(Speaker.person, Person.name, Speaker.named_by)
        .outerjoin(Person, Person.key == Speaker.person)
        .where(Speaker.assistant_id == assistant_id)
        .order_by(Speaker.id)
    )
    found: list[SpeakerView] = []
    for person, name, named_by in rows.tuples():
        chats = await session.scalars(select(Consent.id).where(Consent.person == person, Consent.state == "in"))
        found.append(SpeakerView(person, name, named_by, len(chats.all())))
    return found
