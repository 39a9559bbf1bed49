"""An engine that runs and does not answer, or does not come up: told as such, awaited, and always started again.

The engine is a process that sleeps, and its answers come from here, so that they can be withheld.
"""

from __future__ import annotations

import asyncio
import errno
import os
import signal
import time
from collections.abc import AsyncIterator
from types import SimpleNamespace

import pytest
from aiohttp import web
from test_supervisor import until

from config.errors import EngineUnavailable
from config.settings import Settings
from serving import failures, pulse
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
        self.fates: list[str] = []
        """Of the engines that are started next: dies, cannot, stopped; then they live."""

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
        fate = made.fates.pop(0) if made.fates else "lives"
        if fate == "cannot":
            raise OSError(errno.ENOSPC, "No space left on device")
        engine = await leashed(["false"] if fate == "dies" else ["sleep", "1000"], grace=1.0)
        if fate == "stopped":
            os.kill(engine.pid, signal.SIGSTOP)
        return engine

    async def nothing(self: EngineSupervisor) -> None:
        return

    monkeypatch.setattr(supervising, "launch", launch)
    monkeypatch.setattr(EngineSupervisor, "_make_untuned", nothing)
    monkeypatch.setattr(pulse, "ANSWER_SECONDS", 0.2)
    for module in (pulse, supervising):
        monkeypatch.setattr(module, "HEALTH_EVERY", 0.05)
    yield made
    made.hears.set()
    await runner.cleanup()


@pytest.fixture
async def off(settings: Settings, answers: Answers) -> AsyncIterator[EngineSupervisor]:
    """Not started yet."""
    made = EngineSupervisor(settings, load_cipher(settings.paths.key_file, None))
    made.client._whole = None  # there is no adapter to look at
    yield made
    await made.stop()


@pytest.fixture
async def supervisor(off: EngineSupervisor) -> EngineSupervisor:
    off.start()
    await off.wait_ready(timeout=30)
    return off


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
    monkeypatch.setattr(pulse, "UNWELL_SECONDS", 0.5)
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
    monkeypatch.setattr(pulse, "time", clock)
    answers.hears.clear()
    await until(lambda: supervisor.status.state == "unwell", 10)
    jump = 3600.0
    answers.hears.set()
    await supervisor.wait_ready(timeout=10)
    assert answers.started == 1


async def test_an_engine_that_is_stopped_while_it_starts_is_let_go_on(
    off: EngineSupervisor, answers: Answers, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(pulse, "HALTED_SECONDS", 0.2)
    answers.fates = ["stopped"]
    off.start()
    await off.wait_ready(timeout=20)
    assert answers.started == 1


async def test_an_engine_that_fails_again_and_again_says_so_and_is_tried_until_it_lives(
    off: EngineSupervisor, answers: Answers, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(failures, "LONGEST_BACK_OFF", 0.3)
    answers.hears.clear()
    answers.fates = ["dies"] * 4
    said: list[tuple[str, str]] = []

    def note(state: str, sentence: str) -> None:
        said.append((state, sentence))
        say(state, sentence)

    say = off._say
    monkeypatch.setattr(off, "_say", note)
    off.start()
    await until(lambda: off.status.state == "failed", 20)
    assert "failed 3 times in a row" in off.status.sentence and "it is tried again in about" in off.status.sentence
    assert (off.status.seconds_left or 0) > 0
    with pytest.raises(EngineUnavailable, match="tried again"):
        await off.wait_ready(timeout=5)
    await until(lambda: answers.started == 5, 20)
    answers.hears.set()
    await until(lambda: off.status.state == "ready", 20)
    assert [state for state, _ in said].count("failed") == 2
    assert any(state == "restarting" and "4 times in a row" in sentence for state, sentence in said)


async def test_what_cannot_even_be_started_is_tried_again_once_there_is_room(
    off: EngineSupervisor, answers: Answers
) -> None:
    answers.fates = ["cannot"]
    off.start()
    await until(lambda: off.status.state == "failed", 20)
    assert "tried again" in off.status.sentence
    await until(lambda: off.status.state == "ready", 20)
    assert answers.started == 2


def test_the_pause_grows_to_some_minutes_and_a_steady_engine_begins_anew() -> None:
    counted = failures.Failures("engine.log")
    assert [counted.one_more(0.0) for _ in range(10)] == [1, 2, 4, 8, 16, 32, 64, 128, 240, 240]
    assert counted.many and counted.one_more(3600.0) == 1 and not counted.many
    assert failures.tried_again("It failed.", 240) == "It failed; it is tried again in about 4 minutes."
    assert failures.tried_again("It failed.", 31) == "It failed; it is tried again in about 30 seconds."
