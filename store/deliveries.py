"""Queries on what connectors sent: noted before it is sent, named after, so that nothing is sent twice or forgotten.

A row without an external id may or may not have been sent; its `nonce` is how to find out. A row begun anew has
another nonce, because a platform takes the same nonce for the same message.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import timedelta

from sqlalchemy import bindparam, delete, or_, select, update
from sqlalchemy.ext.asyncio import AsyncSession
from sqlalchemy.orm import aliased

from store.columns import now
from store.database import Database
from store.rows import detached, insert_new, table_of
from store.tables import Channel, Delivery, Message

LONGEST_KEY = 100
LOOK_BACK = timedelta(days=1)
"""What stayed undelivered for longer is not shown any more: nobody waits for it."""
SETTLED = ("said", "cut", "failed")

# With every message, so put together once.
_BY_KEY = select(Delivery).where(Delivery.channel_id == bindparam("channel"), Delivery.key == bindparam("key"))
_ROWS = select(*table_of(Delivery).c)
_BY_KEYS = _ROWS.where(Delivery.channel_id == bindparam("channel"), Delivery.key.in_(bindparam("keys", expanding=True)))
_OF_ANSWER = _ROWS.where(Delivery.answer_id == bindparam("answer"))
_ANSWER = aliased(Message)
_ASKED_AS = (
    select(Message.external_id).join(_ANSWER, _ANSWER.answers == Message.id).where(_ANSWER.id == bindparam("answer"))
)
_STATE = select(Message.state).where(Message.id == bindparam("message"))
_CHANNEL = select(Channel.id).where(Channel.key == bindparam("key"))
_DELIVERIES, _MESSAGES = table_of(Delivery), table_of(Message)
_NAME = (
    update(_DELIVERIES)
    .where(_DELIVERIES.c.id == bindparam("row"), _DELIVERIES.c.created_at == bindparam("begun"))
    .values(external_id=bindparam("named"))
)
_DELIVERED = (
    update(_MESSAGES)
    .where(_MESSAGES.c.id == bindparam("message"), _MESSAGES.c.delivered_at.is_(None))
    .values(delivered_at=bindparam("at"))
)


@dataclass(frozen=True, slots=True)
class Undelivered:
    """An answer, `message`, that a killed process had to show and did not, or not for certain."""

    channel: Channel
    message: Message
    question: Message | None


def nonce_of(*parts: str) -> str:
    """The same for the same parts; 24 letters and digits, within every platform's bounds."""
    return hashlib.sha256("\0".join(parts).encode()).hexdigest()[:24]


def nonce(row: Delivery) -> str:
    """What tells this message from every other that was ever sent."""
    return nonce_of(str(row.channel_id), row.key, row.created_at.isoformat())


def fitting(key: str) -> str:
    """`key`, cut so that it fits its column and is still its own."""
    return key if len(key) <= LONGEST_KEY else f"{key[:60]}~{nonce_of(key)}"


async def find_delivery(session: AsyncSession, channel_id: int, key: str) -> Delivery | None:
    """The row of one message."""
    found: Delivery | None = await session.scalar(_BY_KEY, {"channel": channel_id, "key": fitting(key)})
    return found


async def find_deliveries(database: Database, channel_id: int, keys: Sequence[str]) -> dict[str, Delivery]:
    """Rows by key; only those that are there."""
    rows = await database.look_through(_BY_KEYS, {"channel": channel_id, "keys": [fitting(key) for key in keys]})
    found = {row.key: detached(Delivery, dict(row._mapping)) for row in rows}
    return {key: found[fitting(key)] for key in keys if fitting(key) in found}


async def deliveries_of(database: Database, answer_id: int) -> list[Delivery]:
    """The messages in which an answer is shown, first part first."""
    rows = await database.look_through(_OF_ANSWER, {"answer": answer_id})
    found = [detached(Delivery, dict(row._mapping)) for row in rows]
    return sorted(found, key=lambda row: int(row.key.rpartition(":")[2]))


