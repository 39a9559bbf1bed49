"""Taught answers: an operator's question and the answer they want to it. What a version learns with the most weight.

A pair lies in a source of kind `taught` as two messages, the answer a reply to the question. The same question taught
again replaces its answer. Pairs in an operator's own words are in the source `own`. A correction may keep the words in
which somebody else asked: these lie in a source named after the chat, under their author, and are learnt only where
that chat may be learnt from, while that person consents there, and where they asked after they had consented.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime

from sqlalchemy import delete, or_, select
from sqlalchemy.ext.asyncio import AsyncSession
from sqlalchemy.orm import aliased

from config.errors import BadInput, NotFound, Refused
from store.assistants import find_assistant
from store.columns import now
from store.consents import consenting, opening_of
from store.crypto import Cipher
from store.database import Database
from store.removed import note_removed
from store.tables import Assistant, Channel, Import, Source, SourceAuthor, SourceMessage
from tuning.conversations import ChatMessage, Conversation

KIND = "taught"
OWN = "own"
ASKER, SPEAKER = "asker", "assistant"
WEIGHT = 3
"""How many times a taught pair is learnt for once that anything else is."""
LONGEST = 4_000
"""Characters of a question, and of an answer."""

_ARROW = re.compile(r"\s=>(?:\s|$)")


@dataclass(frozen=True, slots=True)
class Asker:
    """Somebody whose own words a question is: the person's key, the chat in which it was asked, and when."""

    person: str
    name: str
    chat: str
    at: datetime


@dataclass(frozen=True, slots=True)
class Taught:
    """One pair. `id` is how it is taken back; `replaced`: the question had another answer before."""

    id: int
    question: str
    answer: str
    at: datetime
    replaced: bool = False


def split_pair(text: str) -> tuple[str, str] | None:
    """Question and answer as people type them: ` => ` between the two, or else a line break. None where there is
    neither, or nothing on one side of it."""
    found = _ARROW.search(text)
    if found is not None:
        question, answer = text[: found.start()], text[found.end() :]
    else:
        question, _, answer = text.strip().partition("\n")
    question, answer = question.strip(), answer.strip()
    return (question, answer) if question and answer else None


async def teach(
    database: Database, assistant_name: str, question: str, answer: str, by: str, asker: Asker | None = None
) -> Taught:
    """Keep one pair. `by` is who answers for it; `asker`: the question is in this person's words.

    Raises NotFound for an unknown assistant, BadInput for a pair that cannot be kept, Refused where the asker has not
    consented to being learnt from.
    """
    return (await teach_all(database, assistant_name, [(question, answer)], by, asker))[0]


async def teach_all(
    database: Database, assistant_name: str, pairs: Sequence[tuple[str, str]], by: str, asker: Asker | None = None
) -> list[Taught]:
    """Keep these pairs, all or none. Raises what `teach` raises."""
    checked = [(_checked("question", question), _checked("answer", answer)) for question, answer in pairs]
    async with database.session() as session:
        assistant = await find_assistant(session, assistant_name)
        if asker is not None and not await _agreed(session, asker):
            raise Refused(
                f"{asker.name} has not agreed to being learnt from here, so that question cannot be taught as it "
                "stands; put it in your own words: /teach question => answer"
            )
        source = await _source(session, assistant, by, asker)
        return [await _keep(session, database.cipher, source, question, answer, asker) for question, answer in checked]


async def taught_pairs(database: Database, assistant_name: str, limit: int | None = None) -> list[Taught]:
    """What was taught, newest first."""
    async with database.session() as session:
        assistant = await find_assistant(session, assistant_name)
        return await _pairs(session, assistant, limit)


async def untaught(database: Database, assistant_name: str, pair_id: int | None = None) -> Taught:
    """Take a pair back, the newest where none is named; what it was. Versions that have learnt it keep it.

    Raises NotFound where there is no such pair of this assistant.
    """
    async with database.session() as session:
        assistant = await find_assistant(session, assistant_name)
        pairs = await _pairs(session, assistant, 1 if pair_id is None else None, pair_id)
        if not pairs:
            raise NotFound("That is not among the taught answers (any more); /teach shows those there are.")
        await _remove(session, database.cipher, pairs[0].id)
        return pairs[0]


class PairBuilder:
    """Taught messages into conversations, as `ConversationBuilder` does it: each pair is one of its own. `askers`:
    the rows of the authors whose questions may be learnt, and from when on, in Unix seconds."""

    def __init__(self, askers: Mapping[int, float]) -> None:
        self._askers = askers
        self._questions: dict[str, ChatMessage] = {}

    def take(self, message: ChatMessage) -> Iterator[Conversation]:
        """A question, and some time later the answer that replies to it."""
        if message.reply_to is None:
            since = self._askers.get(message.author_id)
            if since is not None and message.sent_at >= since:
                self._questions[message.external_id] = message
        elif message.reply_to in self._questions:
            yield Conversation([self._questions.pop(message.reply_to), message])

    def finish(self) -> Iterator[Conversation]:
        """What has no answer is no pair."""
        self._questions.clear()
        return iter(())


async def learnable_askers(session: AsyncSession, source: Source) -> dict[int, float]:
    """Rows of the authors whose questions may be learnt now, and from when on, in Unix seconds: operators' own words
    always, others' while they consent."""
    rows = await session.execute(
        select(SourceAuthor.id, SourceAuthor.external_id).where(SourceAuthor.source_id == source.id)
    )
    authors = rows.tuples().all()
    if source.external_id == OWN:
        return {author: 0.0 for author, _ in authors}
    since = await _consenting(session, source.external_id)
    return {author: since[person] for author, person in authors if person in since}


