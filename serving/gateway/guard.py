"""What every request to the gateway passes before a byte of its body is read: a key that is one, within its limit.

A bearer key is all that counts here: cookies and where a request came from mean nothing. Promises that nothing of a
request is logged, that whatever breaks is told in OpenAI's shape, that what is larger than `LARGEST_BODY` is not read
to its end, and that the key is known to what comes after only as its row.
"""

from __future__ import annotations

import traceback
from pathlib import Path

import structlog
from starlette.datastructures import Headers
from starlette.exceptions import HTTPException
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from serving.entrance import Entrance
from serving.gateway.errors import OURS, ApiError, invalid_key
from serving.gateway.limits import Windows
from store.database import Database
from store.keys import KnownKey, known_key

LARGEST_BODY = 4_000_000
"""Bytes: far more than any model here can read."""
TOO_LARGE = f"A request may have {LARGEST_BODY // 1_000_000} MB at most; send less of the conversation."

log = structlog.get_logger()


class Guard:
    """Around the application `app`. The key stands in the request's state as `key`; who goes beyond a key's limit is
    counted at `entrance`."""

    def __init__(self, app: ASGIApp, database: Database, entrance: Entrance) -> None:
        self._app = app
        self._turned_away = entrance.turned_away
        self._database = database
        self._windows = Windows()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        begun = False

        async def noticed(message: Message) -> None:
            nonlocal begun
            begun = True
            await send(message)

        try:
            await self._let_in(scope, receive, noticed)
        except Exception as error:
            # What breaks in an unforeseen way is noted by where it did: its own words may be a client's.
            where = [
                f"{Path(frame.filename).name}:{frame.lineno}" for frame in traceback.extract_tb(error.__traceback__)
            ]
            log.error("gateway_broke", kind=type(error).__name__, where=where[-6:])
            if not begun:
                await ApiError(500, OURS).response()(scope, receive, send)

    async def _let_in(self, scope: Scope, receive: Receive, send: Send) -> None:
        headers = Headers(scope=scope)
        try:
            key = await self._key(headers.get("authorization"))
            _check_size(headers.get("content-length"))
        except ApiError as error:
            await error.response()(scope, receive, send)
            return
        scope.setdefault("state", {})["key"] = key
        await self._app(scope, _bounded(receive), send)

    async def _key(self, authorization: str | None) -> KnownKey:
        scheme, _, given = (authorization or "").partition(" ")
        if scheme.lower() != "bearer" or not given.strip():
            raise invalid_key(given=False)
        key = await known_key(self._database, given.strip())
        if key is None:
            raise invalid_key(given=True)
        wait = self._windows.take(key.id, key.a_minute)
        if wait:
            self._turned_away["key_limit"] += 1
            raise ApiError(
                429,
                f"This key may make {key.a_minute} requests a minute; try again in {wait:.0f} s.",
                "rate_limit_exceeded",
                retry_after=wait,
            )
        return key


def _check_size(length: str | None) -> None:
    if length is not None and (not length.isdecimal() or int(length) > LARGEST_BODY):
        raise ApiError(413, TOO_LARGE, "request_too_large")


def _bounded(receive: Receive) -> Receive:
    """`receive`, until more has come than may."""
    read = 0

    async def bounded() -> Message:
        nonlocal read
        message = await receive()
        read += len(message.get("body", b""))
        if read > LARGEST_BODY:
            raise HTTPException(413, TOO_LARGE)
        return message

    return bounded
