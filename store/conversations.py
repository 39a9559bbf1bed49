"""Queries on channels and their messages: logged, answered, remembered, undone.

What a person said is `said`, `overheard`, `command` or `undone`. An answer has a row from the moment it is begun:
`open`, then `said`, `cut` or `failed`, or later `undone`. What a killed process left open is `resumed` (or of commands
`retried`): see store/left_behind.py.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from sqlalchemy import bindparam, case, func, select, update
from sqlalchemy.exc import IntegrityError
from sqlalchemy.ext.asyncio import AsyncSession
from sqlalchemy.orm import aliased

from store.database import Database
from store.rows import detached, insert_new, table_of
from store.tables import Channel, Message

UNDER_WAY = ("open", "resumed")
TOLD = ("said", "cut")
COMMANDS = ("command", "begun", "retried")

LOOKED_AT = 5
"""Times as many rows as are wanted, at most: what was undone or failed lies between, and a log of years is not read."""

HeardAs = Literal["said", "overheard", "command"]


@dataclass(frozen=True, slots=True)
class Figures:
    """What an answer took: tokens, and seconds to the first and to the last of them."""

    prompt_tokens: int | None = None
    answer_tokens: int | None = None
    seconds_to_first: float | None = None
    seconds: float | None = None


# With every message, so put together once.
_CHANNEL = select(Channel).where(Channel.key == bindparam("key"))
_CHANNEL_ROW = select(*table_of(Channel).c).where(Channel.id == bindparam("id"))
_MESSAGE_ROW = select(*table_of(Message).c).where(Message.id == bindparam("id"))
_BEGUN = select(Message).where(Message.answers == bindparam("question"), Message.state.in_(UNDER_WAY)).with_for_update()
_PLACE = func.coalesce(Message.answers, Message.id)
_EARLIER = aliased(Message)
_OLDEST = (
    select(_EARLIER.id)
    .where(_EARLIER.channel_id == bindparam("channel"), _EARLIER.id > bindparam("after"))
    .order_by(_EARLIER.id.desc())
    .limit(1)
    .offset(bindparam("farthest"))
)
_REMEMBERED_NAMELESS = (
    select(Message.role, Message.text)
    .where(
        Message.channel_id == bindparam("channel"),
        Message.id > func.coalesce(_OLDEST.scalar_subquery(), bindparam("after")),
        bindparam("until") >= _PLACE,
        Message.state.in_((*TOLD, "overheard")),
        ~((bindparam("until") == _PLACE) & (Message.role == "assistant")),
    )
    .order_by(_PLACE.desc(), Message.role.asc(), Message.id.desc())
    .limit(bindparam("most"))
)
_REMEMBERED = _REMEMBERED_NAMELESS.add_columns(Message.author)
_MESSAGES = table_of(Message)
_FINISH = (
    update(_MESSAGES)
    .where(_MESSAGES.c.id == bindparam("answer"))
    .values(state=case((_MESSAGES.c.state.in_(UNDER_WAY), bindparam("ended")), else_=_MESSAGES.c.state))
)


@dataclass(frozen=True, slots=True)
class Remembered:
    """One message as it is remembered. In a channel of one person nobody is named."""

    role: str
    text: str
    author: str = ""


async def find_channel(session: AsyncSession, key: str) -> Channel | None:
    """By its key."""
    found: Channel | None = await session.scalar(_CHANNEL, {"key": key})
    return found


async def as_now(database: Database, channel_id: int, message_id: int) -> tuple[Channel, Message] | None:
    """A channel and a message as they are now, of no session; None where one is gone."""
    channel = await database.look_up(_CHANNEL_ROW, {"id": channel_id})
    message = await database.look_up(_MESSAGE_ROW, {"id": message_id})
    if channel is None or message is None:
        return None
    return detached(Channel, dict(channel._mapping)), detached(Message, dict(message._mapping))


async def open_channel(
    session: AsyncSession,
    key: str,
    account: str,
    parent: str | None,
    server: str | None,
    private: bool,
    title: str | None = None,
) -> Channel:
    """The channel with this key, made when it is new; it takes its title, and the assistant is there. A new topic or
    thread begins with its parent's way of answering."""
    found = await find_channel(session, key)
    if found is not None:
        if title is not None and found.title != title:
            found.title = title
        if not found.present:
            found.present = True
        return found
    made = Channel(key=key, account=account, parent_key=parent, server_key=server, private=private, title=title)
    if parent is not None:
        above = await session.scalar(select(Channel.answers).where(Channel.key == parent))
        made.answers = above or "mentions"
    try:
        async with session.begin_nested():
            session.add(made)
    except IntegrityError:  # another process was quicker
        return (await session.scalars(select(Channel).where(Channel.key == key))).one()
    return made


