"""A server on a Unix socket that answers as the engine's chat endpoint does, for what the client does around it."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path

from aiohttp import web
from multidict import CIMultiDictProxy
from pydantic import SecretStr

from serving.client import EngineClient


@dataclass
class EngineStub:
    """`pieces` of each answer; `hold` is awaited after the first piece where it is set; `status` other than 200 is
    answered with an error. `headers` of each request are kept."""

    client: EngineClient
    pieces: list[str] = field(default_factory=lambda: ["Good", " day", "."])
    hold: asyncio.Event | None = None
    status: int = 200
    finishes: bool = True
    reason: str = "stop"
    headers: list[CIMultiDictProxy[str]] = field(default_factory=list)

    async def chat(self, request: web.Request) -> web.StreamResponse:
        self.headers.append(request.headers)
        await request.read()
        if self.status != 200:
            return web.json_response({"error": {"message": "no"}}, status=self.status)
        answer = web.StreamResponse(headers={"Content-Type": "text/event-stream"})
        await answer.prepare(request)

        async def send(chunk: object) -> None:
            await answer.write(f"data: {json.dumps(chunk)}\n\n".encode())

        for at, piece in enumerate(self.pieces):
            await send({"choices": [{"delta": {"content": piece}}]})
            if at == 0 and self.hold is not None:
                await self.hold.wait()
        if self.finishes:
            await send({"choices": [{"delta": {}, "finish_reason": self.reason}]})
            await send({"choices": [], "usage": {"prompt_tokens": 7, "completion_tokens": len(self.pieces)}})
        await answer.write(b"data: [DONE]\n\n")
        return answer


@asynccontextmanager
async def engine_stub(folder: Path) -> AsyncIterator[EngineStub]:
    socket = folder / "engine.sock"
    stub = EngineStub(EngineClient(socket, SecretStr("a-key"), 1024))
    app = web.Application()
    app.router.add_post("/v1/chat/completions", stub.chat)
    runner = web.AppRunner(app)
    await runner.setup()
    await web.UnixSite(runner, str(socket)).start()
    try:
        yield stub
    finally:
        await stub.client.close()
        await runner.cleanup()
