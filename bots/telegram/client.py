"""One bot's line to its Bot API server: python-telegram-bot's client, with limits, patience and discretion.

Promises: waits out what passes; does not give up and does not hurry; no token in a log or an error. Knows nothing of
conversations.
"""

from __future__ import annotations

import asyncio
import json
import os
from collections.abc import Awaitable, Callable, Iterator
from random import SystemRandom
from typing import Any, NoReturn, TypeVar
from urllib.parse import urlencode, urlsplit

import structlog
from pydantic import SecretStr
from telegram import User
from telegram.error import BadRequest, InvalidToken, NetworkError, TelegramError
from telegram.ext import ExtBot

from bots.telegram.limits import RATES, Limits, Rates
from bots.telegram.secrecy import keep_secrets_out_of_logs
from bots.telegram.transport import SECONDS, AiohttpRequest, NeverSent
from config.errors import BadInput

API = "https://api.telegram.org"
LARGEST_FILE = 20 * 1024 * 1024
"""Bytes that a bot may fetch."""
POLL_SECONDS = 50
CONNECTIONS = 64
WAITS = (0.5, 30.0)
"""Seconds before a call that failed is made again: at first, and at most."""
KINDS = ("message", "edited_message", "callback_query", "my_chat_member")
"""Of updates; all others stay away."""

Result = TypeVar("Result")

log = structlog.get_logger()

os.environ.setdefault("PTB_TIMEDELTA", "true")  # else the library warns whenever Telegram says how long to wait


def waits(first: float = WAITS[0], most: float = WAITS[1]) -> Iterator[float]:
    """Seconds to wait after one failure after another, no two bots alike."""
    chance = SystemRandom()
    while True:
        yield chance.uniform(first / 2, first)
        first = min(2 * first, most)


def passes(error: TelegramError) -> bool:
    """Whether the same call may do better later."""
    return isinstance(error, NetworkError) and not isinstance(error, BadRequest)


def surely_not_sent(error: TelegramError) -> bool:
    """Whether the server cannot have seen the call that failed so."""
    return isinstance(error, NeverSent)


class TelegramClient:
    """`bot` makes single calls; the methods here know what may be made again."""

    def __init__(self, token: SecretStr, api_base: str | None, rates: Rates = RATES) -> None:
        keep_secrets_out_of_logs()
        base = api_base or API
        self._polling = AiohttpRequest(1)
        self._calling = AiohttpRequest(CONNECTIONS)
        self.limits = Limits(rates)
        self.bot: ExtBot[int] = ExtBot(
            token.get_secret_value(),
            base_url=f"{base}/bot",
            base_file_url=f"{base}/file/bot",
            request=self._calling,
            get_updates_request=self._polling,
            rate_limiter=self.limits,
        )
        self.revoked: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        """Done when a call found that the token no longer works."""

    async def close(self) -> None:
        """Let every connection go."""
        await asyncio.gather(self._polling.shutdown(), self._calling.shutdown(), return_exceptions=True)

    async def me(self) -> User:
        """Whose token this is, asked until there is an answer. Raises InvalidToken."""
        return await self._until_answered(self.bot.get_me)

    async def updates(self, offset: int | None, seconds: int = POLL_SECONDS) -> list[dict[str, Any]]:
        """What is new, as it stands on the wire, within `seconds`; `offset` says that all before it is dealt with.

        Not the library's own method: one update that it cannot read would lose all that came with it.
        """
        asked = {"timeout": str(seconds), "allowed_updates": json.dumps(KINDS)}
        if offset is not None:
            asked["offset"] = str(offset)
        address = f"{self.bot.base_url}/getUpdates?{urlencode(asked)}"
        result = await self._polling.post(address, read_timeout=seconds + SECONDS)
        return result if isinstance(result, list) else []

    async def call(self, make: Callable[[], Awaitable[Result]]) -> Result:
        """The result of a call that may be made twice without harm, made until there is one. Raises what will not
        pass; for a token that no longer works it never returns, because its account is about to stop."""
        try:
            return await self._until_answered(make)
        except InvalidToken:
            await self.stopped()

    async def webhook_host(self) -> str | None:
        """Who gets this bot's messages instead, where somebody does."""
        info = await self.call(self.bot.get_webhook_info)
        return (urlsplit(info.url).hostname or "an unnamed server") if info.url else None

    async def stopped(self) -> NoReturn:
        """The token no longer works: whoever runs the account hears of it and ends whoever waits here."""
        if not self.revoked.done():
            self.revoked.set_result(None)
        await asyncio.get_running_loop().create_future()
        raise AssertionError("unreachable")

    async def fetch(self, file_id: str, size: int) -> bytes:
        """A file that somebody sent. Raises BadInput for one that Telegram does not give to bots."""
        if size > LARGEST_FILE:
            raise BadInput("Telegram hands me files of up to 20 MB, and this one is larger; send a smaller one.")
        try:
            found = await self.call(lambda: self.bot.get_file(file_id))
            path = found.file_path or ""
            if not path.startswith(self.bot.base_file_url):  # a server that wants its own disk to be read
                raise BadInput("The Bot API server here keeps files to itself, so I cannot read this one.")
            return await self.call(lambda: self._calling.retrieve(path))
        except BadRequest:
            raise BadInput("Telegram does not give me that file any more; please send it again.") from None

    async def _until_answered(self, make: Callable[[], Awaitable[Result]]) -> Result:
        for wait in waits():
            try:
                return await make()
            except TelegramError as error:
                if not passes(error):
                    raise
                log.info("telegram_call_failed", kind=type(error).__name__)
            await asyncio.sleep(wait)
        raise AssertionError("unreachable")
