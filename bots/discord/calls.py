"""Discord's REST calls for one account: the library's, to whatever server the account names, paced below the limit
that Discord puts on all calls of a bot together.

Promises that several accounts of one process can talk to different servers, that calls outlive a gateway client, and
that a token which no longer works is noticed wherever it shows first. The limits of single routes are the library's.
"""

from __future__ import annotations

import asyncio
import logging
import re
from types import SimpleNamespace
from typing import Any
from urllib.parse import urlsplit

from aiohttp import ClientSession, ClientWebSocketResponse, TraceConfig, TraceRequestStartParams
from discord.errors import HTTPException, LoginFailure
from discord.gateway import DiscordWebSocket
from discord.http import HTTPClient, Route

A_SECOND = 48
"""Discord allows 50 calls of a bot in any second."""
UNCOUNTED = ("/interactions/", "/webhooks/")
BUSY_SECONDS = 0.5


class _Masking(logging.Filter):
    """The library's warnings name addresses, and those of interactions hold their tokens."""

    _token = re.compile(r"(/(?:interactions|webhooks)/\d+/)[^/?\s]+")

    def filter(self, record: logging.LogRecord) -> bool:
        if isinstance(record.args, tuple):
            record.args = tuple(self._token.sub(r"\1…", one) if isinstance(one, str) else one for one in record.args)
        return True


logging.getLogger("discord.http").addFilter(_Masking())


class Turns:
    """At most `A_SECOND` calls in any second, first come first served. A call counts from its beginning until a second
    after its end: whenever Discord counts it, however late it gets there, no more have come."""

    def __init__(self) -> None:
        self._most = A_SECOND
        self._slots = asyncio.Semaphore(A_SECOND)
        self._waiting = 0

    @property
    def waiting(self) -> float:
        """Seconds that the next caller would wait, about."""
        return self._waiting / self._most

    async def take(self) -> None:
        """Begin a call."""
        self._waiting += 1
        try:
            await self._slots.acquire()
        finally:
            self._waiting -= 1

    def leave(self) -> None:
        """The call has ended."""
        asyncio.get_running_loop().call_later(1.0, self._slots.release)


class Calls(HTTPClient):
    """`revoked` is set once the token was refused. `end` closes it; a client's own `close` does not."""

    def __init__(self, api_base: str | None) -> None:
        pacing = TraceConfig()  # runs right before a request leaves, whatever it had to wait for until then
        pacing.on_request_start.append(self._begin)
        pacing.on_request_end.append(self._end)
        pacing.on_request_exception.append(self._end)
        super().__init__(asyncio.get_running_loop(), http_trace=pacing)
        self.revoked = asyncio.Event()
        self._api_base = api_base
        self._gateway: str | None = None
        self._turns = Turns()

    @property
    def waiting(self) -> float:
        """Seconds that a call made now would wait for its turn."""
        return self._turns.waiting

    @property
    def busy(self) -> bool:
        """Whether calls queue up, so that what is only pleasant should be left."""
        return self.waiting > BUSY_SECONDS

    async def request(self, route: Route, **more: Any) -> Any:
        if self._api_base is not None:
            route.url = self._api_base + route.url.removeprefix(Route.BASE)
        try:
            return await super().request(route, **more)
        except HTTPException as error:
            if error.status == 401 and route.webhook_token is None:
                self.revoked.set()
            raise

    async def _begin(self, session: ClientSession, call: SimpleNamespace, request: TraceRequestStartParams) -> None:
        call.counts = False
        if not any(part in request.url.path for part in UNCOUNTED):
            await self._turns.take()
            call.counts = True

    async def _end(self, session: ClientSession, call: SimpleNamespace, request: object) -> None:
        if call.counts:
            self._turns.leave()

    async def static_login(self, token: str) -> Any:
        if self.token is None:
            user = await super().static_login(token)
        else:
            user = await self._me()
        if self._api_base is not None:
            _, self._gateway, _ = await self.get_bot_gateway()
        return user

    async def _me(self) -> Any:
        try:
            return await self.request(Route("GET", "/users/@me"))
        except HTTPException as error:
            if error.status == 401:
                raise LoginFailure("the token was refused") from None
            raise

    async def ws_connect(self, url: str, *, compress: int = 0) -> ClientWebSocketResponse:
        asked = urlsplit(url)
        if self._gateway is not None and asked.hostname == DiscordWebSocket.DEFAULT_GATEWAY.host:
            url = f"{self._gateway}?{asked.query}"
        return await super().ws_connect(url, compress=compress)

    async def close(self) -> None:
        """A gateway client is done with them; others go on."""

    async def end(self) -> None:
        """Nobody will call any more."""
        await super().close()
