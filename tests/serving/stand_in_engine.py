"""A process that stands in for an engine where only its coming and going matters: `python stand_in_engine.py SOCKET`

Its answer to anything is its own process number, and to "wait" that number, and "on" after the file `go` lies beside
its socket. It says in `/metrics` what is under way, as the engine does.
"""

from __future__ import annotations

import asyncio
import json
import os
import sys
from pathlib import Path

from aiohttp import web

SOCKET = Path(sys.argv[1]) if __name__ == "__main__" else Path()
running = 0


async def chat(request: web.Request) -> web.StreamResponse:
    global running
    running += 1
    try:
        asked = (await request.json())["messages"][-1]["content"]
        answer = web.StreamResponse(headers={"Content-Type": "text/event-stream"})
        await answer.prepare(request)

        async def send(chunk: object) -> None:
            await answer.write(f"data: {json.dumps(chunk)}\n\n".encode())

        await send({"choices": [{"delta": {"content": f"{os.getpid()}"}}]})
        if asked == "wait":
            await told_to_go_on()
            await send({"choices": [{"delta": {"content": " on"}}]})
        await send({"choices": [{"delta": {}, "finish_reason": "stop"}]})
        await send({"choices": [], "usage": {"prompt_tokens": 1, "completion_tokens": 1}})
        await answer.write(b"data: [DONE]\n\n")
        return answer
    finally:
        running -= 1


async def told_to_go_on() -> None:
    for _ in range(3000):
        if SOCKET.with_name("go").exists():
            return
        await asyncio.sleep(0.02)


async def metrics(request: web.Request) -> web.Response:
    lines = (f'vllm:num_requests_running{{engine="0"}} {running}.0', 'vllm:num_requests_waiting{engine="0"} 0.0')
    return web.Response(text="\n".join(lines))


async def health(request: web.Request) -> web.Response:
    return web.Response()


if __name__ == "__main__":
    app = web.Application()
    app.router.add_post("/v1/chat/completions", chat)
    app.router.add_get("/metrics", metrics)
    app.router.add_get("/health", health)
    web.run_app(app, path=str(SOCKET), print=None, handler_cancellation=True, shutdown_timeout=0.1)