async def log_heard(
    session: AsyncSession,
    channel: Channel,
    external_id: str,
    author: str,
    text: str,
    *,
    state: HeardAs,
    author_key: str,
    reply_to: str | None = None,
    forwarded: bool = False,
) -> Message | None:
    """Log what a person said. None where this external id is already there: it was delivered twice."""
    return await insert_new(
        session, Message, channel_id=channel.id, external_id=external_id, role="user", author_key=author_key,
        author=author, text=text, state=state, reply_to=reply_to, forwarded=forwarded,
    )  # fmt: skip


async def find_heard(session: AsyncSession, key: str, external_id: str) -> tuple[Channel, Message] | None:
    """A logged message and its channel, by the channel's key and the message's external id."""
    row = (
        await session.execute(
            select(Channel, Message)
            .join(Message, Message.channel_id == Channel.id)
            .where(Channel.key == key, Message.external_id == external_id)
        )
    ).one_or_none()
    return None if row is None else (row[0], row[1])


async def begin_answer(session: AsyncSession, question: Message, author: str) -> Message:
    """A row for the answer that is about to be said; the row of a try that was killed is taken up again."""
    left: Message | None = await session.scalar(_BEGUN, {"question": question.id})
    if left is not None:
        return left
    made = await insert_new(
        session, Message, channel_id=question.channel_id, role="assistant", state="open", author=author, text="",
        answers=question.id,
    )  # fmt: skip
    if made is None:
        raise RuntimeError("an answer has no key that another could have")
    return made


async def finish_answer(
    session: AsyncSession, answer_id: int, state: str, text: str, version: str | None, figures: Figures
) -> None:
    """Log how an answer ended. One that was undone meanwhile stays undone."""
    values = {
        "text": text, "version": version, "prompt_tokens": figures.prompt_tokens,
        "answer_tokens": figures.answer_tokens, "seconds_to_first": figures.seconds_to_first,
        "seconds": figures.seconds,
    }  # fmt: skip
    await session.execute(_FINISH, {"answer": answer_id, "ended": state, **values})


async def remembered(database: Database, channel: Channel, until: int, limit: int) -> list[Remembered]:
    """What counts as said or was overheard up to question `until`, itself included: each answer after its question,
    oldest first.

    At most the `limit` newest; neither what was undone nor what lies before the channel's memory.
    """
    words = {
        "channel": channel.id, "after": channel.memory_after, "until": until, "most": limit,
        "farthest": LOOKED_AT * limit,
    }  # fmt: skip
    rows = await database.look_through(_REMEMBERED_NAMELESS if channel.private else _REMEMBERED, words)
    return [Remembered(*row) for row in reversed(rows)]


async def last_exchange(
    session: AsyncSession, channel: Channel, before: int | None = None
) -> tuple[Message, list[Message]] | None:
    """The newest question that still counts, with its answers; None where there is none. `before`: of those that were
    asked before this message."""
    query = select(Message).where(
        Message.channel_id == channel.id,
        Message.id > channel.memory_after,
        Message.role == "user",
        Message.state == "said",
    )
    if before is not None:
        query = query.where(Message.id < before)
    question = await session.scalar(query.order_by(Message.id.desc()).limit(1))
    if question is None:
        return None
    answers = await session.scalars(
        select(Message).where(Message.answers == question.id, Message.state != "undone").order_by(Message.id)
    )
    return question, list(answers)


async def undo(session: AsyncSession, message_ids: Sequence[int]) -> None:
    """These no longer count."""
    await session.execute(update(Message).where(Message.id.in_(message_ids)).values(state="undone"))


async def forget_before(session: AsyncSession, channel_id: int, message_id: int) -> None:
    """The channel's memory begins after this message."""
    await session.execute(update(Channel).where(Channel.id == channel_id).values(memory_after=message_id))


async def transcript(session: AsyncSession, channel: Channel, limit: int) -> list[Message]:
    """The newest messages to show again: what counts, and answers that failed or are under way. Oldest first, each
    answer after its question."""
    place = func.coalesce(Message.answers, Message.id)
    rows = await session.scalars(
        select(Message)
        .where(
            Message.channel_id == channel.id,
            Message.id > channel.memory_after,
            Message.state.in_((*TOLD, *UNDER_WAY, "failed")),
        )
        .order_by(place.desc(), Message.role.asc(), Message.id.desc())
        .limit(limit)
    )
    return list(rows)[::-1]
