"""All that happens to a message, decided once for every platform: for whom, seen before, command or question, in turn.

Promises: a message is logged before it is answered, and before anything of it is shown; the same external id is
answered at most once; answers of a channel come one at a time in the order of their questions; each ends in an answer
or a sentence, then Done. Work goes on when the reader of its events leaves, so that an answer is there when the person
comes back.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Coroutine, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import replace

import structlog

from bots.access import Access
from bots.answering import Answering
from bots.attachments import with_new_words
from bots.call import Call
from bots.commands import Command, asked, find, parse
from bots.consent import Consent
from bots.events import Done, Event, Heard, Notice, Whisper
from bots.incoming import Incoming
from bots.left_behind import LeftBehind
from bots.line import Line
from bots.modes import Modes
from bots.pace import AlreadyTold, Pace
from bots.reception import LONGEST_MESSAGE, Received, Reception, addressed, clean
from bots.seams import Engine, TokenizerSource
from bots.stopping import Stop
from bots.trouble import untold
from config.errors import ParlanceError, Refused
from config.request import working_for
from config.settings import Settings
from config.traces import span
from serving.entrance import Entrance
from store import edits
from store.conversations import COMMANDS, as_now
from store.database import Database
from store.left_behind import begin_command

__all__ = ["LONGEST_MESSAGE", "Conversation"]

TROUBLE = "Something went wrong here, and it has been noted; please try that again."

Show = Callable[[Event], None]

log = structlog.get_logger()


class Conversation:
    """Every channel's conversation. `close` stops what is under way; the next start takes it up again. `entrance` to
    the engine is shared with whatever else answers people; without one, it has its own."""

    def __init__(
        self,
        database: Database,
        settings: Settings,
        engine: Engine,
        tokenizer_source: TokenizerSource,
        pace: Pace | None = None,
        entrance: Entrance | None = None,
    ) -> None:
        self.database = database
        self.settings = settings
        self.engine = engine
        self.access = Access(database)
        self.modes = Modes(database)
        self._tokenizer_source = tokenizer_source
        self._entrance = entrance or Entrance(engine, tokenizer=tokenizer_source)
        self._answering = Answering(database, settings, engine, tokenizer_source, self._entrance)
        self._reception = Reception(database, self.access, pace or Pace())
        self._consent = Consent(database)
        self._lines: dict[str, Line] = {}
        self._work: set[asyncio.Task[None]] = set()
        self._left_behind = LeftBehind(database)

    async def handle(self, incoming: Incoming) -> AsyncIterator[Event]:
        """What to show for `incoming`, as it happens. Nothing at all for what was not said to the assistant; it is
        kept by the end of the iteration, where this channel is one that it reads along.

        The first event comes once the message is committed, or is the end of one that is not kept."""
        for_us = addressed(incoming)
        if not for_us:
            mode = await self.modes.of(incoming.channel, incoming.parent)
            if mode == "mentions":
                return
            if mode == "listen" or asked(incoming) is not None:  # the latter are commands to another bot
                with self._line(incoming.channel) as line:
                    async with line.arriving:
                        await self._reception.overhear(incoming)
                return
        silent = not for_us
        async for event in self._follow(lambda show: self._take(incoming, show, for_us=for_us)):
            silent = silent and isinstance(event, Done)
            if not silent:
                yield event

    async def greeting(self, incoming: Incoming) -> AsyncIterator[Event]:
        """What to show when the assistant was added to a chat: who it is, and how to address it."""
        async for event in self.handle(replace(incoming, text="/start", mentioned=True)):
            yield event

    async def edited(self, channel: str, external_id: str, text: str) -> None:
        """Its author changed a message: what is kept and remembered of it changes. An answer to it stays as it is."""
        words = clean(text)[:LONGEST_MESSAGE]
        if words:
            async with self.database.session() as session:
                await edits.edit_heard(session, channel, external_id, lambda kept: with_new_words(kept, words))

    async def deleted(self, channel: str, external_ids: Sequence[str]) -> None:
        """These messages are gone from the platform: their text is erased, and neither they nor the answers to them
        are remembered."""
        async with self.database.session() as session:
            await edits.erase_heard(session, channel, external_ids)

    async def moved(self, old: str, new: str) -> None:
        """A chat got another id; all that is known of it is known of the other key from now on. Keys of channels."""
        async with self.database.session() as session:
            await edits.move(session, old, new)
        self.modes.forget()

    async def left(self, channel: str) -> None:
        """The assistant was removed from this channel, or from the server with this key."""
        async with self.database.session() as session:
            await edits.leave(session, channel)

    async def prepare(self) -> None:
        """Load what the first answer needs, so that nobody waits for it. Errors show again when somebody asks."""
        with suppress(ParlanceError):
            await self._tokenizer_source()

    async def unanswered(self, account: str) -> list[Incoming]:
        """Questions and commands to `account` that a killed process left behind, oldest first. Call it before `handle`
        and give each to `answer_left`. A question left twice is given up, and its channel's transcript says so. Asked
        again, it gives those that were not taken up yet: all others are in the hands of this process.

        Server roles are not known any more: who is an operator by one of them is so again once the connector has put
        `server_roles` in.
        """
        return await self._left_behind.of(account)

    async def answer_left(self, incoming: Incoming) -> AsyncIterator[Event]:
        """Like `handle`, for a message of `unanswered`: it is logged already."""
        self._left_behind.take_up(incoming)
        async for event in self._follow(lambda show: self._take(incoming, show, left=True)):
            yield event

    async def close(self) -> None:
        """Stop all work; answers under way stay open in the log."""
        for task in self._work:
            task.cancel()
        await asyncio.gather(*self._work, return_exceptions=True)

    async def _follow(self, work: Callable[[Show], Coroutine[None, None, None]]) -> AsyncIterator[Event]:
        """The events of a task that goes on whether or not anybody reads them."""
        events: asyncio.Queue[Event] = asyncio.Queue()
        task = asyncio.create_task(work(events.put_nowait))
        self._work.add(task)
        task.add_done_callback(self._work.discard)
        task.add_done_callback(lambda _: events.put_nowait(Done()))  # also of one that was stopped before it began
        while True:
            event = await events.get()
            yield event
            if isinstance(event, Done):
                return

    def busy(self, channel: str) -> bool:
        """Whether something that was said there is being dealt with."""
        return channel in self._lines

    @contextmanager
    def _line(self, channel: str) -> Iterator[Line]:
        """The channel's line, kept for as long as anybody stands in it."""
        line = self._lines.setdefault(channel, Line())
        line.standing += 1
        try:
            yield line
        finally:
            line.standing -= 1
            if not line.standing:
                del self._lines[channel]

    async def _take(self, incoming: Incoming, show: Show, *, for_us: bool = True, left: bool = False) -> None:
        with (
            working_for("chat") as request,
            span("message", request=request.id, platform=incoming.platform),
            self._line(incoming.channel) as line,
        ):
            try:
                await self._carry_out(incoming, line, show, for_us, left)
            except AlreadyTold:
                log.debug("refused_again", channel=incoming.channel)
            except ParlanceError as error:
                log.info("refused", channel=incoming.channel, kind=type(error).__name__)  # the sentence may quote them
                show(Whisper(str(error)) if incoming.pressed else Notice(str(error), "warning"))
            except Exception:
                log.exception("message_failed", channel=incoming.channel)
                show(Notice(TROUBLE, "warning"))
            finally:
                show(Done())

    async def _carry_out(self, incoming: Incoming, line: Line, show: Show, for_us: bool, left: bool) -> None:
        async with line.arriving:
            received = await self._received(incoming, for_us, left)
            if received is None:
                return
            if received.refusal is not None:
                await self._run(*_command(received), received, line, Stop(), show)
                raise received.refusal
            asked = received.message.state in COMMANDS
            show(Heard(received.message.id, command=asked))
            for notice in received.notices:
                show(Notice(notice))
            command, words = _command(received) if asked else (None, ())
            if command is not None and left:
                if command.killed == "drop":
                    return
                words = self._left_behind.words_again(command, words, received.message)
            if command is not None and command.in_turn:
                line.stop()
            waits = line.taken
            ticket = line.ticket() if command is None or command.in_turn else None
        if ticket is None and command is not None:
            await self._run(command, words, received, line, Stop(), show)
            await self._tell_of_trouble(received, show)
        elif ticket is not None:
            async with line.turn(ticket) as stop:
                fresh = await self._fresh(received) if waits else received
                if fresh is None:
                    return
                if command is not None:
                    await self._run(command, words, fresh, line, stop, show)
                elif fresh.message.state == "said":  # and not deleted while it waited
                    await self._answering.answer(fresh.channel, fresh.message, stop, show)
                    asking = await self._consent.notice(fresh.incoming, fresh.channel)
                    if asking is not None:
                        show(asking)
                await self._tell_of_trouble(fresh, show)

    async def _tell_of_trouble(self, received: Received, show: Show) -> None:
        if received.incoming.role != "member":
            for card in await untold(self.database, received.channel):
                show(card)

    async def _received(self, incoming: Incoming, for_us: bool, left: bool) -> Received | None:
        if left:
            return await self._reception.look_up(incoming)
        if for_us:
            return await self._reception.receive(incoming)
        return await self._reception.overhear(incoming, to_answer=True)

    async def _run(
        self, command: Command, words: tuple[str, ...], received: Received, line: Line, stop: Stop, show: Show
    ) -> None:
        if command.killed != "repeat" and received.message.state == "command" and received.refusal is None:
            async with self.database.session() as session:
                await begin_command(session, received.message.id)
        await command.run(
            Call(
                received.incoming, received.known, received.channel, received.message, words, self.database,
                self.settings, self.engine, self.access, self.modes, line, stop, show, self._answering.answer,
                self._tokenizer_source, self._entrance,
            )
        )  # fmt: skip

    async def _fresh(self, received: Received) -> Received | None:
        """As it is now, for much may have changed while it waited for its turn; None where it was forgotten."""
        found = await as_now(self.database, received.channel.id, received.message.id)
        return None if found is None else replace(received, channel=found[0], message=found[1])


def _command(received: Received) -> tuple[Command, tuple[str, ...]]:
    """Raises ParlanceError where there is no such command, or not for them."""
    parsed = parse(received.message.text)
    if parsed is None:
        raise Refused("That command was deleted before it could be carried out.")
    return find(*parsed, received.incoming.role), parsed[1]
