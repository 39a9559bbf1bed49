"""Updates asked for, and acknowledged once they are dealt with: the loop of long polling.

Promises: an update is acknowledged only after the task that deals with it is done; one that takes long holds up no
other; whatever goes wrong, the next try comes soon but not at once, and what lasts is said in one sentence.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any

import structlog
from telegram.error import Conflict, InvalidToken, RetryAfter, TelegramError

from bots.accounts import note_trouble
from bots.telegram.client import POLL_SECONDS, TelegramClient, waits
from bots.telegram.limits import seconds_of
from store.database import Database

PATIENCE = 1.0
"""Seconds that an update is waited for before others are asked for past it."""
CONFLICT_WAITS = (5.0, 60.0)
"""Seconds before a conflict with another program is tried again: at first, and at most."""
CALM_SECONDS = 60.0
"""After which a conflict is over: two programs take turns in ending each other's calls."""
TOLD_AFTER = 3
"""Failures in a row after which the account says that Telegram cannot be reached."""
UNREACHABLE = "Telegram has not answered for a while; it is being tried again, and nothing gets lost meanwhile."
CONFLICT = (
    "Another program reads this bot’s messages with the same token, so not all of them arrive here; stop it, or send "
    "/revoke to @BotFather and give the new token with: parlance account add"
)
WEBHOOK = (
    "A webhook at {host} gets this bot’s messages, so none arrive here; remove it there, or pause and resume this "
    "account to take the bot over."
)

Take = Callable[[list[dict[str, Any]]], dict[int, "asyncio.Task[None]"]]
"""Deals with new updates, in their order; gives tasks by update id, none for one that there is nothing to do with."""

log = structlog.get_logger()


class Polling:
    """One account's loop."""

    def __init__(self, client: TelegramClient, database: Database, account: str, take: Take) -> None:
        self._client = client
        self._database = database
        self._account = account
        self._take = take
        self._trouble: str | None = None
        self._under_way: dict[int, asyncio.Task[None]] = {}

    async def run(self) -> None:
        """Until cancelled. Raises InvalidToken."""
        offset: int | None = None
        failures = 0
        waiting, conflicting = waits(), waits(*CONFLICT_WAITS)
        clock = asyncio.get_running_loop().time
        calm_at = 0.0
        while True:
            try:
                raw = await self._client.updates(offset, 0 if self._under_way else POLL_SECONDS)
            except InvalidToken:
                await self._client.me()  # raises it again, unless that was a 404 in passing
                await asyncio.sleep(next(waiting))
            except RetryAfter as told:
                await asyncio.sleep(seconds_of(told))
            except Conflict:
                calm_at = clock() + CALM_SECONDS
                await self._tell(await self._conflict())
                await asyncio.sleep(next(conflicting))
            except TelegramError as error:
                failures += 1
                log.info("telegram_poll_failed", account=self._account, kind=type(error).__name__)
                if failures >= TOLD_AFTER:
                    await self._tell(UNREACHABLE)
                await asyncio.sleep(next(waiting))
            else:
                failures, waiting = 0, waits()
                if clock() > calm_at:
                    conflicting = waits(*CONFLICT_WAITS)
                    await self._tell(None)
                offset = await self._acknowledgeable(raw)

    async def _acknowledgeable(self, raw: list[dict[str, Any]]) -> int | None:
        """Deal with what is new, and give the offset up to which all is done.

        None where there was nothing: an offset is said once, for after a quiet week Telegram begins its ids anew
        anywhere, and an old offset would drop what is new.
        """
        numbers: list[int] = [update["update_id"] for update in raw]
        new = [update for update in raw if update["update_id"] not in self._under_way]
        self._under_way = {number: self._under_way[number] for number in numbers if number in self._under_way}
        dealing = self._take(new)
        nothing_to_do = asyncio.get_running_loop().create_task(asyncio.sleep(0))
        for number in numbers:
            self._under_way.setdefault(number, dealing.get(number, nothing_to_do))
        await asyncio.wait({nothing_to_do, *self._under_way.values()}, timeout=PATIENCE)
        waited_for = [number for number in numbers if not self._under_way[number].done()]
        if not waited_for:
            self._under_way = {}
            return max(numbers) + 1 if numbers else None
        first = min(waited_for)
        self._under_way = {number: task for number, task in self._under_way.items() if number >= first}
        return first

    async def _conflict(self) -> str:
        host = await self._client.webhook_host()
        return CONFLICT if host is None else WEBHOOK.format(host=host)

    async def _tell(self, trouble: str | None) -> None:
        """Keep what is wrong with the account, or that it is over."""
        if trouble != self._trouble:
            self._trouble = trouble
            await note_trouble(self._database, self._account, trouble)
