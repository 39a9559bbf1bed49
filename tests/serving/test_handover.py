"""One engine takes over from another: answers under way end where they began, new ones go to the new one, nothing stays
behind. Mostly with processes that stand in for engines; once with real ones, under load."""

from __future__ import annotations

import asyncio
import sys
import time
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import aclosing
from dataclasses import replace
from pathlib import Path

import psutil
import pytest
from adapter_making import random_adapter
from running_engine import RunningEngine

from config.catalogue import CatalogueModel, find_model
from config.errors import EngineUnavailable
from config.hardware import Plan
from config.names import VersionName
from config.settings import Settings
from serving import handover, resizing
from serving.adapters import ensure_untuned, publish
from serving.client import Piece, Sampling
from serving.handover import under_way
from serving.prompt import Message
from serving.resizing import Resizing
from serving.supervisor import EngineSupervisor
from store.assistants import add_assistant, find_assistant
from store.crypto import load_cipher
from store.database import Database

STAND_IN = Path(__file__).with_name("stand_in_engine.py")
HELLO: list[Message] = [{"role": "user", "content": "Hello"}]
WAIT: list[Message] = [{"role": "user", "content": "wait"}]
ONE = Sampling(max_tokens=1, temperature=0.0)
SERVING = 12
"""Assistants with a version in service: more than a fresh engine has slots."""


def stand_in(model: CatalogueModel, plan: Plan, socket: Path, targets: Sequence[str]) -> list[str]:
    return [sys.executable, str(STAND_IN), str(socket)]


