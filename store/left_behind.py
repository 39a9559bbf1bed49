"""Queries on what a killed process left behind in channels: questions without an answer, commands without an end.

Promises that nothing is tried without end. An answer that was left open is given once more as `resumed`; one left
resumed is given up as `failed`. In the same way a command whose end was not shown is tried once more as `retried`;
`begun` says that it was under way.
"""

from __future__ import annotations

from datetime import timedelta

from sqlalchemy import select, update
from sqlalchemy.ext.asyncio import AsyncSession
from sqlalchemy.orm import aliased

from store.columns import now
from store.conversations import TOLD
from store.tables import Channel, Message

COMMANDS_LAST = timedelta(days=1)
"""Nobody waits any longer for what a command had to show."""


async def left_unanswered(session: AsyncSession, account: str) -> list[tuple[Channel, Message]]:
    """Questions to `account` that a process which is gone left without an answer, oldest first, each given once more.

    Call it once, before anything is answered: rows under way are taken for abandoned.
    """
    ours = Message.channel_id.in_(select(Channel.id).where(Channel.account == account))
    await session.execute(
        update(Message)
        .where(Message.state == "resumed", ours)
        .values(state="failed", text="I was interrupted twice while answering this, so I let it be; please ask again.")
    )
    await session.execute(update(Message).where(Message.state == "open", ours).values(state="resumed"))
    answer = aliased(Message)
    settled = select(answer.id).where(answer.answers == Message.id, answer.state.in_((*TOLD, "failed")))
    rows = await session.execute(
        select(Channel, Message)
        .join(Message, Message.channel_id == Channel.id)
        .where(
            Channel.account == account,
            Channel.present,
            Message.role == "user",
            Message.state == "said",
            Message.id > Channel.memory_after,
            ~settled.exists(),
        )
        .order_by(Message.id)
    )
    return [(channel, message) for channel, message in rows]


async def begin_command(session: AsyncSession, message_id: int) -> None:
    """It is being carried out from now on, so that a process after this one does not do it a second time."""
    await session.execute(
        update(Message).where(Message.id == message_id, Message.state == "command").values(state="begun")
    )


async def left_commands(session: AsyncSession, account: str) -> list[tuple[Channel, Message, bool]]:
    """Commands to `account` whose end a process which is gone did not show, oldest first, each given once more; with
    whether it had begun. Call it once, before anything is answered."""
    ours = Message.channel_id.in_(select(Channel.id).where(Channel.account == account))
    left = Message.role == "user", Message.delivered_at.is_(None), ours
    await session.execute(update(Message).where(*left, Message.state == "retried").values(delivered_at=now()))
    rows = (
        await session.execute(
            select(Channel, Message, Message.state)
            .join(Message, Message.channel_id == Channel.id)
            .where(
                *left,
                Channel.present,
                Message.state.in_(("command", "begun")),
                Message.created_at > now() - COMMANDS_LAST,
            )
            .order_by(Message.id)
        )
    ).all()
    found = [(channel, message, state == "begun") for channel, message, state in rows]
    for _, message, _ in found:
        message.state = "retried"
    return found
