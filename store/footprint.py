"""Everything that is kept of one person, found: what they wrote, what was answered to them, what was imported of them.

A person's key is `PLATFORM:ID`; who an imported author is, store/authors.py says.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime

import numpy as np
import numpy.typing as npt
from sqlalchemy import String, cast, or_, select
from sqlalchemy.ext.asyncio import AsyncSession

from store.authors import LOGGED, ROLES, TAUGHT, authors_of, person_of
from store.conversations import COMMANDS
from store.tables import Channel, Message, Person, Source, SourceAuthor, SourceMessage

EVER = datetime(1970, 1, 1, tzinfo=UTC)


class Rows:
    """Rows that one source's versions may have learnt from, and when each came to be."""

    def __init__(self, rows: Iterable[tuple[int, datetime]]) -> None:
        found = sorted((number, made.timestamp()) for number, made in rows)
        self.ids: npt.NDArray[np.int64] = np.array([number for number, _ in found], np.int64)
        self._made = np.array([made for _, made in found], np.float64)

    def before(self, at: datetime) -> npt.NDArray[np.int64]:
        """Those that were there before `at`: a number may have been another row's earlier."""
        return self.ids[self._made < at.timestamp()]


@dataclass(slots=True)
class Footprint:
    """Row numbers. `messages` they wrote, of these `commands`; `answers` to them; `private`: channels where nobody but
    they writes. `authors` and `imported` of sources, `taught` imports of pairs that keep their words. `by_source`: what
    versions may have learnt from. `texts`: all of it, as it was written."""

    messages: list[int] = field(default_factory=list)
    commands: list[int] = field(default_factory=list)
    answers: list[int] = field(default_factory=list)
    private: list[int] = field(default_factory=list)
    authors: list[int] = field(default_factory=list)
    imported: list[int] = field(default_factory=list)
    taught: list[int] = field(default_factory=list)
    by_source: dict[int, Rows] = field(default_factory=dict)
    assistants: set[int] = field(default_factory=set)
    texts: list[str] = field(default_factory=list)


async def footprint(session: AsyncSession, person: str) -> Footprint:
    """Look everywhere."""
    found = Footprint()
    await _in_channels(session, person, found)
    await _in_sources(session, person, found)
    return found


async def _in_channels(session: AsyncSession, person: str, found: Footprint) -> None:
    wrote = Message.author_key == person
    there = select(Message.channel_id).where(wrote)
    private = select(Channel.id).where(Channel.private, Channel.id.in_(there))
    found.private = list(await session.scalars(private))
    own = select(Message.id).where(wrote)
    columns = (Message.id, Message.channel_id, Message.role, Message.state, Message.created_at, Message.text)
    seen: dict[int, tuple[int, datetime]] = {}
    for condition in (wrote, Message.channel_id.in_(private), Message.answers.in_(own)):
        rows = await session.execute(select(*columns).where(condition).order_by(Message.id))
        for number, channel, role, state, made, text in rows.tuples():
            if number in seen:
                continue
            seen[number] = (channel, made)
            found.texts.append(text)
            if role == "assistant":
                found.answers.append(number)
            else:
                (found.commands if state in COMMANDS else found.messages).append(number)
    by_channel: dict[str, list[tuple[int, datetime]]] = {}
    for number, (channel, made) in seen.items():
        by_channel.setdefault(str(channel), []).append((number, made))
    logs = await session.execute(
        select(Source.id, Source.assistant_id, Source.external_id).where(
            Source.kind == LOGGED,
            or_(
                Source.external_id.in_(by_channel),
                Source.external_id.not_in(select(cast(Channel.id, String))),  # became part of another channel
            ),
        )
    )
    everywhere = [row for rows in by_channel.values() for row in rows]
    for source, assistant, channel_id in logs.tuples():
        found.by_source[source] = Rows(by_channel.get(channel_id, everywhere))
        found.assistants.add(assistant)


async def _in_sources(session: AsyncSession, person: str, found: Footprint) -> None:
    platform, ids = authors_of(person)
    authors = await session.execute(
        select(SourceAuthor.id, SourceAuthor.external_id, Source.kind, Source.id, Source.assistant_id)
        .join(Source, Source.id == SourceAuthor.source_id)
        .where(Source.kind.in_((platform, TAUGHT)), SourceAuthor.external_id.in_(ids))
    )
    sources: dict[int, list[tuple[int, datetime]]] = {}
    for author, called, kind, source, assistant in authors.tuples():
        if person_of(kind, called) != person:
            continue
        found.authors.append(author)
        found.assistants.add(assistant)
        sources[source] = []
    theirs = SourceMessage.author_id.in_(found.authors)
    pairs = select(SourceMessage.import_id).join(Source, Source.id == SourceMessage.source_id)
    found.taught = list(await session.scalars(pairs.where(theirs, Source.kind == TAUGHT)))
    for condition in (theirs, SourceMessage.import_id.in_(found.taught)):
        rows = await session.execute(
            select(SourceMessage.id, SourceMessage.source_id, SourceMessage.text).where(condition)
        )
        taken = set(found.imported)
        for number, source, text in rows.tuples():
            if number not in taken:
                found.imported.append(number)
                found.texts.append(text)
                sources[source].append((number, EVER))  # an edit hides when it first came
    found.by_source |= {source: Rows(rows) for source, rows in sources.items()}


async def who_is(session: AsyncSession, who: str) -> dict[str, str]:
    """People by what somebody calls them: a key as it stands, else a name, a user name, or an id in an export, whatever
    the case. Key → name. Names are sealed, so all are read."""
    if ":" in who:
        name = await session.scalar(select(Person.name).where(Person.key == who))
        return {who: name or who}
    wanted = who.strip().removeprefix("@").casefold()
    found: dict[str, str] = {}
    authors = select(Source.kind, SourceAuthor.external_id, SourceAuthor.name).join(Source)
    for kind, author, name in (await session.execute(authors.where(Source.kind.not_in(ROLES)))).tuples():
        person = person_of(kind, author)
        if person is not None and wanted in (name.casefold(), author.casefold(), person.partition(":")[2].casefold()):
            found[person] = name
    people = await session.execute(select(Person.key, Person.name, Person.username))
    for key, name, username in people.tuples():
        if wanted in (name.casefold(), (username or "").casefold(), key.partition(":")[2].casefold()):
            found[key] = name
    return found


def chunks(ids: Sequence[int], size: int = 500) -> Iterable[Sequence[int]]:
    """Few enough at once for one statement."""
    return (ids[at : at + size] for at in range(0, len(ids), size))
