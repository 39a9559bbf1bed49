"""Who may: roles as they are recorded, and who may talk with an assistant that is open, asks for pairing, or is closed.

Promises that of somebody who was not admitted nothing is kept but who they are, and that only while they wait. A
pairing code is worked out from the installation's key, so it can be shown again and read by those who decide, while
the table holds a digest alone. In groups the one who is admitted is the chat, whoever speaks in it.
"""

from __future__ import annotations

import asyncio
import hashlib
import hmac
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import Literal, get_args

from sqlalchemy.ext.asyncio import AsyncSession

from bots.incoming import RANK, Incoming, Role
from bots.pace import AlreadyTold, Once
from config.errors import NotFound, Refused
from serving.router import Place, route
from store import admissions
from store.admissions import Request
from store.columns import now
from store.database import Database
from store.people import role_of
from store.tables import Admission, Assistant

Openness = Literal["open", "pairing", "closed"]
OPENNESS: tuple[Openness, ...] = get_args(Openness)
ALPHABET = "ACDEFGHJKMNPQRTUVWXY34679"
"""Without letters that are taken for others: B 8, I L 1, O 0, S 5, Z 2."""
CODE_LENGTH = 8
CODE_LASTS = timedelta(hours=1)
MOST_WAITING = 3
TOLD_EVERY_SECONDS = 3600.0
CLOSED = "I am not open for conversation at the moment; please ask whoever looks after me."
REFUSED = "I am sorry, but I was asked not to talk here; whoever looks after me can change that."


@dataclass(frozen=True, slots=True)
class Standing:
    """Who would answer here (None: nobody is routed), and what the asker is to that assistant."""

    assistant: Assistant | None
    role: Role


@dataclass(frozen=True, slots=True)
class Waiting:
    """Somebody who waits to be admitted, and the code that they were given."""

    request: Request
    code: str

    @property
    def minutes_left(self) -> int:
        return max(1, round((self.request.expires_at - now()).total_seconds() / 60))


@dataclass(frozen=True, slots=True)
class Decided:
    """What became of a request. `changed` is False where it had been decided so before."""

    title: str
    subject: str
    assistant: str
    admitted: bool
    changed: bool

    @property
    def sentence(self) -> str:
        if self.admitted:
            return f"{self.title} may talk with {self.assistant} from now on."
        return f"{self.title} was refused; {self.assistant} will not talk there."


