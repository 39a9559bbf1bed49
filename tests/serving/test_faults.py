"""What goes wrong around a real engine: stopped and killed processes, a full disk. No answer is lost."""

from __future__ import annotations

import asyncio
import errno
import os
import resource
import signal
import time
from collections.abc import AsyncIterator
from contextlib import aclosing, asynccontextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import httpx
import psutil
import pytest
from running_engine import RunningEngine
from test_bad_adapters import ENDLESS, HELLO, SHORT, asked_of_the_engine_itself
from test_supervisor import family, until

from config.catalogue import DEMO_FOLDER
from config.names import VersionName
from serving import engine_log, failures, pulse
from serving.answer import Finished, Piece
from serving.entrance import GOES_ON, Entrance
from serving.prompt import ChatTokenizer

KNOWN_SOON = 5.0
"""Seconds within which a fault is known."""
LONG = replace(ENDLESS, max_tokens=200)


def process(engine: RunningEngine, which: str) -> psutil.Process:
    """The engine's `api` or `core` process."""
    assert engine.supervisor.pid is not None
    members = family(engine.supervisor.pid)
    return members[1] if which == "api" else next(p for p in members if "EngineCore" in " ".join(p.cmdline()))


async def running(engine: RunningEngine) -> float:
    transport = httpx.AsyncHTTPTransport(uds=str(engine.paths.engine_socket))
    async with httpx.AsyncClient(transport=transport, base_url="http://engine") as http:
        lines = (await http.get("/metrics")).text.splitlines()
    return sum(float(line.split()[-1]) for line in lines if line.startswith("vllm:num_requests_running{"))


async def until_running(engine: RunningEngine, requests: int) -> None:
    """The engine counts after it has answered, so that what it says is a moment old."""
    async with asyncio.timeout(30):
        while await running(engine) != requests:  # noqa: ASYNC110 - the engine has no event for it
            await asyncio.sleep(0.02)


@pytest.mark.usefixtures("endless")
async def test_whoever_leaves_frees_their_place_and_the_engine_stops_working_for_them(engine: RunningEngine) -> None:
    entrance = Entrance(engine.supervisor, 1)
    first = entrance.stream(engine.supervisor.untuned, HELLO, ENDLESS, assistant="a", person="x")
    await anext(first)
    await until_running(engine, 1)

    async def whole() -> Finished:
        stream = entrance.stream(engine.supervisor.untuned, HELLO, SHORT, assistant="b", person="y")
        return [event async for event in stream][-1]  # type: ignore[return-value]

    waiting = asyncio.create_task(whole())
    await until(lambda: entrance.line.waiting == 1, 5)
    await first.aclose()
    assert entrance.line.waiting == 0
    assert (await waiting).finish_reason in ("stop", "length")
    assert entrance.line.taken == 0
    await until_running(engine, 0)


async def test_a_busy_assistant_leaves_the_engine_to_others_and_no_load_looks_like_a_fault(
    engine: RunningEngine,
) -> None:
    entrance = Entrance(engine.supervisor, 4)
    order: list[str] = []
    states: set[str] = set()

    async def one(assistant: str, number: int) -> None:
        stream = entrance.stream(engine.supervisor.untuned, HELLO, SHORT, assistant=assistant, person=str(number))
        async for _ in stream:
            states.add(engine.supervisor.status.state)
        order.append(assistant)

    busy = [asyncio.create_task(one("busy", number)) for number in range(24)]
    while entrance.line.waiting < 20:  # noqa: ASYNC110 - any longer, and some are answered before all have asked
        await asyncio.sleep(0)
    quiet = [asyncio.create_task(one("quiet", number)) for number in range(2)]
    await asyncio.gather(*busy, *quiet)
    assert max(at for at, assistant in enumerate(order) if assistant == "quiet") < 14
    assert states == {"ready"}


@pytest.mark.usefixtures("endless")
@pytest.mark.parametrize("which", ["api", "core"])
async def test_a_stopped_process_is_known_at_once_and_goes_on_with_the_answers_under_way(
    engine: RunningEngine, monkeypatch: pytest.MonkeyPatch, which: str
) -> None:
    monkeypatch.setattr(pulse, "HALTED_SECONDS", 0.5)
    pid = engine.supervisor.pid
    entrance = Entrance(engine.supervisor, 4)
    told: list[str] = []
    async with aclosing(engine.client.stream(engine.supervisor.untuned, HELLO, ENDLESS)) as stream:
        await anext(stream)
        process(engine, which).suspend()
        await until(lambda: engine.supervisor.status.state == "unwell", KNOWN_SOON)
        meanwhile = entrance.stream(
            engine.supervisor.untuned, HELLO, SHORT, assistant="a", person="x", told=told.append
        )
        assert isinstance([event async for event in meanwhile][-1], Finished)
        assert "does not answer" in told[0] and "as soon as it is ready" in told[0]
        await anext(stream)
    assert (engine.supervisor.pid, engine.supervisor.status.state) == (pid, "ready")


