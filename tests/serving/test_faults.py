"""What goes wrong around a real engine: bad adapters, stopped and killed processes, a full disk. No answer is lost."""

from __future__ import annotations

import asyncio
import errno
import json
import os
import resource
import shutil
import signal
from collections.abc import AsyncIterator
from contextlib import aclosing, asynccontextmanager
from pathlib import Path
from typing import Any

import httpx
import numpy as np
import psutil
import pytest
from adapter_making import random_adapter
from running_engine import RunningEngine
from safetensors.numpy import load_file, save_file
from test_supervisor import family, until

from config.errors import EngineUnavailable, NotFound, Refused
from config.names import VersionName
from serving import pulse
from serving import supervisor as supervising
from serving.adapters import CONFIG, WEIGHTS, publish
from serving.client import Finished, Piece, Sampling
from serving.entrance import Entrance
from serving.fallback import with_last_good
from serving.prompt import Message
from serving.router import Routed, in_service
from store.assistants import add_assistant, find_assistant, find_version
from store.database import Database
from store.tables import Promotion, Version

HELLO: list[Message] = [{"role": "user", "content": "Hello, I need a taxi."}]
SHORT = Sampling(max_tokens=12, temperature=0.0)
ENDLESS = Sampling(max_tokens=900, temperature=2.0)
KNOWN_SOON = 5.0
"""Seconds within which a fault is known."""


def process(engine: RunningEngine, which: str) -> psutil.Process:
    """The engine's `api` or `core` process."""
    assert engine.supervisor.pid is not None
    members = family(engine.supervisor.pid)
    return members[1] if which == "api" else next(p for p in members if "EngineCore" in " ".join(p.cmdline()))


def made(engine: RunningEngine, name: VersionName, seed: int) -> Path:
    """A good adapter that is not a version yet."""
    return random_adapter(engine.paths.jobs / f"faults-{name}", seed)


def published(engine: RunningEngine, name: VersionName, staged: Path, base: str = "demo") -> VersionName:
    publish(staged, engine.paths.adapter(name), {"base_model": base})
    return name


def resized(staged: Path, factor: int) -> None:
    """As of a model that is `factor` times as wide; below 0: that many times narrower."""
    tensors = load_file(staged / WEIGHTS)

    def side(size: int) -> int:
        return size * factor if factor > 0 else size // -factor

    for name, values in tensors.items():
        rows, columns = values.shape
        shape = (rows, side(columns)) if ".lora_A." in name else (side(rows), columns)
        tensors[name] = np.full(shape, 0.01, np.float32)
    save_file(tensors, staged / WEIGHTS)


