"""Telegram's flood limits, kept: no chat and no bot calls oftener than it may, and a chat that must wait waits alone.

A window counts a call from its beginning until `seconds` after its end, so that it holds whenever the server counts
it; python-telegram-bot's own limiter counts beginnings in a leaking bucket, which lets twice the rate through at
first, and halts every chat when one is told to wait.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine
from contextlib import AsyncExitStack
from dataclasses import dataclass, field
from typing import Any

import structlog
from telegram.error import RetryAfter
from telegram.ext import BaseRateLimiter

COUNTED = ("sendMessage", "editMessageText", "editMessageReplyMarkup", "deleteMessage")
TYPING = "sendChatAction"
BOT_WIDE = 3
"""So many chats that must wait at once mean that the bot must."""
MARGIN = 0.1

log = structlog.get_logger()

Answer = bool | dict[str, Any] | list[dict[str, Any]]


@dataclass(frozen=True, slots=True)
class Rates:
    """Calls in any so many seconds: in all, in one chat, and in one group. Telegram's FAQ allows 30 in a second, one a
    second in a chat with short bursts, and 20 a minute in a group; `speed` is for servers of one's own."""

    overall: int = 28
    burst: int = 3
    burst_seconds: float = 3.0
    group: int = 20
    group_seconds: float = 61.0
    speed: float = 1.0

    def pace(self, group: bool) -> float:
        """Seconds between two edits of a message that grows."""
        return (self.group_seconds / self.group if group else self.burst_seconds / self.burst) / self.speed


RATES = Rates()


class Window:
    """At most `most` calls within any `seconds`; the others wait, first come, first served."""

    def __init__(self, most: int, seconds: float) -> None:
        self.most, self.seconds = most, seconds
        self.waiting = 0
        self.taken = 0
        self._slots = asyncio.Semaphore(most)

    @property
    def full(self) -> bool:
        """Whether the next call would wait."""
        return self._slots.locked()

    async def __aenter__(self) -> None:
        self.waiting += 1
        try:
            await self._slots.acquire()
        finally:
            self.waiting -= 1
        self.taken += 1

    async def __aexit__(self, *_: object) -> None:
        asyncio.get_running_loop().call_later(self.seconds, self._free)

    def _free(self) -> None:
        self.taken -= 1
        self._slots.release()


@dataclass(slots=True)
class _Chat:
    """One chat's windows, and until when it must wait, in the event loop's seconds."""

    windows: list[Window]
    until: float = 0.0
    calls: int = 0

    @property
    def idle(self) -> bool:
        return not self.calls and not any(window.taken for window in self.windows)


@dataclass(slots=True)
class Limits(BaseRateLimiter[int]):
    """One bot's limits. A call waits for as long as it takes; being told to wait is no error."""

    rates: Rates = RATES
    _all: Window = field(init=False)
    _shown: Window = field(init=False)
    """For 'typing', so that it leaves most of what is allowed to words."""
    _until: float = field(init=False, default=0.0)
    _chats: dict[int, _Chat] = field(init=False, default_factory=dict)

    def __post_init__(self) -> None:
        overall = max(4, int(self.rates.overall * self.rates.speed))
        self._all, self._shown = Window(overall, 1.0), Window(overall // 4, 1.0)

    async def initialize(self) -> None:
        """Nothing to do."""

    async def shutdown(self) -> None:
        """Nothing to do."""

    def pace(self, group: bool) -> float:
        """Seconds to leave between two edits now: more, the more calls are waiting."""
        return self.rates.pace(group) + 2 * self._all.waiting / self._all.most

    async def process_request(
        self,
        callback: Callable[..., Coroutine[Any, Any, Answer]],
        args: Any,
        kwargs: dict[str, Any],
        endpoint: str,
        data: dict[str, Any],
        rate_limit_args: int | None,
    ) -> Answer:
        """Make the call when it may be made, again where Telegram says later."""
        chat = data.get("chat_id")
        if endpoint == TYPING:
            return await self._typing(callback, args, kwargs, chat)
        if endpoint not in COUNTED or not isinstance(chat, int):
            return await self._patiently(callback, args, kwargs)
        lane = self._chats.get(chat) or self._chats.setdefault(chat, _Chat(self._windows(chat)))
        lane.calls += 1
        try:
            return await self._in_turn(callback, args, kwargs, chat, lane)
        finally:
            lane.calls -= 1
            self._forget_idle()

    async def _in_turn(
        self, callback: Callable[..., Coroutine[Any, Any, Answer]], args: Any, kwargs: Any, chat: int, lane: _Chat
    ) -> Answer:
        clock = asyncio.get_running_loop().time
        while True:
            await asyncio.sleep(max(0.0, lane.until - clock(), self._until - clock()))
            async with AsyncExitStack() as entered:
                for window in (*lane.windows, self._all):
                    await entered.enter_async_context(window)
                if max(lane.until, self._until) > clock():
                    continue  # it was told to wait while this call waited for its turn
                try:
                    return await callback(*args, **kwargs)
                except RetryAfter as told:
                    self._wait(chat, lane, seconds_of(told))

    def _wait(self, chat: int, lane: _Chat, seconds: float) -> None:
        now = asyncio.get_running_loop().time()
        lane.until = now + seconds + MARGIN
        waiting = sum(one.until > now for one in self._chats.values())
        if waiting >= BOT_WIDE:
            self._until = max(self._until, lane.until)
        log.warning("telegram_flood", chat=chat, seconds=seconds, everywhere=waiting >= BOT_WIDE)

    async def _typing(
        self, callback: Callable[..., Coroutine[Any, Any, Answer]], args: Any, kwargs: Any, chat: Any
    ) -> Answer:
        """Shown only where it delays nothing else."""
        now = asyncio.get_running_loop().time()
        lane = self._chats.get(chat)
        if self._shown.full or self._all.full or self._until > now or (lane is not None and lane.until > now):
            return True
        async with self._shown, self._all:
            return await callback(*args, **kwargs)

    @staticmethod
    async def _patiently(callback: Callable[..., Coroutine[Any, Any, Answer]], args: Any, kwargs: Any) -> Answer:
        while True:
            try:
                return await callback(*args, **kwargs)
            except RetryAfter as told:
                await asyncio.sleep(seconds_of(told) + MARGIN)

    def _windows(self, chat: int) -> list[Window]:
        rates = self.rates
        found = [Window(rates.burst, rates.burst_seconds / rates.speed)]
        if chat < 0:
            found.append(Window(rates.group, rates.group_seconds / rates.speed))
        return found

    def _forget_idle(self) -> None:
        if len(self._chats) > 2048:
            now = asyncio.get_running_loop().time()
            self._chats = {n: one for n, one in self._chats.items() if not one.idle or one.until > now}


def seconds_of(told: RetryAfter) -> float:
    """How long Telegram wants to be left alone."""
    after = told.retry_after
    return float(after) if isinstance(after, int | float) else after.total_seconds()
