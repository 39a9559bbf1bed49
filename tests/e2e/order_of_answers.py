"""What the log says of many chats: that every message was answered, each chat's in the order in which they came."""

from __future__ import annotations

from collections import defaultdict

from sqlalchemy import func, select

from store.database import Database
from store.tables import Message


async def all_delivered(database: Database, answers: int) -> bool:
    async with database.session() as session:
        delivered = select(func.count()).where(Message.role == "assistant", Message.delivered_at.is_not(None))
        return await session.scalar(delivered) == answers


async def assert_all_said_in_order(database: Database, chats: int, twice: int) -> None:
    """`chats` wrote, `twice` of them two messages; nobody was told that the engine is busy or ill."""
    async with database.session() as session:
        rows = (await session.scalars(select(Message).order_by(Message.delivered_at))).all()
    asked: defaultdict[int, list[int]] = defaultdict(list)
    said: defaultdict[int, list[int | None]] = defaultdict(list)
    for row in rows:
        if row.role == "assistant":
            assert (row.state, bool(row.text.strip())) == ("said", True)
            said[row.channel_id].append(row.answers)
        else:
            asked[row.channel_id].append(row.id)
    assert len(asked) == chats
    assert sum(len(questions) for questions in asked.values()) == chats + twice
    assert said == {channel: sorted(questions) for channel, questions in asked.items()}