class Access:
    """Of all assistants."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self._pairing = asyncio.Lock()  # so that counting who waits and letting one wait are one thing
        self._told = Once(TOLD_EVERY_SECONDS)

    async def standing(self, incoming: Incoming) -> Standing:
        """Who answers where this was said, and the author's role for that assistant."""
        place = Place(incoming.channel, incoming.parent, incoming.server, incoming.account)
        try:
            assistant: Assistant | None = (await route(self._database, place)).assistant
        except NotFound:
            assistant = None
        return Standing(assistant, await self.role(incoming, assistant))

    async def role(self, incoming: Incoming, assistant: Assistant | None) -> Role:
        """The highest of what the connector knows, what is recorded for the person, and for their server roles; for
        this assistant or for all of them."""
        return await self._role(incoming, None if assistant is None else assistant.id)

    async def _role(self, incoming: Incoming, assistant_id: int | None) -> Role:
        given = await role_of(self._database, (incoming.person, *incoming.server_roles), assistant_id)
        roles: list[Role] = [incoming.role, *(role for role in RANK if role == given)]
        return max(roles, key=RANK.__getitem__)

    async def admitted(self, incoming: Incoming, assistant: Assistant) -> bool:
        """Whether they may talk with it. `incoming.role` is the joined one."""
        if assistant.access == "open" or incoming.may("operator"):
            return True
        return assistant.access == "pairing" and await self._state(incoming, assistant) == "admitted"

    async def admit(self, incoming: Incoming, assistant: Assistant) -> None:
        """Nothing, where they may talk with it. `incoming.role` is the joined one.

        Raises Refused with the sentence for them, with a code where they can be let in; AlreadyTold where they were
        told within the hour.
        """
        if await self.admitted(incoming, assistant):
            return
        if assistant.access == "closed":
            raise self._once(incoming, assistant, CLOSED)
        if await self._state(incoming, assistant) == "refused":
            raise self._once(incoming, assistant, REFUSED)
        code = await self._wait(incoming, assistant)
        whom = "you" if incoming.private else "this chat"
        raise Refused(
            f"I do not know {whom} yet: give whoever looks after me the code {shown(code)} (good for an hour), and "
            "write again when they have let you in; until then I keep nothing of what you write."
        )

    def _once(self, incoming: Incoming, assistant: Assistant, sentence: str) -> Refused:
        due = self._told.due(f"{assistant.id} {incoming.person}")
        return Refused(sentence) if due else AlreadyTold()

    async def _state(self, incoming: Incoming, assistant: Assistant) -> str | None:
        return await admissions.state_of(self._database, assistant.id, subject_of(incoming))

    async def _wait(self, incoming: Incoming, assistant: Assistant) -> str:
        """Let them wait, and give their code, the same one for as long as it is good. Raises Refused where too many
        wait."""
        subject = subject_of(incoming)
        async with self._pairing, self._database.session() as session:
            await admissions.drop_expired(session)
            found = await admissions.find_admission(session, assistant.id, subject)
            if found is not None and found.expires_at is not None:
                return self._code(assistant.id, subject, found.expires_at)
            if await admissions.count_waiting(session, assistant.id) >= MOST_WAITING:
                raise Refused(
                    "I do not know you yet, and others are waiting to be let in already; please try again in an hour."
                )
            expires = now() + CODE_LASTS
            code = self._code(assistant.id, subject, expires)
            title = _title(incoming)
            session.add(
                Admission(
                    assistant_id=assistant.id, subject=subject, title=title, code_digest=self._digest(code),
                    expires_at=expires,
                )
            )  # fmt: skip
            return code

    async def waiting(self, incoming: Incoming) -> list[Waiting]:
        """Who waits for an assistant that the author of `incoming` looks after; its role is the connector's, for the
        joined one is for one assistant."""
        async with self._database.session() as session:
            await admissions.drop_expired(session)
            return [
                self._waiting(request)
                for request in await admissions.waiting(session)
                if await self._looks_after(incoming, request.assistant_id)
            ]

    async def all_waiting(self) -> list[Waiting]:
        """Everybody who waits, for whoever runs the installation."""
        async with self._database.session() as session:
            await admissions.drop_expired(session)
            return [self._waiting(request) for request in await admissions.waiting(session)]

    async def decide(self, word: str, admit: bool, by: str, incoming: Incoming | None = None) -> Decided:
        """Admit or refuse whoever has the code `word`, or number `word` of those waiting. `incoming`: whose word it
        is, where that is not the owner at the machine; its role is the connector's.

        Raises NotFound where nobody waits so, Refused where they do not look after that assistant.
        """
        async with self._database.session() as session:
            row = await self._find(session, word)
            if row is None:
                raise NotFound("Nobody is waiting with that code; each is good for an hour. /admit shows who waits.")
            if incoming is not None and not await self._looks_after(incoming, row.assistant_id):
                raise Refused("That code is for an assistant that you do not look after; ask one of its operators.")
            assistant = await session.get_one(Assistant, row.assistant_id)
            state = "admitted" if admit else "refused"
            changed = row.state != state
            if changed:
                row.state, row.decided_by, row.decided_at, row.expires_at = state, by, now(), None
            return Decided(row.title, row.subject, assistant.name, admit, changed)

    async def _find(self, session: AsyncSession, word: str) -> Admission | None:
        if word.isascii() and word.isdigit() and len(word) <= 9:
            found = await admissions.with_id(session, int(word))
            if found is not None:
                return found
        plain = "".join(word.upper().split()).replace("-", "")
        return await admissions.with_code(session, self._digest(plain)) if plain.isascii() else None

    async def _looks_after(self, incoming: Incoming, assistant_id: int) -> bool:
        return RANK[await self._role(incoming, assistant_id)] >= RANK["operator"]

    def _waiting(self, request: Request) -> Waiting:
        return Waiting(request, self._code(request.assistant_id, request.subject, request.expires_at))

    def _code(self, assistant_id: int, subject: str, expires: datetime) -> str:
        key = bytes.fromhex(self._database.cipher.derive("pairing"))
        said = f"{assistant_id} {subject} {expires.isoformat()}".encode()
        number = int.from_bytes(hmac.new(key, said, hashlib.sha256).digest())
        letters = []
        for _ in range(CODE_LENGTH):
            number, letter = divmod(number, len(ALPHABET))
            letters.append(ALPHABET[letter])
        return "".join(letters)

    def _digest(self, code: str) -> str:
        """With the key, for eight letters alone could be tried through."""
        key = bytes.fromhex(self._database.cipher.derive("pairing digest"))
        return hmac.new(key, code.encode(), hashlib.sha256).hexdigest()


def subject_of(incoming: Incoming) -> str:
    """Who is admitted: the person, and in groups the chat."""
    return incoming.person if incoming.private else incoming.chat


def _title(incoming: Incoming) -> str:
    if incoming.platform == "web":
        return "A visitor of the page"
    name = incoming.author if incoming.private else incoming.title or incoming.chat
    return name.encode("utf-8", "replace").decode()


def shown(code: str) -> str:
    """A code as people read it to each other."""
    return f"{code[:4]}-{code[4:]}"


def with_role(incoming: Incoming, role: Role) -> Incoming:
    """`incoming` as somebody with `role` said it."""
    return incoming if incoming.role == role else replace(incoming, role=role)
