"""Curation: from stored messages to training examples, each step counted in the funnel.

messages → those with consent → conversations → those that the speaker answers → private details replaced → examples →
near-duplicates removed → split by time. Imported chats and taught answers carry their operator's word for consent; in
channels' own logs it is each author's (tuning/sources/channel_log.py). Everything is a stream; memory does not grow
with the log, save for 16 bytes an example and the lineage of what is learnt. Knows neither tokens nor models; the
system prompt is not in the files.
"""

from __future__ import annotations

from array import array
from collections import Counter as Tally
from collections.abc import AsyncIterator, Callable, Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np
import numpy.typing as npt
from sqlalchemy import func, select
from sqlalchemy.ext.asyncio import AsyncSession

from config.errors import BadInput
from store.database import Database
from store.tables import Source, SourceAuthor, SourceMessage
from tuning.chains import KINDS as WRITTEN_APART
from tuning.chains import ChainBuilder
from tuning.conversations import ChatMessage, Conversation, ConversationBuilder
from tuning.draft import Draft
from tuning.duplicates import BATCH, NearDuplicates, taught
from tuning.examples import Example, examples_of
from tuning.funnel import Counter, Step
from tuning.held_out import FEWEST_HELD_OUT, hold_out
from tuning.redaction import detail_digest, find_private, redact, replace_spans
from tuning.sources import channel_log
from tuning.teaching import KIND as TAUGHT
from tuning.teaching import WEIGHT, PairBuilder, learnable_askers
from tuning.voted import write_votes

MIN_EXAMPLES = 40
"""16 of them are the fewest that measure a version (tuning/held_out.py); from under 24 no voice is learnt."""
ROWS_AT_ONCE = 1000
LONG_AGO = 1 << 40
"""Seconds; before anything that was ever said in a chat."""
SECRETS = "secrets.txt"
"""Digests of the private details that were replaced, for the gate to look for in answers."""
SORTING = "sorting messages into conversations"

Builder = ConversationBuilder | ChainBuilder
Say = Callable[[str, int, int], None]
"""say(step, done, total): both figures in one unit, bytes where a file is read, else messages."""


@dataclass(frozen=True, slots=True)
class Curated:
    """What came of it. `people`: who speaks in the answered conversations, the speaker too. `redacted`: details
    replaced, by kind. `lineage`: source → ascending rows of the messages learnt from; empty when only measured.
    `messages`: those that may be learnt from."""

    messages: int
    conversations: int
    examples: int
    train: int
    held_out: int
    people: int
    funnel: tuple[Step, ...]
    redacted: dict[str, int] = field(default_factory=dict)
    lineage: dict[int, list[int]] = field(default_factory=dict)


async def curate(database: Database, assistant_id: int, folder: Path, say: Say) -> Curated:
    """Write `train.jsonl` and `held_out.jsonl` into `folder`, a line {"messages", "learn_from", "at"} each, and SECRETS
    where private details were found.

    Raises BadInput where there is too little to learn and to measure; neither file is written then.
    """
    await channel_log.note_sources(database, assistant_id)
    with Draft(folder) as draft:
        run = _Run(draft)
        async with database.long_session() as session:
            await run.gather(session, assistant_id, say)
        curated = run.result()
        require_enough(curated)
        lineage = draft.split(run.held_out())
        write_votes(folder, run.votes, lineage)
        if secrets := run.secrets - run.meant:
            (folder / SECRETS).write_text("\n".join(sorted(secret.hex() for secret in secrets)))
        return replace(curated, lineage=lineage)


async def measure(session: AsyncSession, assistant_id: int, say: Say = lambda step, done, total: None) -> Curated:
    """The same counts without writing any text, as this session sees the store."""
    run = _Run(None)
    await run.gather(session, assistant_id, say)
    return run.result()


