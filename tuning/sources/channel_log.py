"""Channels' own logs as a source: what people agreed to, and nothing else, as curation takes it.

Promises: a message passes only where its channel may be learnt from, its author agrees in that very chat, and it was
written after that; files that came with it and what was forwarded are somebody else's words and never pass. Learnt are
answers of the assistant that were voted good, and by nobody bad, and what people whom an operator named say to others.
Such an answer does not pass either where its question does not, or where it repeats what somebody said shortly before
without consent.

What does not pass leaves a gap, a message without text: it holds its place in the conversation, and nothing is learnt
across it. Ids are rows of `messages`; an answer follows its question, as it does in the assistant's memory.
"""

from __future__ import annotations

from collections import deque
from collections.abc import AsyncIterator, Callable, Sequence
from dataclasses import dataclass, field
from datetime import datetime

from sqlalchemy import ColumnElement, and_, exists, func, select
from sqlalchemy.ext.asyncio import AsyncSession
from sqlalchemy.orm import aliased

from serving.router import Place
from store.authors import LOGGED as KIND
from store.consents import consenting, open_channels
from store.conversations import TOLD
from store.database import Database
from store.tables import Channel, Consent, Message, Route, Source, Speaker, Vote
from tuning.conversations import ChatMessage
from tuning.echo import Echo
from tuning.funnel import Counter
from tuning.redaction import redact

HEARD = ("said", "overheard")
ASSISTANT, NOBODY = 0, 1
"""Author of the assistant's answers, and of what nobody knows who said. People have numbers from 2 on; named speakers
talking to others negative ones."""
LOOK_BACK = 200
"""Messages that an answer may have been made from."""
FILE = "📎 "
"""Stands before each file in a message (bots/attachments.py)."""
ROWS_AT_ONCE = 1000


@dataclass(frozen=True, slots=True)
class VotedAnswer:
    """An answer that people voted on, and what it answers."""

    question: ChatMessage
    answer: ChatMessage
    good: bool


@dataclass(slots=True)
class ChannelLog:
    """One channel. `source_id`: its row among the sources, 0 where nobody has agreed yet; `agreed`: who, and since
    when; `named`: whose words to others are learnt. `people`: authors met so far, by number, and `names`: what those of
    them go by whose words pass. `voted`: answers met so far that people voted on and that may be learnt from."""

    channel: Channel
    source_id: int
    agreed: dict[str, datetime]
    named: frozenset[str]
    people: dict[int, str] = field(default_factory=dict)
    names: dict[int, str] = field(default_factory=dict)
    voted: list[VotedAnswer] = field(default_factory=list)
    _numbers: dict[str, int] = field(default_factory=dict)

    @property
    def speakers(self) -> frozenset[int]:
        """Authors whose messages are learnt."""
        return frozenset({ASSISTANT, *(number for number in self.people if number < 0)})

    def number(self, person: str, *, speaking: bool) -> int:
        """The author number of `person`."""
        number = self._numbers.setdefault(person, len(self._numbers) + 2)
        number = -number if speaking else number
        self.people[number] = person
        return number


async def answered_by(session: AsyncSession, assistant_id: int, channels: Sequence[Channel]) -> list[Channel]:
    """Those of `channels` where this assistant answers."""
    who = await answering(session)
    return [channel for channel in channels if who(channel) == assistant_id]


async def answering(session: AsyncSession) -> Callable[[Channel], int | None]:
    """Gives the assistant that answers in a channel, by the routes as they are now; None where none does."""
    chosen = await session.execute(select(Route.scope, Route.key, Route.assistant_id))
    routes: dict[tuple[str, str | None], int] = {(scope, key): assistant for scope, key, assistant in chosen.tuples()}

    def who(channel: Channel) -> int | None:
        place = Place(channel.key, channel.parent_key, channel.server_key, channel.account)
        return next((routes[at] for at in place.keys().items() if at in routes), None)

    return who


def chat_of(channel: Channel) -> str:
    """The chat that consent for this channel is given in."""
    return channel.parent_key or channel.key


async def logs_of(session: AsyncSession, assistant_id: int, *, paused_too: bool = False) -> list[ChannelLog]:
    """The channels where this assistant answers and that may be learnt from, but for those an operator paused."""
    known = await session.execute(
        select(Source.external_id, Source.id, Source.paused).where(
            Source.assistant_id == assistant_id, Source.kind == KIND
        )
    )
    sources = {channel: (number, paused) for channel, number, paused in known.tuples()}
    people = await session.scalars(select(Speaker.person).where(Speaker.assistant_id == assistant_id))
    named = frozenset(people)
    logs: list[ChannelLog] = []
    for channel in await answered_by(session, assistant_id, await open_channels(session)):
        number, paused = sources.get(str(channel.id), (0, False))
        if paused_too or not paused:
            logs.append(ChannelLog(channel, number, await consenting(session, chat_of(channel)), named))
    return logs


async def note_sources(database: Database, assistant_id: int) -> None:
    """A row among the sources for each channel where somebody has agreed, so that versions can refer to it."""
    async with database.session() as session:
        for log in await logs_of(session, assistant_id):
            if log.agreed and not log.source_id:
                session.add(
                    Source(
                        assistant_id=assistant_id, kind=KIND, external_id=str(log.channel.id), speakers=None,
                        title=log.channel.title or log.channel.key,
                        permission="What each person in this chat agreed to for themselves.",
                        permission_by="the people in it",
                    )
                )  # fmt: skip


async def count_heard(session: AsyncSession, log: ChannelLog) -> int:
    """How many messages people wrote there."""
    query = select(func.count()).select_from(Message)
    return await session.scalar(query.where(Message.channel_id == log.channel.id, Message.state.in_(HEARD))) or 0


