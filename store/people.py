"""Queries on people and their roles: who has written, who looks after which assistant."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import timedelta

from sqlalchemy import bindparam, delete, or_, select
from sqlalchemy.exc import IntegrityError
from sqlalchemy.ext.asyncio import AsyncSession

from store.columns import now
from store.database import Database
from store.tables import Assistant, Channel, Message, Person, RoleGiven, WebSession

SEEN_EVERY = timedelta(minutes=10)
"""How exact `seen_at` is: not every message is worth a write."""


# Asked with every message, so put together once.
_PERSON = select(Person.name, Person.username, Person.seen_at).where(Person.key == bindparam("key"))
_ROLE = (
    select(RoleGiven.role)
    .where(
        RoleGiven.subject.in_(bindparam("subjects", expanding=True)),
        or_(RoleGiven.assistant_id.is_(None), RoleGiven.assistant_id == bindparam("assistant")),
    )
    .order_by(RoleGiven.role.desc())  # owner, operator
    .limit(1)
)


@dataclass(frozen=True, slots=True)
class Given:
    """A role as it is shown. `assistant` None: for all of them; `name` None: of a person who has not written yet."""

    subject: str
    name: str | None
    assistant: str | None
    role: str


async def is_noted(database: Database, key: str, name: str, username: str | None) -> bool:
    """Whether `note_person` would change nothing: the case with nearly every message, and quickly seen."""
    found = await database.look_up(_PERSON, {"key": key})
    if found is None or found.name != name or found.username != (username or found.username):
        return False
    return bool(now() - found.seen_at <= SEEN_EVERY)


async def note_person(session: AsyncSession, key: str, name: str, username: str | None) -> None:
    """Somebody wrote."""
    found = await session.scalar(select(Person).where(Person.key == key))
    if found is None:
        try:
            async with session.begin_nested():
                session.add(Person(key=key, name=name, username=username))
        except IntegrityError:  # wrote in two channels at once
            return
    elif (found.name, found.username) != (name, username or found.username) or now() - found.seen_at > SEEN_EVERY:
        found.name, found.username, found.seen_at = name, username or found.username, now()


async def find_person(session: AsyncSession, key: str) -> Person | None:
    """By key."""
    found: Person | None = await session.scalar(select(Person).where(Person.key == key))
    return found


async def named(session: AsyncSession, platform: str | None, name: str) -> list[Person]:
    """Everybody on `platform`, or on any, who is called `name` there, by user name or as others see them; case does
    not matter.

    Names are sealed, so all are read."""
    wanted = name.removeprefix("@").casefold()
    query = select(Person)
    if platform is not None:
        query = query.where(Person.key.startswith(f"{platform}:", autoescape=True))
    people = await session.scalars(query)
    return [one for one in people if wanted in ((one.username or "").casefold(), one.name.casefold())]


async def role_of(database: Database, subjects: Sequence[str], assistant_id: int | None) -> str | None:
    """The highest role that any of `subjects` has for this assistant, or for all; without an assistant, for all."""
    found = await database.look_up(_ROLE, {"subjects": list(subjects), "assistant": assistant_id})
    return None if found is None else found[0]


async def give_role(session: AsyncSession, subject: str, assistant_id: int | None, role: str, by: str) -> bool:
    """From now on `subject` has `role`; False where they had it."""
    same = RoleGiven.assistant_id.is_(None) if assistant_id is None else RoleGiven.assistant_id == assistant_id
    found = await session.scalar(select(RoleGiven).where(RoleGiven.subject == subject, same))
    if found is None:
        session.add(RoleGiven(subject=subject, assistant_id=assistant_id, role=role, given_by=by))
        await session.flush()
        return True
    changed = found.role != role
    found.role, found.given_by = role, by
    return changed


async def take_roles(session: AsyncSession, subject: str, assistant_id: int | None, role: str | None = None) -> int:
    """Take away what `subject` has for this assistant and for all; without an assistant, everything. With `role`,
    only that one. The number of roles taken."""
    query = delete(RoleGiven).where(RoleGiven.subject == subject).returning(RoleGiven.id)
    if assistant_id is not None:
        query = query.where(or_(RoleGiven.assistant_id == assistant_id, RoleGiven.assistant_id.is_(None)))
    if role is not None:
        query = query.where(RoleGiven.role == role)
    return len((await session.scalars(query)).all())


async def list_roles(session: AsyncSession, assistant_id: int | None = None) -> list[Given]:
    """All roles, or those that count for one assistant; owners first."""
    query = (
        select(RoleGiven.subject, Person.name, Assistant.name, RoleGiven.role)
        .outerjoin(Person, Person.key == RoleGiven.subject)
        .outerjoin(Assistant, Assistant.id == RoleGiven.assistant_id)
        .order_by(RoleGiven.role.desc(), RoleGiven.id)
    )
    if assistant_id is not None:
        query = query.where(or_(RoleGiven.assistant_id == assistant_id, RoleGiven.assistant_id.is_(None)))
    return [Given(*row) for row in await session.execute(query)]


async def operators_chats(database: Database, account: str) -> list[tuple[Channel, int | None]]:
    """The private channels of an account in which somebody has written who looks after assistants, each with the
    assistant that they look after (None: all)."""
    async with database.long_session() as session:
        given = await session.execute(select(RoleGiven.subject, RoleGiven.assistant_id))
        scopes = list(given.tuples())
        pages = await session.scalars(select(WebSession.public_id).where(WebSession.role == "operator"))
        scopes += [(f"web:{page}", None) for page in pages]
        found: list[tuple[Channel, int | None]] = []
        for person, assistant_id in scopes:
            wrote = select(Message.channel_id).where(Message.author_key == person)
            here = Channel.account == account, Channel.private, Channel.present, Channel.id.in_(wrote)
            found += [(channel, assistant_id) for channel in await session.scalars(select(Channel).where(*here))]
        return found