def require_enough(curated: Curated) -> None:
    """Raises BadInput where there is too little to learn and to measure."""
    if curated.examples < MIN_EXAMPLES or not curated.train or curated.held_out < FEWEST_HELD_OUT:
        raise BadInput(
            f"There are only {curated.examples} examples of the speaker answering somebody, and it takes "
            f"{MIN_EXAMPLES} to learn and to measure; give a longer export, or choose a speaker who answers more."
        )


@dataclass(frozen=True, slots=True)
class _Given:
    """What belongs to the messages of one source: who is learnt, who everybody is, and how often it is learnt."""

    source_id: int
    speakers: Collection[int]
    people: Mapping[int, str]
    weight: int = 1


def _of_log(log: channel_log.ChannelLog) -> _Given:
    return _Given(log.source_id, log.speakers, log.people)


class _Run:
    """One pass over an assistant's sources. Keeps, of every example, its conversation and when that began."""

    def __init__(self, draft: Draft | None) -> None:
        self._draft = draft
        self._consented = Counter("with consent")
        self._conversations = Counter("conversations")
        self._answered = Counter("answered by the speaker")
        self._private = Counter("private details replaced")
        self._cut = Counter("examples")
        self._new = Counter("near-duplicates removed")
        self._redacted: Tally[str] = Tally()
        self.secrets: set[bytes] = set()
        self.votes: list[tuple[int, channel_log.VotedAnswer]] = []
        self.meant: set[bytes] = set()
        self._people: set[str] = set()
        self._duplicates = NearDuplicates()
        self._waiting: list[tuple[Example, int, int, int, int]] = []
        self._number = array("q")
        self._began = array("q")
        self._weight = array("b")

    async def gather(self, session: AsyncSession, assistant_id: int, say: Say) -> None:
        """Read taught answers, so that of what is nearly the same they stay; then every other source that has a
        speaker; then the channels' own logs."""
        chosen = select(Source).where(
            Source.assistant_id == assistant_id, Source.speaker.is_not(None), Source.paused.is_(False)
        )
        sources = (await session.scalars(chosen.order_by(Source.id))).all()
        stored = select(func.count()).select_from(SourceMessage)
        total = await session.scalar(stored.where(SourceMessage.source_id.in_([source.id for source in sources]))) or 0
        logs = await channel_log.logs_of(session, assistant_id)
        total += sum([await channel_log.count_heard(session, log) for log in logs])
        for source in sorted(sources, key=lambda source: source.kind != TAUGHT):
            authors = (await session.scalars(select(SourceAuthor).where(SourceAuthor.source_id == source.id))).all()
            speakers = {row.id for row in authors if row.external_id == source.speaker}
            names = {row.id: redact(row.name) for row in authors}
            people = {row.id: row.external_id for row in authors}
            given = _Given(source.id, speakers, people, WEIGHT if source.kind == TAUGHT else 1)
            if source.kind == TAUGHT:
                pairs = PairBuilder(await learnable_askers(session, source))
                async for chunk in _stored(session, source.id, names):
                    self._take(self._paired(chunk, pairs), given)
                continue
            builder: Builder = ChainBuilder() if source.kind in WRITTEN_APART else ConversationBuilder()
            async for chunk in _stored(session, source.id, names):
                self._consented.came_in += len(chunk)
                self._consented.went_out += len(chunk)
                self._take(self._sorted(chunk, builder), given)
                say(SORTING, self._consented.came_in, total)
            self._take(self._conversations.out_of(builder.finish()), given)
        for log in logs:
            if self._draft is not None and not log.source_id:
                log.agreed = {}  # somebody agreed at this very moment; that counts from the next time on
            builder = ConversationBuilder()
            async for chunk in channel_log.read(session, log, self._consented):
                self._take(self._sorted(chunk, builder), _of_log(log))
                say(SORTING, self._consented.came_in, total)
            self._take(self._conversations.out_of(channel_log.whole(builder.finish())), _of_log(log))
            self.votes.extend((log.source_id, answer) for answer in log.voted)
        self._drop_duplicates()

    def result(self) -> Curated:
        held = int(self.held_out().sum())
        total = len(self._number)
        steps = (self._consented, self._conversations, self._answered, self._private, self._cut, self._new)
        return Curated(
            messages=self._consented.went_out,
            conversations=self._conversations.went_out,
            examples=total,
            train=total - held,
            held_out=held,
            people=len(self._people),
            funnel=(
                *(counter.step() for counter in steps),
                Step("for learning", total, total - held),
                Step("for measuring", total, held),
            ),
            redacted=dict(self._redacted),
        )

    def held_out(self) -> npt.NDArray[np.bool_]:
        """For each example, in the order of the draft, whether it is held out. What was taught is learnt, not
        measured with, as long as there is enough else to measure with."""
        numbers, began = np.array(self._number, np.int64), np.array(self._began, np.int64)
        chatted = np.array(self._weight, np.int8) == 1
        if chatted.sum() < MIN_EXAMPLES:
            return hold_out(numbers, np.where(chatted, began, began - LONG_AGO))
        held = np.zeros(len(numbers), bool)
        held[chatted] = hold_out(numbers[chatted], began[chatted])
        return held

    def _sorted(self, chunk: Iterable[ChatMessage], builder: Builder) -> Iterator[Conversation]:
        for message in chunk:
            self._conversations.came_in += bool(message.text)  # the others are gaps
            yield from self._conversations.out_of(channel_log.whole(builder.take(message)))

    def _paired(self, chunk: Iterable[ChatMessage], builder: PairBuilder) -> Iterator[Conversation]:
        for message in self._consented.into(chunk):
            for pair in self._conversations.out_of(builder.take(message)):
                self._consented.went_out += len(pair.messages)
                self._conversations.came_in += len(pair.messages)
                yield pair

    def _take(self, conversations: Iterable[Conversation], given: _Given) -> None:
        for conversation in self._answered.into(conversations):
            messages = conversation.messages
            if all(message.author_id not in given.speakers for message in messages):
                continue
            taught_by_hand = given.weight > 1
            plain = [
                self._as_meant(message)
                if taught_by_hand and message.author_id in given.speakers
                else self._without_private(message)
                for message in messages
            ]
            examples = examples_of(plain, given.speakers)
            if not examples:
                continue
            self._answered.went_out += 1
            self._private.came_in += len(messages)
            self._private.went_out += len(messages)
            self._cut.came_in += 1
            self._people.update(given.people[one.author_id] for one in messages if one.author_id in given.people)
            for example in self._cut.out_of(examples):
                self._waiting.append(
                    (example, given.source_id, self._answered.went_out, conversation.began_at, given.weight)
                )
            if len(self._waiting) >= BATCH:
                self._drop_duplicates()

    def _drop_duplicates(self) -> None:
        waiting, self._waiting = self._waiting, []
        new = self._duplicates.are_new([taught(example) for example, *_ in waiting])
        kept = (one for one, is_new in zip(self._new.into(waiting), new, strict=True) if is_new)
        for example, source_id, number, began_at, weight in self._new.out_of(kept):
            self._number.append(number)
            self._began.append(began_at)
            self._weight.append(weight)
            if self._draft is not None:
                self._draft.add(example, source_id, weight)

    def _as_meant(self, message: ChatMessage) -> ChatMessage:
        """An answer taught by hand, as it stands: a telephone number may be the point, and is no secret then."""
        self.meant.update(detail_digest(message.text[start:stop]) for start, stop, _ in find_private(message.text))
        return message

    def _without_private(self, message: ChatMessage) -> ChatMessage:
        spans = find_private(message.text)
        if not spans:
            return message
        self._redacted.update(kind for _, _, kind in spans)
        self.secrets.update(detail_digest(message.text[start:stop]) for start, stop, _ in spans)
        return replace(message, text=replace_spans(message.text, spans))


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
