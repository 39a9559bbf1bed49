"""What happens to a message before it is answered: who says it, whether they may, how fast, its files, and the log.

Promises: of what may not be said, or was not said to the assistant, nothing is kept; what is taken was committed when
this returns; the same message twice is taken once. Knows nothing of answers.
"""

from __future__ import annotations

from collections import OrderedDict
from dataclasses import dataclass

from bots.access import Access, Standing, with_role
from bots.attachments import Files, read_files
from bots.commands import Command, asked, named
from bots.incoming import Incoming, Role
from bots.pace import Pace
from config.errors import BadInput, ParlanceError, Refused
from serving.router import NOWHERE
from store.conversations import HeardAs, find_channel, find_heard, log_heard, open_channel
from store.database import Database
from store.people import is_noted, note_person
from store.tables import Channel, Message

LONGEST_MESSAGE = 8_000
"""Characters."""
TURNED_AWAY_KEPT = 5_000
NEVER_LIMITED = "stop"
OWN_PACE = "web"
"""The page bounds its visitors itself, before their words get this far."""
NO_BUTTON = "That button does nothing any more; write what you want instead."


@dataclass(frozen=True, slots=True)
class Received:
    """A message that was taken. `incoming.role` is the joined role, `known` what the connector said. With a `refusal`
    it is a command that anybody may use, of somebody who was not admitted: nothing was kept, channel and message are
    of no session, and the refusal is to be told after it. `notices` are on files that could not be read, or not
    whole."""

    incoming: Incoming
    known: Role
    channel: Channel
    message: Message
    refusal: Refused | None = None
    notices: tuple[str, ...] = ()


def addressed(incoming: Incoming) -> bool:
    """Whether it was said to the assistant: in private, by mention or reply, or as a command that there is. Another
    bot's command in a group is not."""
    if incoming.private or incoming.mentioned or incoming.pressed:
        return True
    parsed = asked(incoming)
    return parsed is not None and bool(named(parsed[0]))


