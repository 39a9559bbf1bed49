"""A client's connection while its answer is made: whoever goes away has the request in the engine ended.

Promises that work for somebody who is gone is cancelled at once, and that a stream which was begun is closed, whether
its first byte was ever sent or not.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Awaitable
from contextlib import aclosing
from typing import Any, TypeVar

from fastapi import Request
from fastapi.responses import StreamingResponse
from starlette.types import Receive, Scope, Send

T = TypeVar("T")


class ClientGone(Exception):
    """Nobody is there to be answered."""


async def unless_gone(request: Request, work: Awaitable[T]) -> T:
    """What `work` gives. Raises ClientGone, and cancels it, as soon as the client has closed the connection. The whole
    body of the request must have been read."""
    doing = asyncio.ensure_future(work)
    leaving = asyncio.ensure_future(_gone(request))
    try:
        await asyncio.wait({doing, leaving}, return_when=asyncio.FIRST_COMPLETED)
        if doing.done():
            return doing.result()
        raise ClientGone
    finally:
        for task in (doing, leaving):
            task.cancel()
        await asyncio.gather(doing, leaving, return_exceptions=True)


async def _gone(request: Request) -> None:
    while (await request.receive())["type"] != "http.disconnect":
        pass


class EventStream(StreamingResponse):
    """Server-sent events. `source` is what `lines` are made of, closed at the end however that comes."""

    def __init__(self, lines: AsyncGenerator[str], source: AsyncGenerator[Any]) -> None:
        # A proxy that collects what it passes on would keep the first word until the last one is there.
        headers = {"Cache-Control": "no-store", "X-Accel-Buffering": "no"}
        super().__init__(lines, media_type="text/event-stream", headers=headers)
        self._lines, self._source = lines, source

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        async with aclosing(self._source), aclosing(self._lines):
            await super().__call__(scope, receive, send)
