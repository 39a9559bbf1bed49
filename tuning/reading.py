"""Reading: an assistant's sources as conversations, cleaned, of people whose words may be learnt.

Taught answers come first, so that of what is nearly the same they stay; then every other source that has a speaker;
then the channels' own logs. None that is paused is read, nor one without somebody's recorded word that it may be used.
Everything is a stream. Counts what it read; knows nothing of examples, nor of what becomes of the conversations.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field

from sqlalchemy import func, select
from sqlalchemy.ext.asyncio import AsyncSession

from store.authors import person_of
from store.tables import Source, SourceAuthor, SourceMessage
from tuning.chains import KINDS as WRITTEN_APART
from tuning.chains import ChainBuilder
from tuning.cleaning import Cleaning, Sieves
from tuning.conversations import ChatMessage, Conversation, ConversationBuilder, whole
from tuning.funnel import Counter, Step
from tuning.sources import channel_log
from tuning.speakers import EVERYBODY
from tuning.teaching import KIND as TAUGHT
from tuning.teaching import WEIGHT, PairBuilder, learnable_askers

ROWS_AT_ONCE = 1000
VERY_MUCH = 50_000
"""Messages that the model of who answers whom takes a few seconds for."""
SORTING = "sorting messages into conversations"

Builder = ConversationBuilder | ChainBuilder
Say = Callable[[str, int, int], None]
"""say(step, done, total): both figures in one unit, bytes where a file is read, else messages."""


@dataclass(frozen=True, slots=True)
class Given:
    """What belongs to the messages of one source: who is learnt, who everybody is, and how often it is learnt. `names`:
    what those go by who talk in a channel."""

    source_id: int
    speakers: Collection[int]
    people: Mapping[int, str]
    weight: int = 1
    everybody: bool = False
    """The whole community's voice is learnt; then there are no speakers apart from others."""
    names: Mapping[int, str] = field(default_factory=dict)

    @property
    def by_hand(self) -> bool:
        """Whether somebody taught it, so that answers stand as they are."""
        return self.weight > 1


Batch = tuple[Given, Iterator[Conversation]]


class Reading:
    """One pass. `recorded`: only what versions can refer to is read. `quick`: where there is very much, conversations
    are told apart by replies, names and time alone; counts are near to what they would be."""

    def __init__(self, cleaning: Cleaning, *, recorded: bool = False, quick: bool = False) -> None:
        self._quick = quick
        self._learnt = True
        self.sieves = Sieves(cleaning)
        self.votes: list[tuple[Given, channel_log.VotedAnswer]] = []
        self._recorded = recorded
        self._consented = Counter("with consent")
        self._conversations = Counter("conversations")

    @property
    def messages(self) -> int:
        """How many may be learnt from."""
        return self._consented.went_out

    @property
    def conversations(self) -> int:
        """How many there are."""
        return self._conversations.went_out

    def steps(self) -> list[Step]:
        """What was counted, in order."""
        counters = (self._consented, *(sieve.counter for sieve in self.sieves.sieves), self._conversations)
        return [counter.step() for counter in counters]

    async def batches(self, session: AsyncSession, assistant_id: int, say: Say) -> AsyncIterator[Batch]:
        """Conversations of one source after another. Each batch is to be used up before the next."""
        chosen = select(Source).where(
            Source.assistant_id == assistant_id, Source.speakers.is_not(None), Source.paused.is_(False),
            Source.permission != "", Source.permission_by != "",
        )  # fmt: skip
        sources = (await session.scalars(chosen.order_by(Source.id))).all()
        stored = select(func.count()).select_from(SourceMessage)
        total = await session.scalar(stored.where(SourceMessage.source_id.in_([source.id for source in sources]))) or 0
        logs = await channel_log.logs_of(session, assistant_id)
        total += sum([await channel_log.count_heard(session, log) for log in logs])
        self._learnt = not self._quick or total <= VERY_MUCH
        for source in sorted(sources, key=lambda source: source.kind != TAUGHT):
            async for batch in self._of_source(session, source):
                yield batch
                say(SORTING, self._consented.came_in, total)
        for log in logs:
            if self._recorded and not log.source_id:
                log.agreed = {}  # somebody agreed at this very moment; that counts from the next time on
            builder = ConversationBuilder(learnt=self._learnt)
            async for chunk in channel_log.read(session, log, self._consented):
                yield self._cleaned(whole(_sorted(chunk, builder)), _of_log(log))
                say(SORTING, self._consented.came_in, total)
            yield self._cleaned(whole(builder.finish()), _of_log(log))
            self.votes.extend((_of_log(log), answer) for answer in log.voted)

    async def _of_source(self, session: AsyncSession, source: Source) -> AsyncIterator[Batch]:
        authors = (await session.scalars(select(SourceAuthor).where(SourceAuthor.source_id == source.id))).all()
        named = source.speakers or ()
        speakers = {row.id for row in authors if row.external_id in named}
        names = {row.id: row.name for row in authors}
        people = {row.id: person_of(source.kind, row.external_id) or row.external_id for row in authors}
        given = Given(source.id, speakers, people, WEIGHT if source.kind == TAUGHT else 1, EVERYBODY in named)
        if source.kind == TAUGHT:
            pairs = PairBuilder(await learnable_askers(session, source))
            async for chunk in _stored(session, source.id, names):
                yield given, self._counted(self._paired(chunk, pairs))
            return
        apart = source.kind in WRITTEN_APART
        builder: Builder = ChainBuilder() if apart else ConversationBuilder(learnt=self._learnt)

        def batch(conversations: Iterator[Conversation]) -> Batch:
            conversations = whole(conversations)
            return (given, self._counted(conversations)) if apart else self._cleaned(conversations, given)

        async for chunk in _stored(session, source.id, names):
            written = sum(bool(message.text) for message in chunk)
            self._consented.came_in += written
            self._consented.went_out += written
            yield batch(_sorted(chunk, builder))
        yield batch(builder.finish())

    def _cleaned(self, conversations: Iterator[Conversation], given: Given) -> Batch:
        return given, self._counted(self.sieves.clean(conversations, given.speakers))

    def _counted(self, conversations: Iterable[Conversation]) -> Iterator[Conversation]:
        for conversation in self._conversations.out_of(conversations):
            self._conversations.came_in += len(conversation.messages)
            yield conversation

    def _paired(self, chunk: Iterable[ChatMessage], builder: PairBuilder) -> Iterator[Conversation]:
        for message in self._consented.into(chunk):
            for pair in builder.take(message):
                self._consented.went_out += len(pair.messages)
                yield pair


def _of_log(log: channel_log.ChannelLog) -> Given:
    return Given(log.source_id, log.speakers, log.people, names=log.names)


def _sorted(chunk: Iterable[ChatMessage], builder: Builder) -> Iterator[Conversation]:
    for message in chunk:
        yield from builder.take(message)


async def _stored(session: AsyncSession, source_id: int, names: dict[int, str]) -> AsyncIterator[Sequence[ChatMessage]]:
    """A source's messages in time order, in chunks."""
    table = SourceMessage
    rows = await session.stream(
        select(table.id, table.external_id, table.author_id, table.sent_at, table.reply_to, table.forwarded, table.text)
        .where(table.source_id == source_id)
        .order_by(table.sent_at, table.id),
        execution_options={"yield_per": ROWS_AT_ONCE},
    )
    async for chunk in rows.partitions():
        yield [
            ChatMessage(number, external, author, names[author], sent_at, reply_to, forwarded, text)
            for number, external, author, sent_at, reply_to, forwarded, text in chunk
        ]
