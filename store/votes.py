"""Queries on votes: one of a person on an answer, which can be changed and taken back.

A vote is kept with the answer and the version that gave it, so that it still counts when another version serves.
"""

from __future__ import annotations

from collections.abc import Collection

from sqlalchemy import func, select
from sqlalchemy.exc import IntegrityError
from sqlalchemy.ext.asyncio import AsyncSession

from store.columns import now
from store.conversations import TOLD
from store.tables import Message, Vote

GOOD, BAD = 1, -1


async def find_answer(session: AsyncSession, channel_id: int, answer_id: int) -> Message | None:
    """An answer that was given in this channel, whether or not it still counts; None for anything else."""
    found: Message | None = await session.scalar(
        select(Message).where(
            Message.id == answer_id,
            Message.channel_id == channel_id,
            Message.role == "assistant",
            Message.state.in_((*TOLD, "undone")),
        )
    )
    return found


async def vote(session: AsyncSession, answer: Message, voter: str, value: int, *, takes_back: bool = True) -> int:
    """Cast the vote, 1 or -1, of `voter` (a person's key); the same vote again takes it back, where it may. Gives what
    stands now, 0 for nothing."""
    mine = select(Vote).where(Vote.message_id == answer.id, Vote.voter == voter).with_for_update()
    before = await session.scalar(mine)
    if before is None:
        try:
            async with session.begin_nested():
                session.add(Vote(message_id=answer.id, voter=voter, value=value, version=answer.version))
            return value
        except IntegrityError:  # pressed twice at the same moment
            before = (await session.scalars(mine)).one()
    if before.value == value:
        if takes_back:
            await session.delete(before)
        return 0 if takes_back else value
    before.value, before.changed_at = value, now()
    return value


async def votes_of(session: AsyncSession, voter: str, answer_ids: Collection[int]) -> dict[int, int]:
    """What `voter` thinks of these answers: answer → 1 or -1."""
    rows = await session.execute(
        select(Vote.message_id, Vote.value).where(Vote.voter == voter, Vote.message_id.in_(answer_ids))
    )
    return dict(rows.tuples().all())


async def tally(session: AsyncSession, version: str) -> tuple[int, int]:
    """How many votes this version's answers have: good, bad. `version` is NAME@vN."""
    rows = await session.execute(select(Vote.value, func.count()).where(Vote.version == version).group_by(Vote.value))
    counts = dict(rows.tuples().all())
    return counts.get(GOOD, 0), counts.get(BAD, 0)
