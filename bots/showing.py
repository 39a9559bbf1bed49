"""The events of one message, shown on one outlet as they come: what grows is edited at the outlet's pace, all else is
shown in its order. Knows no platform; all state is of this one message.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from dataclasses import dataclass, field

import structlog

from bots.answer_order import AnswerOrder, Turn
from bots.card_text import card_markdown
from bots.events import Answer, Card, Done, Event, Heard, Moved, Notice, Removed, Said, Whisper
from bots.incoming import Incoming
from bots.outlet import MessageGone, Outlet
from bots.parts import answer_parts, growing_parts, sentence_parts
from bots.shown import Shown, Spot
from store.database import Database
from store.deliveries import asked_as, channel_id, deliveries_of, mark_delivered, state_of
from store.tables import Message

TYPING_EVERY = 4.0
"""Seconds; shorter than any platform shows it."""
TYPING_AFTER = 1.0
"""Seconds until a command that has shown nothing yet counts as work."""
HOLD = 0.4
"""Seconds for which the first pieces are gathered: what a phone announces is then more than half a word, and a short
answer is one message that is never edited."""

log = structlog.get_logger()


@dataclass(slots=True)
class _Growing:
    """Something that changes while it is shown. `due`: when it may be shown again, in the event loop's seconds."""

    shown: Shown
    due: float
    parts_of: str = ""
    card: Card | None = None
    changed: bool = False


@dataclass(slots=True)
class _Message:
    """What is known of the message whose events are shown."""

    heard: int | None = None
    command: bool = False
    done: bool = False
    notices: int = 0
    replied: bool = False
    passing: Shown | None = None
    answers: dict[int, _Growing] = field(default_factory=dict)
    cards: dict[str, _Growing] = field(default_factory=dict)


