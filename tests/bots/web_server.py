"""The web application on a real server on loopback, and a client that reads its stream as a browser does."""

from __future__ import annotations

import asyncio
import json
import socket
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import httpx
import uvicorn

from bots.conversation import Conversation
from bots.web.app import create_app


class Site:
    """A running site. `codes` are those that would stand in the terminal."""

    def __init__(self, address: str, app: Any, codes: list[str]) -> None:
        self.address = address
        self.app = app
        self.codes = codes


@asynccontextmanager
async def serving(conversation: Conversation) -> AsyncIterator[Site]:
    codes: list[str] = []
    app = create_app(conversation, announce=codes.append)
    listening = socket.socket()
    listening.bind(("127.0.0.1", 0))
    server = uvicorn.Server(uvicorn.Config(app, log_level="error", timeout_graceful_shutdown=1))
    task = asyncio.create_task(server.serve([listening]))
    async with asyncio.timeout(20):
        while not server.started:  # noqa: ASYNC110 - uvicorn has no event for it
            await asyncio.sleep(0.01)
    try:
        yield Site(f"http://127.0.0.1:{listening.getsockname()[1]}", app, codes)
    finally:
        server.should_exit = True
        await task
        listening.close()


class Browser:
    """Cookies, same-origin headers, and server-sent events."""

    def __init__(self, address: str) -> None:
        self.http = httpx.AsyncClient(base_url=address, headers={"Origin": address}, timeout=20, trust_env=False)
        self.last_id = ""

    async def open(self, **body: Any) -> dict[str, Any]:
        answer = await self.http.post("/api/session", json=body)
        assert answer.status_code == 200, answer.text
        return dict(answer.json())

    async def history(self) -> dict[str, Any]:
        return dict((await self.http.get("/api/history")).json())

    async def say(self, text: str, message_id: str = "m-00000001") -> httpx.Response:
        return await self.http.post("/api/messages", json={"text": text, "id": message_id})

    async def entries(self, cursor: str = "", *, resume: bool = False) -> AsyncIterator[dict[str, Any]]:
        """Entries of the stream, status left out."""
        headers = {"Last-Event-ID": self.last_id} if resume else {}
        async with self.http.stream("GET", "/api/stream", params={"after": cursor}, headers=headers) as answer:
            assert answer.status_code == 200
            assert answer.headers["content-type"].startswith("text/event-stream")
            async for line in answer.aiter_lines():
                if line.startswith("id: "):
                    self.last_id = line[4:]
                elif line.startswith("data: "):
                    entry = json.loads(line[6:])
                    if entry["kind"] != "status":
                        yield entry

    async def read_until(self, kind: str, cursor: str = "", *, resume: bool = False) -> list[dict[str, Any]]:
        """Entries up to the first of `kind`, itself included."""
        found: list[dict[str, Any]] = []
        async with asyncio.timeout(20):
            stream = self.entries(cursor, resume=resume)
            async for entry in stream:
                found.append(entry)
                if entry["kind"] == kind:
                    await stream.aclose()
                    return found
        raise AssertionError(f"the stream ended without {kind}: {found}")