async def test_a_full_disk_costs_log_lines_and_no_answer(
    engine: RunningEngine, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The engine's processes may let no file grow, so each write to a log fails (EFBIG, where a full disk says ENOSPC);
    moving the log on fails in ours, by an error put in its place."""
    tried = asyncio.Event()

    def full(log: Path) -> bool:
        tried.set()
        raise OSError(errno.ENOSPC, "No space left on device")

    assert engine.supervisor.pid is not None
    pid, members = engine.supervisor.pid, family(engine.supervisor.pid)
    length = engine.supervisor.log_file.stat().st_size
    monkeypatch.setattr(engine_log, "rotate", full)
    try:
        for member in members:
            resource.prlimit(member.pid, resource.RLIMIT_FSIZE, (1, resource.RLIM_INFINITY))
        assert await asked_of_the_engine_itself(engine, VersionName("nobody", 7)) == 404  # which it would log
        assert (await engine.client.answer(engine.supervisor.untuned, HELLO, SHORT)).text
        await tried.wait()
        tried.clear()
        await tried.wait()
    finally:
        for member in members:
            resource.prlimit(member.pid, resource.RLIMIT_FSIZE, (resource.RLIM_INFINITY, resource.RLIM_INFINITY))
    assert engine.supervisor.log_file.stat().st_size == length
    assert (engine.supervisor.pid, engine.supervisor.status.state) == (pid, "ready")


@asynccontextmanager
async def held(lost: psutil.Process) -> AsyncIterator[None]:
    """Stopped for good."""
    lost.suspend()
    yield


@asynccontextmanager
async def killed(lost: psutil.Process) -> AsyncIterator[None]:
    """As by the kernel, where memory has run out. Stopped before, so that what has come is in it, and nothing said."""
    lost.suspend()
    yield
    os.kill(lost.pid, signal.SIGKILL)


@pytest.mark.usefixtures("endless")
@pytest.mark.parametrize(("which", "fault"), [("core", killed), ("core", held), ("api", killed)])
async def test_a_lost_process_is_replaced_who_waits_is_answered_and_the_answer_that_had_begun_goes_on(
    engine: RunningEngine, monkeypatch: pytest.MonkeyPatch, which: str, fault: Any
) -> None:
    """Held: whoever has stopped it stops it again each time that it is let go on, at once. It is replaced after half a
    minute; here a little after it was let go on for the first time. Its API process says “abort” when it is ended, and
    that is no end of an answer."""
    let_go: list[Any] = []
    monkeypatch.setattr(failures, "STEADY_SECONDS", 0.0)  # the loss before this one is no reason to give up
    monkeypatch.setattr(pulse, "go_on", let_go.append)
    monkeypatch.setattr(pulse, "UNWELL_SECONDS", pulse.HALTED_SECONDS + 3)
    before = engine.supervisor.pid
    tokenizer = ChatTokenizer(str(DEMO_FOLDER))

    async def source() -> ChatTokenizer:
        return tokenizer

    entrance = Entrance(engine.supervisor, 2, tokenizer=source)

    async def whole(person: str) -> list[Piece | Finished]:
        stream = entrance.stream(engine.supervisor.untuned, HELLO, SHORT, assistant="a", person=person)
        return [event async for event in stream]

    alone = await whole("before")
    told: list[str] = []
    begun = entrance.stream(engine.supervisor.untuned, HELLO, LONG, assistant="a", person="begun", told=told.append)
    shown = [await anext(begun) for _ in range(10)]
    async with fault(process(engine, which)):
        not_begun = asyncio.create_task(whole("asked"))
        await until(lambda: entrance.line.taken == 2, 5)
        in_line = [asyncio.create_task(whole(person)) for person in ("second", "third")]
        await until(lambda: entrance.line.waiting == 2, 5)
        if fault is held:
            await until(lambda: engine.supervisor.status.state == "unwell", KNOWN_SOON)
            await until(lambda: engine.supervisor.status.state == "restarting", 60)
            assert let_go
    lost = time.monotonic()
    await until(lambda: engine.supervisor.status.state != "ready", KNOWN_SOON)
    assert time.monotonic() - lost < KNOWN_SOON
    more = [event async for event in begun]
    *pieces, finished = [*shown, *more]
    assert isinstance(finished, Finished) and len(pieces) > len(shown)
    assert finished.text == "".join(piece.text for piece in pieces)
    assert finished.finish_reason in ("stop", "length") and finished.answer_tokens <= LONG.max_tokens
    assert finished.prompt_tokens == tokenizer.count(HELLO)
    # One that is held hears of its end only when it is let go on, and may say the rest within its last seconds.
    assert told == [GOES_ON] or (fault is held and told == [])
    answered = await asyncio.gather(not_begun, *in_line)
    assert [events[-1].text for events in answered] == [alone[-1].text] * 3
    assert entrance.line.taken == 0
    assert engine.supervisor.pid not in (None, before)