class Reception:
    """One for a conversation."""

    def __init__(self, database: Database, access: Access, pace: Pace) -> None:
        self._database = database
        self._access = access
        self._pace = pace
        self._turned_away: OrderedDict[tuple[str, str], None] = OrderedDict()

    async def receive(self, incoming: Incoming) -> Received | None:
        """Take what was said to the assistant; None where it came before.

        Raises ParlanceError with the sentence for its author, AlreadyTold where there is nothing to say.
        """
        key = (incoming.channel, incoming.external_id)
        if key in self._turned_away:
            return None
        try:
            return await self._receive(incoming)
        except ParlanceError:
            self._turned_away[key] = None
            if len(self._turned_away) > TURNED_AWAY_KEPT:
                self._turned_away.popitem(last=False)
            raise

    async def overhear(self, incoming: Incoming, *, to_answer: bool = False) -> Received | None:
        """Keep what was said in a group to others; what was not admitted is not kept. `to_answer` where every message
        here is answered, as long as they do not come too fast; None where this one is not."""
        text = clean(incoming.text)[:LONGEST_MESSAGE]
        standing = await self._access.standing(incoming)
        known, incoming = incoming.role, with_role(incoming, standing.role)
        if not text or standing.assistant is None or not await self._access.admitted(incoming, standing.assistant):
            return None
        if to_answer:
            try:
                self._pace.check(incoming.person, incoming.channel)
            except Refused:
                to_answer = False
        logged = await self._log(incoming, text, "said" if to_answer else "overheard")
        return Received(incoming, known, *logged) if to_answer and logged is not None else None

    async def look_up(self, incoming: Incoming) -> Received | None:
        """What was taken by an earlier process, with the roles that its author has now."""
        async with self._database.session() as session:
            found = await find_heard(session, incoming.channel, incoming.external_id)
        if found is None:
            return None
        standing = await self._access.standing(incoming)
        return Received(with_role(incoming, standing.role), incoming.role, *found)

    async def _receive(self, incoming: Incoming) -> Received | None:
        text = clean(incoming.text)
        if len(text) > LONGEST_MESSAGE:
            raise BadInput(
                f"That message has {len(text):,} characters, and I can take {LONGEST_MESSAGE:,}; "
                "send the part that matters most."
            )
        parsed = asked(incoming)
        commands = named(parsed[0]) if parsed is not None else ()
        if incoming.pressed and not commands:
            raise BadInput(NO_BUTTON)
        too_fast = self._too_fast(incoming, commands)
        if too_fast is not None and not commands:
            raise too_fast
        standing = await self._access.standing(incoming)
        known, incoming = incoming.role, with_role(incoming, standing.role)
        if too_fast is not None and not incoming.may("operator"):
            raise too_fast
        if standing.assistant is None and parsed is None:
            raise Refused(NOWHERE)
        refusal = await self._refusal(incoming, standing)
        if refusal is not None:
            if not any(command.always for command in commands):
                raise refusal
            return Received(incoming, known, *await self._unkept(incoming, text), refusal)
        if parsed is not None:
            logged = await self._log(incoming, text, "command")
            return None if logged is None else Received(incoming, known, *logged)
        files = await self._files(incoming, text)
        logged = await self._log(incoming, (text + files.text).strip(), "said")
        return None if logged is None else Received(incoming, known, *logged, notices=files.notices)

    def _too_fast(self, incoming: Incoming, commands: tuple[Command, ...]) -> Refused | None:
        if incoming.platform == OWN_PACE or any(command.name == NEVER_LIMITED for command in commands):
            return None
        try:
            self._pace.check(incoming.person, incoming.channel)
        except Refused as refused:
            return refused
        return None

    async def _refusal(self, incoming: Incoming, standing: Standing) -> Refused | None:
        try:
            if standing.assistant is not None:
                await self._access.admit(incoming, standing.assistant)
        except Refused as refused:
            return refused
        return None

    async def _files(self, incoming: Incoming, text: str) -> Files:
        """What came with it. Raises BadInput where there is nothing to answer."""
        if not incoming.attachments:
            if not text:
                raise BadInput("There was nothing in that message that I can read; write it in words.")
            return Files()
        async with self._database.session() as session:
            if await find_heard(session, incoming.channel, incoming.external_id) is not None:
                return Files()  # it came before, so nothing need be fetched
        files = await read_files(incoming.attachments)
        if not text and not files.text:
            raise BadInput(" ".join(files.notices))
        return files

    async def _log(self, incoming: Incoming, text: str, state: HeardAs) -> tuple[Channel, Message] | None:
        author = clean(incoming.author)
        noted = await is_noted(self._database, incoming.person, author, incoming.username)
        async with self._database.session() as session:
            channel = await open_channel(
                session, incoming.channel, incoming.account, incoming.parent, incoming.server, incoming.private,
                None if incoming.title is None else clean(incoming.title),
            )  # fmt: skip
            message = await log_heard(
                session, channel, incoming.external_id, author, text, state=state, author_key=incoming.person,
                reply_to=incoming.reply_to, forwarded=incoming.forwarded,
            )  # fmt: skip
            if message is None:
                return None
            if not noted:
                await note_person(session, incoming.person, author, incoming.username)
        return channel, message

    async def _unkept(self, incoming: Incoming, text: str) -> tuple[Channel, Message]:
        """What a command needs to be carried out without being kept."""
        async with self._database.session() as session:
            channel = await find_channel(session, incoming.channel)
        if channel is None:
            channel = Channel(
                id=0, key=incoming.channel, account=incoming.account, parent_key=incoming.parent,
                server_key=incoming.server, private=incoming.private, answers="mentions", learning=True, present=True,
                memory_after=0,
            )  # fmt: skip
        return channel, Message(id=0, channel_id=channel.id, role="user", state="command", text=text, author="")


def clean(text: str) -> str:
    """Without what no database can hold."""
    return text.encode("utf-8", "replace").decode().replace("\0", "").strip()