async def count_learnable(session: AsyncSession, log: ChannelLog, since: datetime | None = None) -> int:
    """How much there is that may be learnt from, or (since then) is new: what people who agree wrote after they had,
    and answers to it on which votes agree. Looks at no text, so what `read` leaves out for what it says is counted."""
    question = aliased(Message)

    def passes(row: type[Message]) -> ColumnElement[bool]:
        agreed = exists().where(
            Consent.person == row.author_key, Consent.chat == chat_of(log.channel), Consent.state == "in",
            Consent.decided_at < row.created_at,
        )  # fmt: skip
        return and_(row.channel_id == log.channel.id, row.state.in_(HEARD), ~row.forwarded, agreed)

    heard = select(func.count()).select_from(Message).where(Message.role == "user", passes(Message))
    votes = select(Vote.message_id).group_by(Vote.message_id).having(func.min(Vote.value) == func.max(Vote.value))
    if since is not None:
        heard = heard.where(Message.created_at > since)
        votes = votes.having(func.max(Vote.changed_at) > since)
    voted = (
        select(func.count())
        .select_from(Message)
        .join(question, question.id == Message.answers)
        .where(Message.id.in_(votes), Message.role == "assistant", Message.state == "said", passes(question))
    )
    return (await session.scalar(heard) or 0) + (await session.scalar(voted) or 0)


async def read(session: AsyncSession, log: ChannelLog, counter: Counter) -> AsyncIterator[Sequence[ChatMessage]]:
    """The log in the order of its conversation, in chunks; what does not pass as gaps. `counter` counts people's
    messages and good answers as they come in, and those that pass."""
    if not log.agreed:
        counter.came_in += await count_heard(session, log)
        return
    good = await _voted_answers(session, log.channel.id, 1)
    bad = await _voted_answers(session, log.channel.id, -1)
    answer = aliased(Message)
    answered = exists(select(answer.id).where(answer.answers == Message.id, answer.state.in_(TOLD)))
    rows = await session.stream(
        select(Message, answered)
        .where(Message.channel_id == log.channel.id, Message.role == "user", Message.state.in_(HEARD))
        .order_by(Message.id),
        execution_options={"yield_per": ROWS_AT_ONCE},
    )
    before: deque[tuple[str, bool]] = deque(maxlen=LOOK_BACK)
    async for chunk in rows.partitions():
        given: list[ChatMessage] = []
        for row, has_answer in chunk:
            passes = _passes(row, log)
            counter.came_in += 1
            counter.went_out += passes
            heard = _heard(row, log) if passes else _gap(row, log)
            given.append(heard)
            before.append((row.text, passes))
            for said in good.get(row.id, ()):
                passed = passes and not _repeats(said.text, before)
                counter.came_in += 1
                counter.went_out += passed
                given.append(_answer(said, row) if passed else _unlearnt(row))
                if passed:
                    log.voted.append(VotedAnswer(heard, _answer(said, row), True))
            for said in bad.get(row.id, ()):
                if passes and not _repeats(said.text, before):
                    log.voted.append(VotedAnswer(heard, _answer(said, row), False))
            if has_answer and row.id not in good:
                given.append(_unlearnt(row))
        yield given


async def _voted_answers(session: AsyncSession, channel_id: int, value: int) -> dict[int, list[Message]]:
    """Question → answers to it on which everybody who voted voted `value`."""
    votes = exists().where(Vote.message_id == Message.id)
    rows = await session.scalars(
        select(Message)
        .where(
            Message.channel_id == channel_id, Message.role == "assistant", Message.state == "said",
            Message.answers.is_not(None), votes.where(Vote.value == value), ~votes.where(Vote.value == -value),
        )
        .order_by(Message.id)
    )  # fmt: skip
    found: dict[int, list[Message]] = {}
    for row in rows:
        found.setdefault(row.answers or 0, []).append(row)
    return found


def _passes(row: Message, log: ChannelLog) -> bool:
    since = log.agreed.get(row.author_key or "")
    return (
        since is not None
        and row.created_at > since
        and bool(row.text.strip())
        and FILE not in row.text
        and not row.forwarded
    )


def _repeats(answer: str, before: Sequence[tuple[str, bool]]) -> bool:
    """Whether it says again what was said without consent, and by nobody who agrees."""
    withheld = [text for text, passes in before if not passes]
    return bool(withheld) and Echo(withheld, [text for text, passes in before if passes]).in_(answer)


def _heard(row: Message, log: ChannelLog) -> ChatMessage:
    person = row.author_key or ""
    author = log.number(person, speaking=row.state == "overheard" and person in log.named)
    log.names[author] = redact(row.author)
    return ChatMessage(row.id, _id(row), author, log.names[author], _at(row), row.reply_to, False, row.text)


def _answer(row: Message, question: Message) -> ChatMessage:
    return ChatMessage(row.id, _id(row), ASSISTANT, "", _at(row), _id(question), False, row.text)


def _gap(row: Message, log: ChannelLog) -> ChatMessage:
    """In place of what somebody said."""
    author = NOBODY if row.author_key is None else log.number(row.author_key, speaking=False)
    return ChatMessage(row.id, _id(row), author, "", _at(row), row.reply_to, False, "")


def _unlearnt(question: Message) -> ChatMessage:
    """In place of an answer."""
    return ChatMessage(question.id, f"{_id(question)} answered", ASSISTANT, "", _at(question), _id(question), False, "")


def _id(row: Message) -> str:
    """By which replies find it: the platform's id, where there is one."""
    return row.external_id or f"row {row.id}"


def _at(row: Message) -> int:
    return int(row.created_at.timestamp())
