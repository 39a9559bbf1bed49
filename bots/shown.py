"""One thing that is shown in a channel, an answer, a notice or a card, in as many messages as it takes.

Promises: each message has its row in `deliveries` before it is sent and its name there after; what an earlier process
sent is edited, never sent again; a message is touched only where it has to look different. Knows nothing of
conversations or of time.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from typing import TypeVar

import structlog

from bots.events import Button
from bots.outlet import FormattingRefused, MessageGone, Outlet, Part
from store.database import Database
from store.deliveries import (
    begin_anew,
    deliveries_of,
    drop_delivery,
    find_deliveries,
    find_delivery,
    name_delivery,
    nonce,
    nonce_of,
    note_delivery,
    rename_delivery,
)
from store.tables import Delivery

MOST_PARTS = 32
"""Messages of a card or notice that are looked for; an answer's are found by its id, however many they are."""

Result = TypeVar("Result")

log = structlog.get_logger()


@dataclass(frozen=True, slots=True)
class Spot:
    """Where something is shown. `channel_id` is None for a channel that nothing may be kept of: then a nonce is all
    that keeps a message from being sent twice. `reply_to` holds for the first message, `after` is a message older
    than all that is shown."""

    channel_key: str
    channel_id: int | None
    reply_to: str | None = None
    after: str | None = None


@dataclass(slots=True)
class _Message:
    """`part` and `buttons` are what it shows, None where an earlier process sent it and nobody knows."""

    row: Delivery | None
    external_id: str | None = None
    part: Part | None = None
    buttons: tuple[Button, ...] = ()


