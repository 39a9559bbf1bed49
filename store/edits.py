"""What people change afterwards: a message edited or deleted, a chat that got another id, a chat that was left.

Each is one transaction of its caller's, does nothing where nothing is known, and may come twice.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from datetime import datetime
from typing import TypeVar

from sqlalchemy import delete, or_, select, update
from sqlalchemy.ext.asyncio import AsyncSession

from store.columns import now
from store.tables import Admission, Channel, Consent, Delivery, Message, Route

BEFORE = "before:"
"""Stands before ids of messages from before a move: the moved chat counts its own anew."""

Row = TypeVar("Row", Consent, Admission)


async def edit_heard(session: AsyncSession, channel: str, external_id: str, change: Callable[[str], str]) -> bool:
    """What a person said is `change` of what it was; False where that message is not kept or no longer counts."""
    message = await session.scalar(
        select(Message)
        .join(Channel, Channel.id == Message.channel_id)
        .where(
            Channel.key == channel,
            Message.external_id == external_id,
            Message.role == "user",
            Message.state.in_(("said", "overheard")),
        )
    )
    if message is None:
        return False
    message.text, message.edited_at = change(message.text), now()
    return True


async def erase_heard(session: AsyncSession, channel: str, external_ids: Sequence[str]) -> list[int]:
    """The text of these is gone; neither they nor their answers count any more. Gives the ids of all of them."""
    asked = await session.scalars(
        select(Message.id)
        .join(Channel, Channel.id == Message.channel_id)
        .where(Channel.key == channel, Message.external_id.in_(external_ids), Message.role == "user")
    )
    questions = list(asked)
    answers = list(await session.scalars(select(Message.id).where(Message.answers.in_(questions))))
    said = Message.state.not_in(("command", "begun", "retried"))
    await session.execute(update(Message).where(Message.id.in_(questions)).values(text="", edited_at=now()))
    await session.execute(update(Message).where(Message.id.in_(questions), said).values(state="undone"))
    await session.execute(update(Message).where(Message.id.in_(answers)).values(state="undone"))
    return questions + answers


async def leave(session: AsyncSession, key: str) -> None:
    """The assistant is no longer in this channel or server, nor in what lies in it."""
    inside = or_(Channel.key == key, Channel.parent_key == key, Channel.server_key == key)
    await session.execute(update(Channel).where(inside).values(present=False))


async def move(session: AsyncSession, old: str, new: str) -> None:
    """All that is known of chat `old` is known of chat `new`: messages, topics, routes, consents, admission."""
    inside = await session.scalars(select(Channel).where(or_(Channel.key == old, Channel.parent_key == old)))
    for channel in list(inside):
        if channel.parent_key == old:
            channel.parent_key = new
        if not channel.key.startswith(old):  # a thread with an id of its own keeps it
            continue
        key = new + channel.key[len(old) :]
        await _move_channel(session, channel, key)
        await _move_route(session, "channel", channel.key, key)
        channel.key = key
        await session.flush()
    await _move_route(session, "channel", old, new)
    await _move_route(session, "parent", old, new)
    consents = await session.scalars(select(Consent).where(Consent.chat == old))
    for consent in list(consents):
        there = await session.scalar(select(Consent).where(Consent.chat == new, Consent.person == consent.person))
        if await _newer(session, consent, there):
            consent.chat = new
        await session.flush()
    admissions = await session.scalars(select(Admission).where(Admission.subject == old))
    for admission in list(admissions):
        decided = await session.scalar(
            select(Admission).where(Admission.subject == new, Admission.assistant_id == admission.assistant_id)
        )
        if await _newer(session, admission, decided):
            admission.subject = new
        await session.flush()


async def _move_channel(session: AsyncSession, channel: Channel, key: str) -> None:
    """Make room for `channel` under `key`: what was said there already becomes part of it."""
    await session.execute(
        update(Message)
        .where(Message.channel_id == channel.id, Message.external_id.is_not(None))
        .values(external_id=BEFORE + Message.external_id)
    )
    await session.execute(
        update(Delivery)
        .where(Delivery.channel_id == channel.id, Delivery.external_id.is_not(None))
        .values(external_id=BEFORE + Delivery.external_id)
    )
    there = await session.scalar(select(Channel).where(Channel.key == key))
    if there is None:
        return
    await session.execute(update(Message).where(Message.channel_id == there.id).values(channel_id=channel.id))
    taken = select(Delivery.key).where(Delivery.channel_id == there.id)
    await session.execute(delete(Delivery).where(Delivery.channel_id == channel.id, Delivery.key.in_(taken)))
    await session.execute(update(Delivery).where(Delivery.channel_id == there.id).values(channel_id=channel.id))
    channel.title = there.title or channel.title
    channel.memory_after = max(channel.memory_after, there.memory_after)
    await session.delete(there)
    await session.flush()


async def _move_route(session: AsyncSession, scope: str, old: str, new: str) -> None:
    """A route that was chosen for `new` itself stays."""
    taken = await session.scalar(select(Route.id).where(Route.scope == scope, Route.key == new))
    mine = Route.scope == scope, Route.key == old
    if taken is None:
        await session.execute(update(Route).where(*mine).values(key=new))
    else:
        await session.execute(delete(Route).where(*mine))


async def _newer(session: AsyncSession, moving: Row, there: Row | None) -> bool:
    """Whether `moving` may take its place; of two words on the same thing the one said last stays."""
    if there is None:
        return True
    if _said(moving.decided_at) > _said(there.decided_at):
        await session.delete(there)
        await session.flush()
        return True
    await session.delete(moving)
    return False


def _said(at: datetime | None) -> float:
    return 0.0 if at is None else at.timestamp()