class Showing:
    """One message's events on one outlet."""

    def __init__(self, database: Database, incoming: Incoming, outlet: Outlet, order: AnswerOrder) -> None:
        self._database = database
        self._incoming = incoming
        self._outlet = outlet
        self._order = order
        self._turns: dict[int, Turn] = {}
        self._message = _Message()
        self._inbox: list[Event] = []
        self._news = asyncio.Event()
        self._heard = asyncio.Event()
        self._channel: int | None = None

    async def run(self, events: AsyncIterator[Event]) -> None:
        """Returns when the last event has arrived. Raises ChannelGone, and what the outlet cannot explain."""
        reading = asyncio.create_task(self._read(events))
        typing = asyncio.create_task(self._type())
        try:
            while True:
                ended = reading.done()
                self._news.clear()
                arrived, self._inbox = self._inbox, []
                for event in arrived:
                    await self._take(event, typing)
                due = await self._show_changed(typing, everything=ended)
                if ended and not self._inbox:
                    break
                await self._until(due)
            reading.result()
        finally:
            for task in (reading, typing):
                task.cancel()
            await asyncio.gather(reading, typing, return_exceptions=True)
            for turn in self._turns.values():
                self._order.end(turn)
        if self._message.done and self._message.command and self._message.heard is not None:
            await self._delivered(self._message.heard)

    async def _read(self, events: AsyncIterator[Event]) -> None:
        try:
            async for event in events:
                answer_id = event.message_id if isinstance(event, Said | Answer | Notice) else None
                if answer_id is not None and answer_id not in self._turns:
                    self._turns[answer_id] = self._order.begin(self._incoming.channel, self)
                self._inbox.append(event)
                self._news.set()
        finally:
            self._news.set()

    async def _until(self, due: float | None) -> None:
        """Until there is news, or something may be shown again."""
        try:
            async with asyncio.timeout_at(due):
                await self._news.wait()
        except TimeoutError:
            return

    async def _type(self) -> None:
        await self._heard.wait()
        if self._message.command:
            await asyncio.sleep(TYPING_AFTER)
        while True:
            await self._outlet.typing()
            await asyncio.sleep(TYPING_EVERY)

    async def _take(self, event: Event, typing: asyncio.Task[None]) -> None:
        if self._message.command and not isinstance(event, Heard | Said):
            typing.cancel()  # after a question it goes on until the answer begins
        match event:
            case Heard():
                self._message.heard, self._message.command = event.message_id, event.command
                self._heard.set()
            case Said():
                growing = await self._answer(event.message_id)
                growing.parts_of += event.text
                growing.changed = True
            case Answer():
                typing.cancel()
                await self._finish(event)
            case Notice() if event.message_id is not None:
                typing.cancel()
                await self._stand_in(event.message_id, event.text)
            case Notice():
                if event.passing:  # else what was said before it, shown late, would take it away
                    await self._show_changed(typing, everything=True)
                await self._notice(event.text, passing=event.passing)
            case Whisper():
                if not await self._outlet.whisper(event.text):
                    await self._notice(event.text)
            case Card():
                await self._card(event)
            case Moved():
                await self._notice(f"{event.assistant} answers here from now on.")
            case Removed():
                for message_id in event.message_ids:
                    await self._without_buttons(message_id)
            case Done():
                self._message.done = True

    async def _show_changed(self, typing: asyncio.Task[None], *, everything: bool) -> float | None:
        """Show what has changed and may be shown by now; gives when the next may be."""
        later: list[float] = []
        clock = asyncio.get_running_loop().time
        for growing in (*self._message.answers.values(), *self._message.cards.values()):
            if not growing.changed:
                continue
            if not everything and growing.due > clock():
                later.append(growing.due)
            elif growing.card is not None:
                if await growing.shown.still_ours():
                    await self._show_card(growing, growing.card)
                growing.changed = False
            elif growing.parts_of.strip():
                typing.cancel()
                await self._begin(growing)
                await growing.shown.show(growing_parts(self._outlet, growing.parts_of))
                growing.due, growing.changed = clock() + self._outlet.pace, False
        return min(later, default=None)

    # answers

    async def _answer(self, answer_id: int) -> _Growing:
        growing = self._message.answers.get(answer_id)
        if growing is None:
            await self._order.comes(self._turns[answer_id])
            asked = await asked_as(self._database, answer_id)
            spot = await self._spot(reply_to=asked or self._incoming.external_id)
            shown = Shown(self._database, self._outlet, spot, f"answer:{answer_id}", answer_id)
            await shown.take_up()
            growing = _Growing(shown, asyncio.get_running_loop().time() + HOLD)
            self._message.answers[answer_id] = growing
        return growing

    async def _begin(self, growing: _Growing) -> None:
        """A passing notice makes way."""
        if self._message.passing is not None:
            passing, self._message.passing = self._message.passing, None
            await growing.shown.take_place_of(passing)

    async def _finish(self, event: Answer) -> None:
        growing = await self._answer(event.message_id)
        await self._begin(growing)
        parts = answer_parts(self._outlet, event.text, cut=event.cut)
        state = await state_of(self._database, event.message_id)
        undone = state in (None, "undone")  # meanwhile, by somebody else's message
        await growing.shown.show(parts, () if undone else event.buttons)
        growing.changed = False
        await self._delivered(event.message_id)

    async def _stand_in(self, answer_id: int, sentence: str) -> None:
        """A sentence in place of the answer."""
        growing = await self._answer(answer_id)
        await self._begin(growing)
        await growing.shown.show(sentence_parts(self._outlet, sentence))
        growing.changed = False
        await self._delivered(answer_id)

    async def _without_buttons(self, message_id: int) -> None:
        """An answer that no longer counts keeps its text and loses its buttons."""
        async with self._database.session() as session:
            answer = await session.get(Message, message_id)
        rows = await deliveries_of(self._database, message_id)
        if answer is None or answer.version is None or not rows:
            return
        parts = self._outlet.split(answer.text)
        last = rows[-1].external_id
        if last is None or len(parts) != len(rows):
            return
        spot = await self._spot(reply_to=None)
        shown = Shown(self._database, self._outlet, spot, f"answer:{message_id}", message_id)
        try:
            await shown.edit_shown(last, parts[-1])
        except MessageGone:
            log.info("message_gone", channel=self._incoming.channel)

    # all else

    async def _notice(self, sentence: str, *, passing: bool = False) -> None:
        number = self._message.heard if self._message.heard is not None else f"x{self._incoming.external_id}"
        spot = await self._spot(reply_to=self._once())
        shown = Shown(self._database, self._outlet, spot, f"notice:{number}:{self._message.notices}")
        self._message.notices += 1
        await shown.take_up()
        if self._message.passing is not None:
            before, self._message.passing = self._message.passing, None
            await shown.take_place_of(before)
        await shown.show(sentence_parts(self._outlet, sentence))
        if passing:
            self._message.passing = shown

    async def _card(self, card: Card) -> None:
        growing = self._message.cards.get(card.key)
        if growing is not None:
            growing.changed = growing.changed or card != growing.card
            growing.card = card
            return
        spot = await self._spot(reply_to=self._once())
        shown = Shown(self._database, self._outlet, spot, f"card:{card.key}")
        await shown.take_up()
        if not self._pressed_under(shown):
            await shown.move_down()
        growing = self._message.cards[card.key] = _Growing(shown, 0.0)
        await self._show_card(growing, card)

    async def _show_card(self, growing: _Growing, card: Card) -> None:
        growing.card = card
        await growing.shown.show(self._outlet.split(card_markdown(card)), card.buttons)
        growing.due = asyncio.get_running_loop().time() + self._outlet.pace

    def _pressed_under(self, shown: Shown) -> bool:
        """Whether a button of this very card was pressed: then it changes where it stands. Asked for in words, it is
        shown anew, where the asker looks."""
        return self._incoming.pressed and shown.stands_in(self._incoming.reply_to)

    def _once(self) -> str | None:
        """What the first message shown replies to; those after it stand below it."""
        if self._message.replied or self._incoming.pressed:
            return None
        self._message.replied = True
        return self._incoming.external_id

    async def _spot(self, *, reply_to: str | None) -> Spot:
        if self._channel is None:
            self._channel = await channel_id(self._database, self._incoming.channel)
        incoming = self._incoming
        after = reply_to or (incoming.reply_to if incoming.pressed else incoming.external_id)
        return Spot(incoming.channel, self._channel, None if incoming.private else reply_to, after)

    async def _delivered(self, message_id: int) -> None:
        async with self._database.session() as session:
            await mark_delivered(session, message_id)
        if message_id in self._turns:
            self._order.end(self._turns[message_id])
