"""An engine that runs and does not answer: told as such, awaited, and in the end started again.

The engine is a process that sleeps, and its answers come from here, so that they can be withheld.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator
from types import SimpleNamespace

import pytest
from aiohttp import web
from test_supervisor import until

from config.settings import Settings
from serving import supervisor as supervising
from serving.leashed import Leashed, leashed
from serving.supervisor import EngineSupervisor
from store.crypto import load_cipher

WORD = 'data: {"choices": [{"delta": {"content": "Hi"}, "finish_reason": "stop"}]}\n\n'


class Answers:
    """What is heard from the engine's socket, for as long as `hears` is set."""

    def __init__(self) -> None:
        self.hears = asyncio.Event()
        self.hears.set()
        self.started = 0

    async def health(self, request: web.Request) -> web.Response:
        await self.hears.wait()
        return web.Response()

    async def chat(self, request: web.Request) -> web.Response:
        return web.Response(text=WORD, content_type="text/event-stream")


@pytest.fixture
async def answers(settings: Settings, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Answers]:
    made = Answers()
    settings.paths.ensure()
    app = web.Application()
    app.add_routes([web.get("/health", made.health), web.post("/v1/chat/completions", made.chat)])
    runner = web.AppRunner(app, shutdown_timeout=0.1)
    await runner.setup()
    await web.UnixSite(runner, str(settings.paths.engine_socket)).start()

    async def launch(*_: object) -> Leashed:
        made.started += 1
        return await leashed(["sleep", "1000"], grace=1.0)

    async def nothing(self: EngineSupervisor) -> None:
        return

    monkeypatch.setattr(supervising, "launch", launch)
    monkeypatch.setattr(EngineSupervisor, "_make_untuned", nothing)
    monkeypatch.setattr(supervising, "ANSWER_SECONDS", 0.2)
    monkeypatch.setattr(supervising, "HEALTH_EVERY", 0.05)
    yield made
    made.hears.set()
    await runner.cleanup()


@pytest.fixture
async def supervisor(settings: Settings, answers: Answers) -> AsyncIterator[EngineSupervisor]:
    made = EngineSupervisor(settings, load_cipher(settings.paths.key_file, None))
    made.client._whole = None  # there is no adapter to look at
    made.start()
    await made.wait_ready(timeout=30)
    yield made
    await made.stop()


async def test_an_engine_that_answers_again_was_only_awaited(supervisor: EngineSupervisor, answers: Answers) -> None:
    answers.hears.clear()
    await until(lambda: supervisor.status.state == "unwell", 10)
    assert "does not answer" in supervisor.status.sentence
    answers.hears.set()
    await supervisor.wait_ready(timeout=10)
    assert answers.started == 1


async def test_an_engine_that_stays_silent_is_started_again(
    supervisor: EngineSupervisor, answers: Answers, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(supervising, "UNWELL_SECONDS", 0.5)
    answers.hears.clear()
    await until(lambda: supervisor.status.state == "restarting", 20)
    answers.hears.set()
    await supervisor.wait_ready(timeout=20)
    assert answers.started == 2


async def test_when_it_was_we_who_stood_still_the_engine_is_not_blamed(
    supervisor: EngineSupervisor, answers: Answers, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As after this process itself was stopped for an hour, and one look that failed."""
    jump = 0.0
    clock = SimpleNamespace(monotonic=lambda: time.monotonic() + jump, time=time.time)
    monkeypatch.setattr(supervising, "time", clock)
    answers.hears.clear()
    await until(lambda: supervisor.status.state == "unwell", 10)
    jump = 3600.0
    answers.hears.set()
    await supervisor.wait_ready(timeout=10)
    assert answers.started == 1