@pytest.fixture
async def supervisor(settings: Settings, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[EngineSupervisor]:
    """One whose engines are processes that stand in for them; ready."""
    monkeypatch.setattr("serving.engine.command_line", stand_in)
    settings.paths.ensure()
    ensure_untuned(settings.paths, find_model("demo"))
    made = EngineSupervisor(settings, load_cipher(settings.paths.key_file, None))
    made.start()
    await made.wait_ready(timeout=60)
    yield made
    await made.stop()


async def says(supervisor: EngineSupervisor, messages: list[Message] = HELLO) -> str:
    return (await supervisor.client.answer(supervisor.untuned, messages, ONE)).text


async def hand_over(supervisor: EngineSupervisor) -> None:
    await supervisor.hand_over(replace(supervisor.plan, max_loras=24), [supervisor.untuned])


def living(pid: int) -> bool:
    return psutil.pid_exists(pid) and psutil.Process(pid).status() != psutil.STATUS_ZOMBIE


async def until(truth: Callable[[], bool], seconds: float = 30) -> None:
    deadline = time.monotonic() + seconds
    while not truth():
        assert time.monotonic() < deadline, "it did not come true"
        await asyncio.sleep(0.02)


async def gone(pid: int) -> None:
    await until(lambda: not living(pid))


async def test_an_answer_under_way_ends_where_it_began_and_new_ones_come_from_the_new_engine(
    supervisor: EngineSupervisor,
) -> None:
    socket = supervisor.paths.engine_socket
    first = await says(supervisor)
    async with aclosing(supervisor.client.stream(supervisor.untuned, WAIT, ONE)) as stream:
        begun = await anext(stream)
        assert isinstance(begun, Piece)
        assert begun.text == first
        assert await under_way(socket) == 1
        await hand_over(supervisor)
        second = await says(supervisor)
        assert second != first
        assert living(int(first)), "it ended with an answer under way"
        assert await under_way(socket) == 0
        socket.with_name("go").touch()
        rest = [event async for event in stream]
    assert rest[-1].text == f"{first} on"
    await gone(int(first))
    assert await says(supervisor) == second
    assert supervisor.status.state == "ready"
    assert supervisor.plan.max_loras == 24


async def test_an_engine_that_took_over_is_watched_and_ended_like_any(supervisor: EngineSupervisor) -> None:
    first = int(await says(supervisor))
    async with aclosing(supervisor.client.stream(supervisor.untuned, WAIT, ONE)) as stream:
        await anext(stream)  # keeps the first one from ending
        await hand_over(supervisor)
        second = int(await says(supervisor))
        psutil.Process(second).kill()
        await until(lambda: supervisor.status.state != "ready")
    await supervisor.wait_ready(timeout=60)
    third = int(await says(supervisor))
    assert third not in (first, second)
    await supervisor.stop()
    assert not any(living(pid) for pid in (first, second, third))


async def test_a_second_engine_that_does_not_start_changes_nothing(
    supervisor: EngineSupervisor, monkeypatch: pytest.MonkeyPatch
) -> None:
    first = await says(supervisor)
    monkeypatch.setattr("serving.engine.command_line", lambda *_: [sys.executable, "-c", "raise SystemExit(3)"])
    with pytest.raises(EngineUnavailable, match="did not start"):
        await hand_over(supervisor)
    assert await says(supervisor) == first
    assert supervisor.status.state == "ready"
    assert supervisor.plan.max_loras != 24


async def outgrow(database: Database, supervisor: EngineSupervisor) -> None:
    """More versions in service than the engine has slots."""
    for number in range(SERVING):
        name = VersionName(f"grown-{number}", 1)
        staged = random_adapter(supervisor.paths.jobs / f"grown-{number}", number)
        publish(staged, supervisor.paths.adapter(name), {"base_model": "demo"})
        async with database.session() as session:
            await add_assistant(session, name.assistant, "Be kind.", "demo")
            (await find_assistant(session, name.assistant)).in_service = 1


async def test_an_engine_that_is_too_small_says_so_and_is_exchanged_once_it_is_quiet(
    supervisor: EngineSupervisor, database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    looking = Resizing(database, supervisor)
    assert not await looking.look()
    assert supervisor.status.sentence == "The engine is ready."
    await outgrow(database, supervisor)
    first = await says(supervisor)
    monkeypatch.setattr(resizing, "QUIET_SECONDS", 0.0)
    async with aclosing(supervisor.client.stream(supervisor.untuned, WAIT, ONE)) as stream:
        await anext(stream)
        assert not await looking.look(), "somebody is being answered"
        assert f"{SERVING + 1} adapters are in use" in supervisor.status.sentence
        assert "nobody has to wait" in supervisor.status.sentence
        supervisor.paths.engine_socket.with_name("go").touch()
        assert [event async for event in stream][-1].text == f"{first} on"
    assert await looking.look()
    assert supervisor.plan.max_loras > SERVING
    assert supervisor.status.sentence == "The engine is ready."
    assert await says(supervisor) != first
    assert not await looking.look()


async def test_where_memory_does_not_allow_two_engines_one_is_started_anew_when_nobody_is_answered(
    supervisor: EngineSupervisor, database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    await outgrow(database, supervisor)
    first = await says(supervisor)
    for name, value in (("QUIET_SECONDS", 0.0), ("PATIENCE_SECONDS", 0.0), ("second_fits", lambda *_: False)):
        monkeypatch.setattr(resizing, name, value)
    looking = Resizing(database, supervisor)
    async with aclosing(supervisor.client.stream(supervisor.untuned, WAIT, ONE)) as stream:
        await anext(stream)
        assert not await looking.look(), "somebody is being answered, and would be cut"
        assert "started anew" in supervisor.status.sentence
    while await under_way(supervisor.paths.engine_socket):
        assert not await looking.look()
    assert await looking.look()
    assert not living(int(first))
    await supervisor.wait_ready(timeout=60)
    assert supervisor.plan.max_loras > SERVING
    assert await says(supervisor) != first


async def test_nobody_notices_when_a_real_engine_is_exchanged_under_load(
    engine: RunningEngine, database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    supervisor = engine.supervisor
    await outgrow(database, supervisor)
    names = [VersionName(f"grown-{number}", 1) for number in range(3)]
    greedy = Sampling(max_tokens=12, temperature=0.0)
    expected = {name: (await engine.client.answer(name, HELLO, greedy)).text for name in names}
    smaller = replace(supervisor.plan, max_loras=4)  # other tests may have left many adapters to plan for
    monkeypatch.setattr(supervisor, "plan", smaller)
    monkeypatch.setattr(resizing, "PATIENCE_SECONDS", 0.0)
    former = supervisor.pid
    over, answered = asyncio.Event(), 0

    async def talk(name: VersionName) -> None:
        nonlocal answered
        while not over.is_set():
            assert (await engine.client.answer(name, HELLO, greedy)).text == expected[name]
            answered += 1

    async with asyncio.TaskGroup() as group:
        for name in names:
            group.create_task(talk(name))
        looking = Resizing(database, supervisor)
        assert await looking.look()
        before = answered
        await until(lambda: answered >= before + 3 * len(names), 60)
        over.set()
    assert supervisor.pid != former
    assert supervisor.plan.max_loras > smaller.max_loras
    assert supervisor.status.state == "ready"
    await gone(former or 0)
    last = handover._beside(supervisor.paths.engine_socket, handover.LAST)
    await until(lambda: not last.exists())
    assert (await engine.client.answer(names[0], HELLO, greedy)).text == expected[names[0]]
