"""How long things are kept: the policies, and messages that have been kept long enough.

Off until somebody sets it. An assistant's own policy stands in the place of the installation's. What a version with
weights learnt from stays as a row without words, so that forgetting its author still finds that version.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import delete, select, update
from sqlalchemy.ext.asyncio import AsyncSession

from store.assistants import find_assistant
from store.authors import LOGGED
from store.footprint import chunks
from store.lineage import unpack_ids
from store.tables import Comparison, Delivery, Lineage, Message, Retention, Source, Version, Vote

REMOVED, EXPIRED = "removed", "expired"
"""States: of a version whose weights are gone or about to go, of a message whose words are gone."""


@dataclass(frozen=True, slots=True)
class Policy:
    """`versions`: how many to keep besides the one in service and the one to roll back to; `days`: how long messages
    of channels are kept. None: all of them, for ever."""

    versions: int | None = None
    days: int | None = None

    @property
    def sentence(self) -> str:
        """As people say it."""
        if self.versions is None and self.days is None:
            return "Everything is kept."
        versions = days = ""
        if self.versions is not None:
            others = "no" if self.versions == 0 else f"the newest {self.versions:,}"
            versions = f"Of versions that neither serve nor served last, {others} stay."
        if self.days is not None:
            days = f"Messages are kept for {self.days:,} days."
        return f"{versions} {days}".strip()


async def set_policy(session: AsyncSession, assistant: str | None, policy: Policy | None, by: str) -> None:
    """From now on, of one assistant or (None) of the installation; a policy of None: as the installation has it.
    Raises NotFound for an unknown assistant."""
    number = (await find_assistant(session, assistant)).id if assistant is not None else None
    await session.execute(delete(Retention).where(Retention.assistant_id.is_not_distinct_from(number)))
    if policy is not None:
        row = Retention(assistant_id=number, keep_versions=policy.versions, message_days=policy.days, set_by=by)
        session.add(row)
    await session.flush()


async def policies(session: AsyncSession) -> dict[int | None, Policy]:
    """By assistant's row; the installation's under None, always there."""
    rows = await session.scalars(select(Retention))
    found = {row.assistant_id: Policy(row.keep_versions, row.message_days) for row in rows}
    return {None: Policy(), **found}


async def learnt_messages(session: AsyncSession) -> set[int]:
    """Rows of channels' messages that a version with weights learnt from."""
    packed = await session.scalars(
        select(Lineage.message_ids)
        .join(Source, Source.id == Lineage.source_id)
        .join(Version, Version.id == Lineage.version_id)
        .where(Source.kind == LOGGED, Version.state != REMOVED)
    )
    return {number for ids in packed for number in unpack_ids(ids)}


async def expire(session: AsyncSession, channel: int, before: datetime, learnt: set[int]) -> int:
    """Delete what was written in this channel before that time, but keep of `learnt` a row without words. How many
    messages lost theirs."""
    old = await session.execute(
        select(Message.id, Message.state).where(Message.channel_id == channel, Message.created_at < before)
    )
    rows = old.tuples().all()
    gone = [number for number, _ in rows if number not in learnt]
    blank = [number for number, state in rows if number in learnt and state != EXPIRED]
    for ids in chunks(gone):
        await session.execute(delete(Message).where(Message.id.in_(ids)))
    for ids in chunks(blank):
        await session.execute(update(Message).where(Message.id.in_(ids)).values(text="", author="", state=EXPIRED))
        await session.execute(delete(Vote).where(Vote.message_id.in_(ids)))
    await session.execute(delete(Delivery).where(Delivery.channel_id == channel, Delivery.created_at < before))
    await session.execute(delete(Comparison).where(Comparison.channel_id == channel, Comparison.created_at < before))
    return len(gone) + len(blank)
