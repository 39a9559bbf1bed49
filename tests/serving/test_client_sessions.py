"""The client's connections while engines come and go at its socket."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import aclosing, asynccontextmanager
from pathlib import Path

import pytest
from aiohttp import web
from engine_stub import EngineStub, engine_stub

from config.names import VersionName
from serving.answer import Finished, Sampling

HARBOUR = VersionName("harbour", 1)


@asynccontextmanager
async def successor(stub: EngineStub, socket: Path) -> AsyncIterator[None]:
    """Another engine that takes over `socket`, as a larger one does."""
    app = web.Application()
    app.router.add_post("/v1/chat/completions", stub.chat)
    runner = web.AppRunner(app)
    await runner.setup()
    await web.UnixSite(runner, str(socket.with_suffix(".next"))).start()
    socket.with_suffix(".next").rename(socket)
    try:
        yield
    finally:
        await runner.cleanup()


@pytest.mark.parametrize("cancelled", [False, True])
async def test_of_engines_that_are_gone_nothing_is_kept_but_answers_under_way(tmp_path: Path, cancelled: bool) -> None:
    def ask() -> asyncio.Task[Finished]:
        question = [{"role": "user", "content": "Hello"}]
        return asyncio.create_task(stub.client.answer(HARBOUR, question, Sampling()))  # type: ignore[arg-type]

    async with engine_stub(tmp_path) as stub:
        stub.hold = asyncio.Event()
        begun = ask()
        async with asyncio.timeout(20):
            while not stub.headers:  # noqa: ASYNC110 - the stub has no event for it
                await asyncio.sleep(0.01)
        stub.hold, held = None, stub.hold
        for _ in range(8):
            async with successor(stub, tmp_path / "engine.sock"):
                assert (await ask()).text == "Good day."
                assert len(stub.client._before) <= 2  # that of the answer under way, and the last one's
        assert not begun.done()
        if cancelled:
            begun.cancel()
        held.set()
        ended = await asyncio.gather(begun, return_exceptions=True)
        assert isinstance(ended[0], asyncio.CancelledError) if cancelled else ended[0].text == "Good day."  # type: ignore[union-attr]
        async with successor(stub, tmp_path / "engine.sock"):
            await ask()
        assert not stub.client._before


async def test_leaving_an_answer_lets_its_connection_go(tmp_path: Path) -> None:
    async with engine_stub(tmp_path) as stub:
        stub.hold = asyncio.Event()
        async with aclosing(stub.client.stream(HARBOUR, [{"role": "user", "content": "Hello"}], Sampling())) as pieces:
            await anext(pieces)
            assert stub.client._under_way
        assert not stub.client._under_way
        stub.hold.set()
