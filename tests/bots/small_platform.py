"""A platform of one channel in memory: it keeps what is sent, refuses what platforms refuse, and can be broken off."""

from __future__ import annotations

import asyncio
import itertools
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

from bots.events import Button
from bots.markup.splitting import split
from bots.outlet import ChannelGone, FormattingRefused, MessageGone, Part


class Killed(BaseException):
    """The process is gone at this very moment."""


@dataclass
class Posted:
    """One message as people see it. `history` is every state it was in."""

    part: Part
    buttons: tuple[Button, ...] = ()
    reply_to: str | None = None
    nonce: str = ""
    history: list[Part] = field(default_factory=list)

    @property
    def text(self) -> str:
        return self.part.text


@dataclass
class SmallPlatform:
    """An Outlet. `refuses` says which formatted parts it will not take; `at` is called before every call with its
    name and may raise; `after` likewise once the platform has acted."""

    limit: int = 200
    pace: float = 0.0
    remembers_nonces: bool = True
    finds: bool = True
    whispers: bool = True
    refuses: Callable[[str], bool] = lambda text: False
    at: Callable[[str], None] = lambda call: None
    after: Callable[[str], None] = lambda call: None
    gone: bool = False
    messages: dict[str, Posted] = field(default_factory=dict)
    whispered: list[str] = field(default_factory=list)
    calls: list[str] = field(default_factory=list)
    changed: asyncio.Condition = field(default_factory=asyncio.Condition)
    _ids: itertools.count[int] = field(default_factory=lambda: itertools.count(100))

    @property
    def texts(self) -> list[str]:
        return [message.text for message in self.messages.values()]

    async def until(self, condition: Callable[[], object]) -> None:
        """Wait for something to be seen."""
        async with asyncio.timeout(30), self.changed:
            await self.changed.wait_for(lambda: bool(condition()))

    async def _call(self, name: str) -> None:
        await asyncio.sleep(0)
        self.at(name)
        self.calls.append(name)
        if self.gone:
            raise ChannelGone

    async def _done(self, name: str) -> None:
        async with self.changed:
            self.changed.notify_all()
        self.after(name)

    def _check(self, part: Part) -> None:
        assert part.text.strip() and len(part.text) <= self.limit
        if not part.plain and self.refuses(part.text):
            raise FormattingRefused

    def split(self, markdown: str) -> list[Part]:
        return [Part(piece.text) for piece in split(markdown, self.limit)]

    async def send(self, part: Part, *, nonce: str, reply_to: str | None = None, buttons: Sequence[Button] = ()) -> str:
        await self._call("send")
        self._check(part)
        same = [key for key, message in self.messages.items() if message.nonce == nonce]
        if same and self.remembers_nonces:
            return same[0]
        external_id = str(next(self._ids))
        self.messages[external_id] = Posted(part, tuple(buttons), reply_to, nonce, [part])
        await self._done("send")
        return external_id

    async def edit(self, external_id: str, part: Part, *, buttons: Sequence[Button] = ()) -> None:
        await self._call("edit")
        if external_id not in self.messages:
            raise MessageGone
        self._check(part)
        message = self.messages[external_id]
        message.part, message.buttons = part, tuple(buttons)
        message.history.append(part)
        await self._done("edit")

    async def delete(self, external_id: str) -> None:
        await self._call("delete")
        self.messages.pop(external_id, None)
        await self._done("delete")

    async def typing(self) -> None:
        await asyncio.sleep(0)
        self.calls.append("typing")
        await self._done("typing")

    async def whisper(self, text: str) -> bool:
        await self._call("whisper")
        if self.whispers:
            self.whispered.append(text)
        return self.whispers

    async def find_sent(self, nonce: str, after: str | None) -> str | None:
        await self._call("find_sent")
        found = [key for key, message in self.messages.items() if message.nonce == nonce]
        return found[0] if found and self.finds else None
