"""Taught answers: an operator's question and the answer they want to it. What a version learns with the most weight.

A pair lies in a source of kind `taught` as two messages, the answer a reply to the question. The same question taught
again replaces its answer. Pairs in an operator's own words are in the source `own`. A correction may keep the words in
which somebody else asked: these lie in a source named after the chat, under their author, and are learnt only while
that person consents there, and on Discord only where the platform's permission is recorded.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Collection, Iterable, Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime

from sqlalchemy import delete, select
from sqlalchemy.ext.asyncio import AsyncSession
from sqlalchemy.orm import aliased

from config.errors import BadInput, NotFound, Refused
from store.assistants import find_assistant
from store.columns import now
from store.database import Database
from store.tables import Account, Assistant, Consent, Import, Source, SourceAuthor, SourceMessage
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
    """Somebody whose own words a question is: the person's key, and the chat in which it was asked."""

    person: str
    name: str
    chat: str


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
        if asker is not None and not await _consents(session, asker.person, asker.chat):
            raise Refused(
                f"{asker.name} has not agreed to being learnt from here, so that question cannot be taught as it "
                "stands; put it in your own words: /teach question => answer"
            )
        source = await _source(session, assistant, by, asker)
        key = bytes.fromhex(database.cipher.derive("source_messages.digest"))
        return [await _keep(session, source, question, answer, key, asker) for question, answer in checked]


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
        await _remove(session, pairs[0].id)
        return pairs[0]


class PairBuilder:
    """Taught messages into conversations, as `ConversationBuilder` does it: each pair is one of its own. Those whose
    question's author is not among `askers` (authors' rows) are left out."""

    def __init__(self, askers: Collection[int]) -> None:
        self._askers = askers
        self._question: ChatMessage | None = None

    def take(self, message: ChatMessage) -> Iterator[Conversation]:
        """A question, then the answer that replies to it."""
        question = self._question
        if message.reply_to is None:
            self._question = message if message.author_id in self._askers else None
        elif question is not None and message.reply_to == question.external_id:
            self._question = None
            yield Conversation([question, message])

    def finish(self) -> Iterator[Conversation]:
        """Nothing is ever left open."""
        return iter(())


async def learnable_askers(session: AsyncSession, source: Source) -> set[int]:
    """Authors' rows whose questions may be learnt now: the operators' own, and of others those who consent."""
    rows = await session.execute(
        select(SourceAuthor.id, SourceAuthor.external_id).where(SourceAuthor.source_id == source.id)
    )
    return {
        author
        for author, person in rows.tuples()
        if source.external_id == OWN or await _consents(session, person, source.external_id)
    }


def _checked(what: str, text: str) -> str:
    text = text.encode("utf-8", "replace").decode().strip()
    if not text:
        raise BadInput(f"The {what} is empty; write both, like this: /teach When do you open? => At six.")
    if len(text) > LONGEST:
        raise BadInput(
            f"The {what} has {len(text):,} characters, and {LONGEST:,} can be taught at once; split it into several."
        )
    return text


async def _consents(session: AsyncSession, person: str, chat: str) -> bool:
    agreed = select(Consent.id).where(Consent.person == person, Consent.chat == chat, Consent.state == "in")
    if await session.scalar(agreed) is None:
        return False
    account = await session.scalar(select(Account).where(Account.name == chat.partition(":")[0]))
    return account is None or account.platform != "discord" or account.permission is not None


async def _source(session: AsyncSession, assistant: Assistant, by: str, asker: Asker | None) -> Source:
    place = OWN if asker is None else asker.chat
    source = await session.scalar(
        select(Source).where(Source.assistant_id == assistant.id, Source.kind == KIND, Source.external_id == place)
    )
    if source is None:
        title = "Taught answers" if asker is None else f"Taught answers to questions asked in {asker.chat}"
        source = Source(assistant_id=assistant.id, kind=KIND, external_id=place, title=title, speaker=SPEAKER)
        session.add(source)
    source.permission = f"{by} taught these answers so that the assistant learns them."
    source.permission_by, source.permission_at = by[:100], now()
    await session.flush()
    return source


async def _keep(
    session: AsyncSession, source: Source, question: str, answer: str, key: bytes, asker: Asker | None
) -> Taught:
    plain = " ".join(question.casefold().split())
    name = hashlib.blake2b(plain.encode(), digest_size=12, key=key).hexdigest()
    same = select(SourceMessage.id).join(Source, Source.id == SourceMessage.source_id).where(
        Source.assistant_id == source.assistant_id, Source.kind == KIND, SourceMessage.external_id == f"{name}q"
    )  # fmt: skip
    before = list(await session.scalars(same))
    for question_id in before:
        await _remove(session, question_id)
    imported = Import(source_id=source.id, file_digest="", messages_read=2, messages_new=2)
    session.add(imported)
    asks = await _author(session, source, asker.person if asker else ASKER, asker.name if asker else "Operator")
    answers = await _author(session, source, SPEAKER, "Assistant")
    await session.flush()
    at = int(now().timestamp())
    rows = [
        SourceMessage(
            source_id=source.id, import_id=imported.id, external_id=f"{name}{end}", author_id=author.id, sent_at=at,
            reply_to=reply_to, text=text, digest=hashlib.blake2b(text.encode(), digest_size=8, key=key).digest(),
        )
        for end, author, reply_to, text in (("q", asks, None, question), ("a", answers, f"{name}q", answer))
    ]  # fmt: skip
    for row in rows:
        session.add(row)
        await session.flush()  # the question's id comes first, which is the order they are read in
    return Taught(rows[0].id, question, answer, datetime.fromtimestamp(at, UTC), bool(before))


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
        select(question.id, question.text, answer.text, question.sent_at)
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


async def _remove(session: AsyncSession, question_id: int) -> None:
    """The record of a pair; its question and its answer go with it."""
    imported = await session.scalar(select(SourceMessage.import_id).where(SourceMessage.id == question_id))
    await session.execute(delete(Import).where(Import.id == imported))


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