async def note_delivery(session: AsyncSession, channel_id: int, key: str, answer_id: int | None) -> Delivery:
    """The row of a message that is about to be sent, made where it is new."""
    made = await insert_new(session, Delivery, channel_id=channel_id, key=fitting(key), answer_id=answer_id)
    return made or (await session.scalars(_BY_KEY, {"channel": channel_id, "key": fitting(key)})).one()


async def begin_anew(session: AsyncSession, row: Delivery) -> Delivery:
    """The row for a message that takes the place of the one it stood for."""
    await session.execute(update(Delivery).where(Delivery.id == row.id).values(external_id=None, created_at=now()))
    return await session.get_one(Delivery, row.id, populate_existing=True)


async def name_delivery(session: AsyncSession, row: Delivery, external_id: str) -> None:
    """The message was sent, and this is what its platform calls it."""
    row.external_id = external_id
    await session.execute(_NAME, {"row": row.id, "begun": row.created_at, "named": external_id})


async def rename_delivery(session: AsyncSession, row: Delivery, key: str, answer_id: int | None) -> None:
    """The message stands for something else from now on."""
    await session.execute(update(Delivery).where(Delivery.id == row.id).values(key=fitting(key), answer_id=answer_id))
    row.key, row.answer_id = fitting(key), answer_id


async def drop_delivery(session: AsyncSession, row: Delivery) -> None:
    """The message is gone."""
    await session.execute(delete(Delivery).where(Delivery.id == row.id))


async def mark_delivered(session: AsyncSession, message_id: int) -> None:
    """All that this answer or command had to show is shown."""
    await session.execute(_DELIVERED, {"message": message_id, "at": now()})


async def asked_as(database: Database, answer_id: int) -> str | None:
    """The external id of what an answer answers."""
    found = await database.look_up(_ASKED_AS, {"answer": answer_id})
    return None if found is None else found[0]


async def state_of(database: Database, message_id: int) -> str | None:
    """A message's state as it is now; None where it is gone."""
    found = await database.look_up(_STATE, {"message": message_id})
    return None if found is None else found[0]


async def channel_id(database: Database, key: str) -> int | None:
    """The number of the channel with this key, if it is kept."""
    found = await database.look_up(_CHANNEL, {"key": key})
    return None if found is None else found[0]


async def shown_as(session: AsyncSession, channel_key: str, external_id: str) -> Message | None:
    """The answer that a platform's message shows, or a part of it; None where it shows something else."""
    found: Message | None = await session.scalar(
        select(Message)
        .join(Delivery, Delivery.answer_id == Message.id)
        .join(Channel, Channel.id == Delivery.channel_id)
        .where(Channel.key == channel_key, Delivery.external_id == external_id)
    )
    return found


async def left_undelivered(session: AsyncSession, account: str) -> list[Undelivered]:
    """Answers that are settled in this account's channels and have not been shown for certain, oldest first. Commands
    are the conversation's: it says them again, or why not (store/left_behind.py, `left_commands`).

    Call it once, before anything is shown: what is being shown now would be among it.
    """
    question = aliased(Message)
    rows = await session.execute(
        select(Channel, Message, question)
        .join(Message, Message.channel_id == Channel.id)
        .outerjoin(question, question.id == Message.answers)
        .where(
            Channel.account == account,
            Channel.present,
            Message.delivered_at.is_(None),
            Message.created_at > now() - LOOK_BACK,
            Message.id > Channel.memory_after,
            Message.role == "assistant",
            Message.state.in_(SETTLED),
        )
        .order_by(Message.id)
    )
    return [Undelivered(channel, message, asked) for channel, message, asked in rows]


async def named_in_chat(session: AsyncSession, chat: str, external_ids: Sequence[str]) -> set[str]:
    """Which of these are known messages of ours in the channel `chat` or in any that lies in it."""
    rows = await session.scalars(
        select(Delivery.external_id)
        .join(Channel, Channel.id == Delivery.channel_id)
        .where(or_(Channel.key == chat, Channel.parent_key == chat), Delivery.external_id.in_(external_ids))
    )
    return {name for name in rows if name is not None}