class Shown:
    """`key` is `answer:ID`, `card:KEY` or `notice:…`, the same after a restart."""

    def __init__(self, database: Database, outlet: Outlet, spot: Spot, key: str, answer_id: int | None = None) -> None:
        self._database = database
        self._outlet = outlet
        self._spot = spot
        self._key = key
        self._answer_id = answer_id
        self._messages: list[_Message] = []
        self._stale: list[str] = []

    def stands_in(self, external_id: str | None) -> bool:
        """Whether this is one of its messages."""
        return external_id is not None and any(message.external_id == external_id for message in self._messages)

    def _key_of(self, number: int) -> str:
        return f"{self._key}:{number}" if self._answer_id is not None or number else self._key

    async def take_up(self) -> None:
        """Go on with the messages that an earlier process, or an earlier message's presenter, has noted."""
        if self._spot.channel_id is None:
            return
        if self._answer_id is not None:
            rows = await deliveries_of(self._database, self._answer_id)
        else:
            keys = [self._key_of(number) for number in range(MOST_PARTS)]
            rows = list((await find_deliveries(self._database, self._spot.channel_id, keys)).values())
        self._messages = [_Message(row, row.external_id) for row in rows]

    async def move_down(self) -> None:
        """Show it in new messages; those it had are deleted once the new ones are there."""
        for number, message in enumerate(self._messages):
            if message.external_id is None:
                await self._look_for(number, message)
        async with self._database.session() as session:
            for number, message in enumerate(self._messages):
                if message.external_id is not None:
                    self._stale.append(message.external_id)
                if message.row is not None and number:
                    await drop_delivery(session, message.row)
                elif message.row is not None:
                    message.row = await begin_anew(session, message.row)
        self._messages = [_Message(self._messages[0].row, None, Part(""))] if self._messages else []

    async def take_place_of(self, other: Shown) -> None:
        """The other's first message becomes ours, where we have none yet; what else it had is deleted."""
        if not self._messages and other._messages:
            message = other._messages.pop(0)
            if message.row is not None:
                async with self._database.session() as session:
                    await rename_delivery(session, message.row, self._key_of(0), self._answer_id)
            self._messages.append(message)
        await other.show([])

    async def edit_shown(self, external_id: str, part: Part) -> None:
        """Show this part in a message that is known by its id, without buttons. Raises MessageGone, ChannelGone."""
        await _formatted(part, lambda this: self._outlet.edit(external_id, this))

    async def still_ours(self) -> bool:
        """Whether no later message shows it elsewhere."""
        if self._spot.channel_id is None or not self._messages:
            return True
        async with self._database.session() as session:
            row = await find_delivery(session, self._spot.channel_id, self._key_of(0))
        return row is not None and row.external_id == self._messages[0].external_id

    async def show(self, parts: Sequence[Part], buttons: Sequence[Button] = ()) -> None:
        """Bring the channel to show exactly these parts, the buttons under the last. Raises ChannelGone."""
        for number, part in enumerate(parts):
            await self._bring(number, part, tuple(buttons) if number == len(parts) - 1 else ())
        while len(self._messages) > len(parts):
            message = self._messages.pop()
            if message.external_id is not None:
                await self._outlet.delete(message.external_id)
            if message.row is not None:
                async with self._database.session() as session:
                    await drop_delivery(session, message.row)
        while self._stale:
            await self._outlet.delete(self._stale.pop())

    async def _bring(self, number: int, part: Part, buttons: tuple[Button, ...]) -> None:
        if number == len(self._messages):
            self._messages.append(await self._noted(number))
        message = self._messages[number]
        if message.external_id is None and message.part is None:
            await self._look_for(number, message)
        if message.external_id is not None:
            if message.part is not None and _alike(message.part, part) and message.buttons == buttons:
                return
            external_id = message.external_id
            try:
                await _formatted(part, lambda this: self._outlet.edit(external_id, this, buttons=buttons))
            except MessageGone:
                message.external_id = None
                if message.row is not None:
                    async with self._database.session() as session:
                        message.row = await begin_anew(session, message.row)
        if message.external_id is None:
            await self._send(number, message, part, buttons)
        message.part, message.buttons = part, buttons

    async def _noted(self, number: int) -> _Message:
        if self._spot.channel_id is None:
            return _Message(None, None, Part(""))
        async with self._database.session() as session:
            row = await note_delivery(session, self._spot.channel_id, self._key_of(number), self._answer_id)
        return _Message(row, None, Part(""))

    async def _look_for(self, number: int, message: _Message) -> None:
        """Find out whether an earlier process sent it and was killed before it could say so."""
        after = self._messages[number - 1].external_id if number else self._spot.after
        message.external_id = await self._outlet.find_sent(self._nonce(number, message), after)
        if message.external_id is not None:
            await self._name(message, message.external_id)

    async def _send(self, number: int, message: _Message, part: Part, buttons: tuple[Button, ...]) -> None:
        reply_to = self._spot.reply_to if number == 0 else None
        this_one = self._nonce(number, message)
        message.external_id = await _formatted(
            part, lambda this: self._outlet.send(this, nonce=this_one, reply_to=reply_to, buttons=buttons)
        )
        await self._name(message, message.external_id)

    async def _name(self, message: _Message, external_id: str) -> None:
        if message.row is not None:
            async with self._database.session() as session:
                await name_delivery(session, message.row, external_id)

    def _nonce(self, number: int, message: _Message) -> str:
        if message.row is not None:
            return nonce(message.row)
        return nonce_of(self._spot.channel_key, self._spot.after or "", self._key_of(number))


def _alike(one: Part, other: Part) -> bool:
    """Whether they look the same: platforms show no space at the ends."""
    return one.plain == other.plain and one.text.strip() == other.text.strip()


async def _formatted(part: Part, call: Callable[[Part], Awaitable[Result]]) -> Result:
    """The call with the part as it is, or plain where its formatting is refused."""
    try:
        return await call(part)
    except FormattingRefused as refused:
        if part.plain:
            raise
        log.warning("formatting_refused", reason=type(refused).__name__, characters=len(part.text))
        return await call(Part(part.text, plain=True))