def cut_short(file: Path) -> None:
    content = file.read_bytes()
    file.chmod(0o600)
    file.write_bytes(content[: len(content) // 2])


def corrupt(engine: RunningEngine, name: VersionName) -> None:
    staged = made(engine, name, 11)
    (staged / WEIGHTS).write_bytes(os.urandom(100_000))
    published(engine, name, staged)


def truncated(engine: RunningEngine, name: VersionName) -> None:
    staged = made(engine, name, 12)
    cut_short(staged / WEIGHTS)
    published(engine, name, staged)


def truncated_later(engine: RunningEngine, name: VersionName) -> None:
    published(engine, name, made(engine, name, 13))
    cut_short(engine.paths.adapter(name) / WEIGHTS)


def of_another_base(engine: RunningEngine, name: VersionName) -> None:
    published(engine, name, made(engine, name, 14), base="other")


def of_a_wider_base(engine: RunningEngine, name: VersionName) -> None:
    staged = made(engine, name, 15)
    resized(staged, 2)
    published(engine, name, staged)


def of_a_narrower_base(engine: RunningEngine, name: VersionName) -> None:
    staged = made(engine, name, 16)
    resized(staged, -2)
    published(engine, name, staged)


def of_too_high_a_rank(engine: RunningEngine, name: VersionName) -> None:
    staged = made(engine, name, 17)
    shape = json.loads((staged / CONFIG).read_text())
    (staged / CONFIG).write_text(json.dumps(shape | {"r": 8 * engine.supervisor.plan.max_lora_rank}))
    published(engine, name, staged)


def without_a_folder(engine: RunningEngine, name: VersionName) -> None:
    published(engine, name, made(engine, name, 18))
    shutil.rmtree(engine.paths.adapter(name))


BAD = [
    corrupt, truncated, truncated_later, of_another_base, of_a_wider_base, of_a_narrower_base, of_too_high_a_rank,
    without_a_folder,
]  # fmt: skip


@pytest.mark.parametrize("bad", BAD)
async def test_a_bad_adapter_is_refused_and_whoever_is_being_answered_notices_nothing(
    engine: RunningEngine, bad: Any
) -> None:
    name = VersionName(bad.__name__.replace("_", "-"), 1)
    bad(engine, name)
    pid = engine.supervisor.pid
    async with aclosing(engine.client.stream(engine.supervisor.untuned, HELLO, ENDLESS)) as other:
        await anext(other)
        for _ in range(2):  # once refused, it is not half loaded
            with pytest.raises((NotFound, Refused), match=str(name)):
                await engine.client.answer(name, HELLO, SHORT)
        assert await asked_of_the_engine_itself(engine, name) in (400, 404)
        await anext(other)
    assert (engine.supervisor.pid, engine.supervisor.status.state) == (pid, "ready")
    shutil.rmtree(engine.paths.adapter(name).parent)  # what lies there is what an engine's size follows


async def asked_of_the_engine_itself(engine: RunningEngine, name: VersionName) -> int:
    """The status of an answer that nothing of ours stood before."""
    body = {"model": str(name), "messages": HELLO, "max_tokens": 1}
    async with engine.client._http.post("/v1/chat/completions", json=body) as answer:
        return answer.status


async def test_a_folder_deleted_after_it_was_loaded_and_put_aside_does_not_end_the_engine(
    engine: RunningEngine,
) -> None:
    name = published(engine, VersionName("vanishing", 1), made(engine, VersionName("vanishing", 1), 20))
    await engine.client.answer(name, HELLO, SHORT)
    pid = engine.supervisor.pid
    shutil.rmtree(engine.paths.adapter(name))
    for number in range(1, engine.supervisor.plan.max_cpu_loras + 2):  # until nothing of it is in memory
        crowd = VersionName("crowd", number)
        await engine.client.warm(published(engine, crowd, made(engine, crowd, 100 + number)))
    with pytest.raises(NotFound, match="vanishing@v1"):
        await engine.client.answer(name, HELLO, SHORT)
    assert (engine.supervisor.pid, engine.supervisor.status.state) == (pid, "ready")
    assert (await engine.client.answer(engine.supervisor.untuned, HELLO, SHORT)).text


async def test_an_assistant_falls_back_to_its_last_good_version(engine: RunningEngine, database: Database) -> None:
    async with database.session() as session:
        assistant = await add_assistant(session, "pier", "You are the pier.", "demo")
        for number in (1, 2, 3):
            name = published(engine, VersionName("pier", number), made(engine, VersionName("pier", number), number))
            session.add(
                Version(
                    assistant_id=assistant.id, number=number, state="passed", digest="0" * 64, base_model="demo",
                    system_prompt=f"You are pier {number}.", report={"sentence": ""},
                )
            )  # fmt: skip
            move = Promotion(assistant_id=assistant.id, action="promote", before=None, after=number, asked_by="Ada")
            session.add(move)
        assistant.in_service = 3
    cut_short(engine.paths.adapter(name) / WEIGHTS)
    shutil.rmtree(engine.paths.adapter(VersionName("pier", 2)))
    tried = []
    entrance = Entrance(engine.supervisor, engine.supervisor.plan.max_requests)

    async def find() -> tuple[VersionName, Routed]:
        async with database.session() as session:
            routed = await in_service(session, await find_assistant(session, "pier"))
        return routed.version, routed

    async def ask(routed: Routed) -> tuple[str, Piece | Finished]:
        tried.append(str(routed.version))
        stream = entrance.stream(routed.version, HELLO, SHORT, assistant="pier", person="ada")
        return routed.system_prompt, [event async for event in stream][-1]

    prompt, last = await with_last_good(database, find, ask)
    assert tried == ["pier@v3", "pier@v2", "pier@v1"] and isinstance(last, Finished)
    assert prompt == "You are pier 1."
    async with database.session() as session:
        assistant = await find_assistant(session, "pier")
        assert assistant.in_service == 1
        troubles = [(await find_version(session, assistant, number)).trouble for number in (1, 2, 3)]
    assert troubles == [None, "its files are gone or damaged", "its files are gone or damaged"]


async def running(engine: RunningEngine) -> float:
    transport = httpx.AsyncHTTPTransport(uds=str(engine.paths.engine_socket))
    async with httpx.AsyncClient(transport=transport, base_url="http://engine") as http:
        lines = (await http.get("/metrics")).text.splitlines()
    return sum(float(line.split()[-1]) for line in lines if line.startswith("vllm:num_requests_running{"))


async def looking(engine: RunningEngine) -> AsyncIterator[float]:
    """`running`, again and again."""
    while True:
        yield await running(engine)
        await asyncio.sleep(0.02)


async def test_whoever_leaves_frees_their_place_and_the_engine_stops_working_for_them(engine: RunningEngine) -> None:
    entrance = Entrance(engine.supervisor, 1)
    first = entrance.stream(engine.supervisor.untuned, HELLO, ENDLESS, assistant="a", person="x")
    await anext(first)
    assert await running(engine) == 1

    async def whole() -> Finished:
        stream = entrance.stream(engine.supervisor.untuned, HELLO, SHORT, assistant="b", person="y")
        return [event async for event in stream][-1]  # type: ignore[return-value]

    waiting = asyncio.create_task(whole())
    await until(lambda: entrance.line.waiting == 1, 5)
    await first.aclose()
    assert entrance.line.waiting == 0
    assert (await waiting).finish_reason in ("stop", "length")
    assert entrance.line.taken == 0
    async with asyncio.timeout(30):
        async for working in looking(engine):
            if not working:
                break


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
    await until(lambda: entrance.line.waiting == 20, 5)
    quiet = [asyncio.create_task(one("quiet", number)) for number in range(2)]
    await asyncio.gather(*busy, *quiet)
    assert max(at for at, assistant in enumerate(order) if assistant == "quiet") < 14
    assert states == {"ready"}


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
    monkeypatch.setattr(supervising, "rotate", full)
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
async def held(core: psutil.Process) -> AsyncIterator[None]:
    """Stopped for good."""
    core.suspend()
    yield


@asynccontextmanager
async def killed(core: psutil.Process) -> AsyncIterator[None]:
    """As by the kernel, where memory has run out. Stopped before, so that what has come is in it, and nothing said."""
    core.suspend()
    yield
    os.kill(core.pid, signal.SIGKILL)


@pytest.mark.parametrize("fault", [killed, held])
async def test_a_lost_core_is_replaced_and_costs_only_the_answer_that_had_begun(
    engine: RunningEngine, monkeypatch: pytest.MonkeyPatch, fault: Any
) -> None:
    """Held: whoever has stopped it stops it again each time that it is let go on, at once. It is replaced after half a
    minute; here a little after it was let go on for the first time. Its API process says “abort” when it is ended, and
    that is no end of an answer."""
    let_go: list[Any] = []
    monkeypatch.setattr(pulse, "go_on", let_go.append)
    monkeypatch.setattr(pulse, "UNWELL_SECONDS", pulse.HALTED_SECONDS + 3)
    before = engine.supervisor.pid
    entrance = Entrance(engine.supervisor, 2)

    async def whole(person: str) -> list[Piece | Finished]:
        stream = entrance.stream(engine.supervisor.untuned, HELLO, SHORT, assistant="a", person=person)
        return [event async for event in stream]

    alone = await whole("before")
    begun = entrance.stream(engine.supervisor.untuned, HELLO, ENDLESS, assistant="a", person="begun")
    await anext(begun)
    async with fault(process(engine, "core")):
        not_begun = asyncio.create_task(whole("asked"))
        await until(lambda: entrance.line.taken == 2, 5)
        in_line = [asyncio.create_task(whole(person)) for person in ("second", "third")]
        await until(lambda: entrance.line.waiting == 2, 5)
        if fault is held:
            await until(lambda: engine.supervisor.status.state == "unwell", KNOWN_SOON)
            await until(lambda: engine.supervisor.status.state == "restarting", 60)
            assert let_go
    await until(lambda: engine.supervisor.status.state != "ready", KNOWN_SOON)
    with pytest.raises(EngineUnavailable):
        async for _ in begun:
            pass
    answered = await asyncio.gather(not_begun, *in_line)
    assert [events[-1].text for events in answered] == [alone[-1].text] * 3
    assert entrance.line.taken == 0
    assert engine.supervisor.pid not in (None, before)