def _checked(what: str, text: str) -> str:
    text = text.encode("utf-8", "replace").decode().strip()
    if not text:
        raise BadInput(f"The {what} is empty; write both, like this: /teach When do you open? => At six.")
    if len(text) > LONGEST:
        raise BadInput(
            f"The {what} has {len(text):,} characters, and {LONGEST:,} can be taught at once; split it into several."
        )
    return text


async def _consenting(session: AsyncSession, chat: str) -> dict[str, float]:
    """Who may be learnt from in this chat, and from when on, in Unix seconds."""
    here = await session.scalars(select(Channel.id).where(or_(Channel.key == chat, Channel.parent_key == chat)))
    if "open" not in {await opening_of(session, channel) for channel in here.all()}:
        return {}
    return {person: since.timestamp() for person, since in (await consenting(session, chat)).items()}


async def _agreed(session: AsyncSession, asker: Asker) -> bool:
    since = (await _consenting(session, asker.chat)).get(asker.person)
    return since is not None and asker.at.timestamp() >= since


async def _source(session: AsyncSession, assistant: Assistant, by: str, asker: Asker | None) -> Source:
    place = OWN if asker is None else asker.chat
    source = await session.scalar(
        select(Source).where(Source.assistant_id == assistant.id, Source.kind == KIND, Source.external_id == place)
    )
    if source is None:
        title = "Taught answers" if asker is None else f"Taught answers to questions asked in {asker.chat}"
        source = Source(assistant_id=assistant.id, kind=KIND, external_id=place, title=title, speakers=[SPEAKER])
        session.add(source)
    source.permission = f"{by} taught these answers so that the assistant learns them."
    source.permission_by, source.permission_at = by[:100], now()
    await session.flush()
    return source


async def _keep(
    session: AsyncSession, cipher: Cipher, source: Source, question: str, answer: str, asker: Asker | None
) -> Taught:
    key = bytes.fromhex(cipher.derive("source_messages.digest"))
    plain = " ".join(question.casefold().split())
    name = hashlib.blake2b(plain.encode(), digest_size=12, key=key).hexdigest()
    same = select(SourceMessage.id).join(Source, Source.id == SourceMessage.source_id).where(
        Source.assistant_id == source.assistant_id, Source.kind == KIND, SourceMessage.external_id == f"{name}q"
    )  # fmt: skip
    before = list(await session.scalars(same))
    for question_id in before:
        await _remove(session, cipher, question_id)
    imported = Import(source_id=source.id, file_digest="", messages_read=2, messages_new=2)
    session.add(imported)
    asks = await _author(session, source, asker.person if asker else ASKER, asker.name if asker else "Operator")
    answers = await _author(session, source, SPEAKER, "Assistant")
    await session.flush()
    taught_at = int(now().timestamp())
    asked_at = int(asker.at.timestamp()) if asker else taught_at
    rows = [
        SourceMessage(
            source_id=source.id, import_id=imported.id, external_id=f"{name}{end}", author_id=author.id,
            sent_at=at, reply_to=reply_to, text=text,
            digest=hashlib.blake2b(text.encode(), digest_size=8, key=key).digest(),
        )
        for end, author, at, reply_to, text in (
            ("q", asks, min(asked_at, taught_at), None, question), ("a", answers, taught_at, f"{name}q", answer)
        )
    ]  # fmt: skip
    for row in rows:
        session.add(row)
        await session.flush()  # the question's id comes first, which is the order they are read in
    return Taught(rows[0].id, question, answer, datetime.fromtimestamp(taught_at, UTC), bool(before))


async def _author(session: AsyncSession, source: Source, external_id: str, name: str) -> SourceAuthor:
    found = await session.scalar(
        select(SourceAuthor).where(SourceAuthor.source_id == source.id, SourceAuthor.external_id == external_id)
    )
    if found is None:
        found = SourceAuthor(source_id=source.id, external_id=external_id, name=name)
        session.add(found)
    return found


async def _pairs(
    session: AsyncSession, assistant: Assistant, limit: int | None, pair_id: int | None = None
) -> list[Taught]:
    question, answer = aliased(SourceMessage), aliased(SourceMessage)
    query = (
        select(question.id, question.text, answer.text, answer.sent_at)
        .join(answer, (answer.source_id == question.source_id) & (answer.reply_to == question.external_id))
        .join(Source, Source.id == question.source_id)
        .where(Source.assistant_id == assistant.id, Source.kind == KIND)
        .order_by(question.id.desc())
        .limit(limit)
    )
    if pair_id is not None:
        query = query.where(question.id == pair_id)
    rows = await session.execute(query)
    return [Taught(row, asked, said, datetime.fromtimestamp(at, UTC)) for row, asked, said, at in rows]


async def _remove(session: AsyncSession, cipher: Cipher, question_id: int) -> None:
    """The record of a pair; its question and its answer go with it. Who had asked stays known to the versions that
    learnt it, so that forgetting them finds these."""
    question = await session.get_one(SourceMessage, question_id)
    source = await session.get_one(Source, question.source_id)
    await note_removed(session, cipher, source, question.import_id)
    await session.execute(delete(Import).where(Import.id == question.import_id))


def read_pairs(lines: Iterable[str], name: str) -> list[tuple[str, str]]:
    """Pairs of a text file: one a line, ` => ` between question and answer; empty lines and those that begin with #
    are passed over. Raises BadInput naming the line."""
    pairs: list[tuple[str, str]] = []
    for number, line in enumerate(lines, start=1):
        if not line.strip() or line.lstrip().startswith("#"):
            continue
        pair = split_pair(line)
        if pair is None:
            raise BadInput(f"Line {number} of {name} is not a pair; write it like this: When do you open? => At six.")
        pairs.append(pair)
    if not pairs:
        raise BadInput(f"{name} holds no pairs; write one a line, like this: When do you open? => At six.")
    return pairs
