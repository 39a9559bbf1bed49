"""All that happens to a message, decided once for every platform: for whom, seen before, command or question, in turn.

Promises: a message is logged before it is answered; the same external id is answered at most once; answers of a
channel come one at a time in the order of their questions; each ends in an answer or a sentence, then Done. Work goes
on when the reader of its events leaves, so that an answer is there when the person comes back.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Coroutine
from contextlib import suppress

import structlog

from bots.answering import Answering
from bots.call import Call
from bots.commands import Command, find, parse
from bots.events import Done, Event, Heard, Notice
from bots.incoming import Incoming
from bots.line import Line
from bots.seams import Engine, TokenizerSource
from bots.stopping import Stop
from config.errors import BadInput, ParlanceError
from config.settings import Settings
from store.conversations import find_heard, left_unanswered, log_heard, open_channel
from store.database import Database
from store.tables import Channel, Message

LONGEST_MESSAGE = 8_000
"""Characters."""
TROUBLE = "Something went wrong here, and it has been noted; please try that again."

Show = Callable[[Event], None]

log = structlog.get_logger()


class Conversation:
    """Every channel's conversation. `close` stops what is under way; the next start takes it up again."""

    def __init__(
        self, database: Database, settings: Settings, engine: Engine, tokenizer_source: TokenizerSource
    ) -> None:
        self.database = database
        self.settings = settings
        self.engine = engine
        self._tokenizer_source = tokenizer_source
        self._answering = Answering(database, settings, engine, tokenizer_source)
        self._lines: dict[str, Line] = {}
        self._work: set[asyncio.Task[None]] = set()

    async def handle(self, incoming: Incoming) -> AsyncIterator[Event]:
        """What to show for `incoming`, as it happens. Nothing at all for what was not said to the assistant."""
        if incoming.for_us:
            async for event in self._follow(lambda show: self._take(incoming, show)):
                yield event

    async def prepare(self) -> None:
        """Load what the first answer needs, so that nobody waits for it. Errors show again when somebody asks."""
        with suppress(ParlanceError):
            await self._tokenizer_source()

    async def unanswered(self, account: str) -> list[Incoming]:
        """Questions to `account` that a killed process left behind, oldest first. Call once at the start, before
        `handle`; give each to `answer_left`. One left twice is given up, and its channel's transcript says so."""
        async with self.database.session() as session:
            left = await left_unanswered(session, account)
        return [
            Incoming(
                channel.account, channel.key, "", message.author, "member", message.text, message.external_id or "",
                parent=channel.parent_key, server=channel.server_key, private=channel.private, mentioned=True,
            )
            for channel, message in left
        ]  # fmt: skip

    async def answer_left(self, incoming: Incoming) -> AsyncIterator[Event]:
        """Like `handle`, for a message of `unanswered`: it is logged already."""
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
        while True:
            event = await events.get()
            yield event
            if isinstance(event, Done):
                return

    async def _take(self, incoming: Incoming, show: Show, *, left: bool = False) -> None:
        line = self._lines.setdefault(incoming.channel, Line())
        try:
            async with line.arriving:
                logged = await (self._look_up(incoming) if left else self._log(incoming))
                if logged is None:
                    return
                channel, message = logged
                parsed = parse(message.text)
                show(Heard(message.id, command=parsed is not None))
                command = None if parsed is None else find(*parsed, incoming.role)
                if command is not None and command.in_turn:
                    line.stop()
                ticket = line.ticket() if command is None or command.in_turn else None
            words = parsed[1] if parsed else ()
            if ticket is None and command is not None:
                await self._run(command, words, incoming, channel, line, Stop(), show)
            elif ticket is not None:
                async with line.turn(ticket) as stop:
                    channel = await self._fresh(channel)
                    if command is not None:
                        await self._run(command, words, incoming, channel, line, stop, show)
                    else:
                        await self._answering.answer(channel, message, stop, show)
        except ParlanceError as error:
            log.info("refused", channel=incoming.channel, kind=type(error).__name__)  # the sentence may quote them
            show(Notice(str(error), "warning"))
        except Exception:
            log.exception("message_failed", channel=incoming.channel)
            show(Notice(TROUBLE, "warning"))
        finally:
            show(Done())
            if line.idle and self._lines.get(incoming.channel) is line:
                del self._lines[incoming.channel]

    async def _run(
        self,
        command: Command,
        words: tuple[str, ...],
        incoming: Incoming,
        channel: Channel,
        line: Line,
        stop: Stop,
        show: Show,
    ) -> None:
        await command.run(
            Call(
                incoming, channel, words, self.database, self.settings, self.engine, line, stop, show,
                self._answering.answer, self._tokenizer_source,
            )
        )  # fmt: skip

    async def _log(self, incoming: Incoming) -> tuple[Channel, Message] | None:
        """Log it; None where it was seen before. Raises BadInput for what cannot be answered."""
        text = incoming.text.encode("utf-8", "replace").decode().strip()
        if not text:
            raise BadInput("There was nothing in that message that I can read; write it in words.")
        if len(text) > LONGEST_MESSAGE:
            raise BadInput(
                f"That message has {len(text):,} characters, and I can take {LONGEST_MESSAGE:,}; "
                "send the part that matters most."
            )
        async with self.database.session() as session:
            channel = await open_channel(
                session, incoming.channel, incoming.account, incoming.parent, incoming.server, incoming.private
            )
            author = incoming.author.encode("utf-8", "replace").decode()
            message = await log_heard(
                session, channel, incoming.external_id, author, text, command=parse(text) is not None
            )
        return None if message is None else (channel, message)

    async def _look_up(self, incoming: Incoming) -> tuple[Channel, Message] | None:
        async with self.database.session() as session:
            return await find_heard(session, incoming.channel, incoming.external_id)

    async def _fresh(self, channel: Channel) -> Channel:
        async with self.database.session() as session:
            return await session.get_one(Channel, channel.id)
