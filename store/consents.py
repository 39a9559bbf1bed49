"""Queries on consent: who agreed to be learnt from in which chat, and which channels may be learnt from at all.

A chat is a channel, or what a topic or thread lies in. Knows neither what a notice says nor what is done with text.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Literal, cast

from sqlalchemy import Select, and_, bindparam, case, exists, func, or_, select
from sqlalchemy.ext.asyncio import AsyncSession
from sqlalchemy.orm import aliased

from store.columns import now
from store.database import Database
from store.rows import insert_new
from store.tables import Account, Channel, Consent, Person

Opening = Literal["open", "off", "platform", "account"]
"""Whether a channel may be learnt from: open; off by an operator; closed by its platform's policy; of an account that
nobody knows."""

WEB = "web"
_Parent = aliased(Channel)
_OPENING = case(
    (and_(Account.id.is_(None), Channel.account != WEB), "account"),
    (and_(Account.platform == "discord", or_(Account.permission.is_(None), Account.permission == "")), "platform"),
    (or_(~Channel.learning, ~func.coalesce(_Parent.learning, True)), "off"),
    else_="open",
)


@dataclass(frozen=True, slots=True)
class ConsentView:
    """What one person said in one chat. `name` and `title` as people call them, where that is known."""

    person: str
    name: str | None
    chat: str
    title: str | None
    state: str
    shown: str
    shown_at: datetime
    decided_at: datetime | None


def _with_opening(query: Select[tuple[Channel, str]]) -> Select[tuple[Channel, str]]:
    return query.outerjoin(Account, Account.name == Channel.account).outerjoin(
        _Parent, _Parent.key == Channel.parent_key
    )


_MAY_BE_ASKED = (
    _with_opening(select(Channel, _OPENING))
    .with_only_columns(Channel.id)
    .where(
        Channel.id == bindparam("channel"),
        _OPENING == "open",
        ~exists().where(Consent.person == bindparam("person"), Consent.chat == bindparam("chat")),
    )
)


async def opening_of(session: AsyncSession, channel_id: int) -> Opening:
    """Whether this channel may be learnt from; off for one that is not kept."""
    query = _with_opening(select(Channel, _OPENING)).where(Channel.id == channel_id)
    found = (await session.execute(query)).first()
    return "off" if found is None else cast("Opening", found[1])


async def open_channels(session: AsyncSession) -> list[Channel]:
    """All channels that may be learnt from, oldest first."""
    query = _with_opening(select(Channel, _OPENING)).where(_OPENING == "open").order_by(Channel.id)
    return [channel for channel, _ in await session.execute(query)]


async def find_consent(session: AsyncSession, person: str, chat: str) -> Consent | None:
    """What this person said in this chat; None where they were never asked."""
    found: Consent | None = await session.scalar(select(Consent).where(Consent.person == person, Consent.chat == chat))
    return found


async def may_be_asked(database: Database, channel_id: int, person: str, chat: str) -> bool:
    """Whether this channel may be learnt from, and this person was never asked in this chat."""
    words = {"channel": channel_id, "person": person, "chat": chat}
    return await database.look_up(_MAY_BE_ASKED, words) is not None


async def note_asked(session: AsyncSession, person: str, chat: str, shown: str) -> bool:
    """The person is being shown the notice. False where they were before: nobody is asked twice."""
    return await insert_new(session, Consent, person=person, chat=chat, state="asked", shown=shown) is not None


async def decide(session: AsyncSession, person: str, chat: str, state: Literal["in", "out"], shown: str) -> str:
    """The person said yes or no. Gives what stood before: asked, in or out. Saying the same again changes nothing, so
    that consent keeps the time at which it was given.

    `shown`: the text they agreed to, kept where the notice had not been shown to them.
    """
    await note_asked(session, person, chat, shown)
    row = (await session.scalars(select(Consent).where(Consent.person == person, Consent.chat == chat))).one()
    before = row.state
    if before != state:
        row.state, row.decided_at = state, now()
    return before


async def consenting(session: AsyncSession, chat: str) -> dict[str, datetime]:
    """Who agrees in this chat, and since when: only what they wrote after that may be learnt from."""
    rows = await session.execute(
        select(Consent.person, Consent.decided_at).where(Consent.chat == chat, Consent.state == "in")
    )
    return {person: decided for person, decided in rows.tuples() if decided is not None}


async def list_consents(session: AsyncSession, chats: Sequence[str] | None = None) -> list[ConsentView]:
    """What everybody said, by chat and person; in these chats alone where some are named."""
    query = (
        select(Consent, Person.name, Channel.title)
        .outerjoin(Person, Person.key == Consent.person)
        .outerjoin(Channel, Channel.key == Consent.chat)
        .order_by(Consent.chat, Consent.person)
    )
    if chats is not None:
        query = query.where(Consent.chat.in_(chats))
    return [
        ConsentView(row.person, name, row.chat, title, row.state, row.shown, row.shown_at, row.decided_at)
        for row, name, title in await session.execute(query)
    ]
