"""One engine takes over from another: answers under way end where they began, new ones go to the new one, nothing stays
behind. Mostly with processes that stand in for engines; once with real ones, under load."""

from __future__ import annotations

import asyncio
import errno
from contextlib import aclosing
from dataclasses import replace

import psutil
import pytest
from running_engine import RunningEngine
from standing_in import HELLO, ONE, SERVING, WAIT, gone, living, outgrow, says, until

from config.errors import EngineUnavailable
from config.names import VersionName
from serving import handover, resizing
from serving.answer import Piece, Sampling
from serving.handover import under_way
from serving.leashed import Leashed
from serving.resizing import Resizing
from serving.supervisor import EngineSupervisor
from store.database import Database


async def hand_over(supervisor: EngineSupervisor) -> None:
    await supervisor.hand_over(replace(supervisor.plan, max_loras=24), [supervisor.untuned])


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
    monkeypatch.setattr("serving.engine.command_line", lambda *_: ["false"])
    with pytest.raises(EngineUnavailable, match="did not start"):
        await hand_over(supervisor)
    assert await says(supervisor) == first
    assert supervisor.status.state == "ready"
    assert supervisor.plan.max_loras != 24


async def test_a_second_engine_that_cannot_take_over_is_ended_and_the_first_serves_on(
    supervisor: EngineSupervisor, monkeypatch: pytest.MonkeyPatch
) -> None:
    first, seconds = await says(supervisor), list[int]()

    async def ready_without_a_socket(*given: object) -> Leashed:
        made = await handover.successor(*given)  # type: ignore[arg-type]
        seconds.append(made.pid)
        handover._beside(supervisor.paths.engine_socket, handover.NEXT).unlink()
        return made

    monkeypatch.setattr("serving.supervisor.successor", ready_without_a_socket)
    with pytest.raises(EngineUnavailable, match="could not take over"):
        await hand_over(supervisor)
    await gone(seconds[0])
    assert await says(supervisor) == first
    assert (supervisor.status.state, supervisor.retiring) == ("ready", False)
    assert not handover._beside(supervisor.paths.engine_socket, handover.LAST).exists()


async def test_a_full_disk_keeps_a_second_engine_from_starting_in_words(
    supervisor: EngineSupervisor, monkeypatch: pytest.MonkeyPatch
) -> None:
    first = await says(supervisor)

    async def full(*given: object) -> Leashed:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(handover, "launch", full)
    with pytest.raises(EngineUnavailable, match="No space left"):
        await hand_over(supervisor)
    assert await says(supervisor) == first


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
    supervisor.plan = smaller  # not put back afterwards: the engine that takes over has a plan of its own
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
