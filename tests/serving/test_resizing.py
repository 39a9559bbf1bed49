"""An engine that is too small, where exchanging it does not go well: nothing is tried without end, a working engine is
not given up for one that does not come up, and what is said is so. With processes that stand in for engines."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import aclosing, asynccontextmanager
from dataclasses import replace
from pathlib import Path

import pytest
from adapter_making import random_adapter
from running_engine import RunningEngine
from standing_in import HELLO, ONE, SERVING, WAIT, gone, outgrow, says, stand_in, until

from config.catalogue import CatalogueModel
from config.errors import EngineUnavailable, Refused
from config.hardware import Plan
from config.names import VersionName
from serving import handover, resizing
from serving.adapters import publish
from serving.handover import under_way
from serving.resizing import Resizing
from serving.supervisor import EngineSupervisor
from store.database import Database, open_database


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    """Any moment is quiet, and one looks often."""
    for name, value in (("QUIET_SECONDS", 0.0), ("LOOK_SECONDS", 0.05), ("HURRY_SECONDS", 0.05)):
        monkeypatch.setattr(resizing, name, value)


def none_beside(model: CatalogueModel, plan: Plan, socket: Path, targets: Sequence[str]) -> list[str]:
    """No engine starts beside another one."""
    return ["false"] if socket.name.endswith(handover.NEXT) else stand_in(model, plan, socket, targets)


def none_larger(model: CatalogueModel, plan: Plan, socket: Path, targets: Sequence[str]) -> list[str]:
    """No engine starts that is larger than the first one."""
    return ["false"] if plan.max_loras > 8 or plan.max_lora_rank > 16 else stand_in(model, plan, socket, targets)


def never(monkeypatch: pytest.MonkeyPatch) -> None:
    """Memory has no room for a second engine."""
    monkeypatch.setattr(resizing, "second_fits", lambda *_: False)


@asynccontextmanager
async def looked_after(looking: Resizing) -> AsyncIterator[None]:
    task = asyncio.create_task(looking.run_forever())
    try:
        yield
        assert not task.done(), "it broke"
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)


async def of_rank(supervisor: EngineSupervisor, rank: int) -> VersionName:
    """A version with an adapter of this rank."""
    name = VersionName(f"of-rank-{rank}", 1)
    publish(
        random_adapter(supervisor.paths.jobs / str(name), rank, rank=rank), supervisor.paths.adapter(name),
        {"base_model": "demo"},
    )  # fmt: skip
    return name


async def waited_for(looking: Resizing, rank: int) -> list[str]:
    """What was said until there was room, each sentence once."""
    said: list[str] = []
    async with aclosing(looking.make_room(rank)) as waiting:
        async for sentence in waiting:
            if sentence not in said:
                said.append(sentence)
    return said


async def test_after_two_failures_beside_it_the_engine_is_started_anew(
    supervisor: EngineSupervisor, database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    await outgrow(database, supervisor)
    first = await says(supervisor)
    monkeypatch.setattr("serving.engine.command_line", none_beside)
    looking = Resizing(database, supervisor)
    with pytest.raises(EngineUnavailable, match="did not start"):
        await looking.look()
    assert not await looking.look(), "it is not tried again at once"
    assert "did not come up" in supervisor.status.notice and "tried again in about" in supervisor.status.notice
    looking._not_before = 0.0  # the pause is over
    with pytest.raises(EngineUnavailable, match="did not start"):
        await looking.look()
    async with aclosing(supervisor.client.stream(supervisor.untuned, WAIT, ONE)) as stream:
        await anext(stream)
        assert not await looking.look(), "somebody is being answered, and would be cut"
        assert "no larger one came up beside it, so it is started anew" in supervisor.status.notice
    while await under_way(supervisor.paths.engine_socket):
        assert not await looking.look()
    assert await looking.look()
    await supervisor.wait_ready(timeout=60)
    assert await says(supervisor) != first
    assert supervisor.plan.max_loras > SERVING
    assert not await looking.look()
    assert supervisor.status.notice == ""


async def test_an_engine_that_does_not_come_up_larger_runs_as_it_was_and_says_when_that_is_tried_again(
    supervisor: EngineSupervisor, database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    await outgrow(database, supervisor)
    plan = supervisor.plan
    never(monkeypatch)
    monkeypatch.setattr("serving.engine.command_line", none_larger)
    looking = Resizing(database, supervisor)
    assert await looking.look()
    assert "larger" in supervisor.status.sentence
    await supervisor.wait_ready(timeout=60)
    assert supervisor.plan == plan
    assert supervisor.fell_back is not None and supervisor.fell_back.slots > SERVING
    pid = await says(supervisor)
    assert not await looking.look()
    assert "tried again in about 60 minutes" in supervisor.status.notice
    assert await says(supervisor) == pid


async def test_while_a_former_engine_finishes_answers_there_is_no_third_one(
    supervisor: EngineSupervisor, database: Database
) -> None:
    looking = Resizing(database, supervisor)
    first = await says(supervisor)
    async with aclosing(supervisor.client.stream(supervisor.untuned, WAIT, ONE)) as stream:
        await anext(stream)
        await supervisor.hand_over(supervisor.plan, [supervisor.untuned])
        second = await says(supervisor)
        await outgrow(database, supervisor)
        assert not await looking.look()
        assert await says(supervisor) == second
        supervisor.paths.engine_socket.with_name("go").touch()
        assert [event async for event in stream][-1].text == f"{first} on"
    await until(lambda: not supervisor.retiring)
    while not await looking.look():
        pass
    assert await says(supervisor) not in (first, second)


async def test_an_engine_that_is_started_again_as_it_was_is_not_called_larger(supervisor: EngineSupervisor) -> None:
    await supervisor.restart(supervisor.plan)
    assert "started again" in supervisor.status.sentence and "larger" not in supervisor.status.sentence
    await supervisor.wait_ready(timeout=60)
    await supervisor.restart(replace(supervisor.plan, max_loras=24))
    assert "started again, larger" in supervisor.status.sentence


async def test_one_look_that_breaks_is_not_the_last(
    supervisor: EngineSupervisor, database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    looks = 0

    async def full(*given: object) -> object:
        nonlocal looks
        looks += 1
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(resizing, "in_use", full)
    async with looked_after(Resizing(database, supervisor)):
        await until(lambda: looks > 2)


async def test_what_no_exchange_can_help_is_said_as_well(
    supervisor: EngineSupervisor, database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    await outgrow(database, supervisor)
    monkeypatch.setattr(supervisor, "plan_now", lambda: supervisor.plan)  # the machine affords no more
    assert not await Resizing(database, supervisor).look()
    assert supervisor.status.notice.startswith("13 adapters are in use, and this machine has room for 8 at once")
    assert supervisor.status.notice in supervisor.status.sentence


async def test_a_card_that_cannot_be_seen_for_a_moment_exchanges_nothing(
    supervisor: EngineSupervisor, database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    await outgrow(database, supervisor)
    monkeypatch.setattr(supervisor, "plan", replace(supervisor.plan, device="cuda"))
    assert not await Resizing(database, supervisor).look()
    assert supervisor.status.sentence == "The engine is ready."


async def test_whoever_needs_a_larger_rank_waits_until_it_is_there_and_cuts_nobody(
    supervisor: EngineSupervisor, database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(resizing, "QUIET_SECONDS", 3600.0)  # it does not wait for that
    never(monkeypatch)
    await of_rank(supervisor, 32)
    first, looking = await says(supervisor), Resizing(database, supervisor)
    async with looked_after(looking):
        async with aclosing(supervisor.client.stream(supervisor.untuned, WAIT, ONE)) as stream:
            await anext(stream)
            waiting = asyncio.create_task(waited_for(looking, 32))
            await until(lambda: "first moment" in supervisor.status.notice)
            await asyncio.sleep(0.3)
            assert not waiting.done()
            supervisor.paths.engine_socket.with_name("go").touch()
            assert [event async for event in stream][-1].text == f"{first} on"
        said = await asyncio.wait_for(waiting, 60)
    assert supervisor.plan.max_lora_rank == 32
    assert any("takes adapters of rank 16 at most, and this one has 32: it is started anew" in told for told in said)
    assert await says(supervisor) != first
    assert await waited_for(looking, 32) == []


async def test_whoever_needs_a_rank_that_no_engine_comes_up_for_is_told_so(
    supervisor: EngineSupervisor, database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    never(monkeypatch)
    await of_rank(supervisor, 32)
    monkeypatch.setattr("serving.engine.command_line", none_larger)
    looking = Resizing(database, supervisor)
    async with looked_after(looking):
        with pytest.raises(EngineUnavailable, match="did not come up for adapters of rank 32"):
            await asyncio.wait_for(waited_for(looking, 32), 60)
    assert supervisor.plan.max_lora_rank == 16


async def test_a_real_engine_takes_an_adapter_of_a_larger_rank_once_there_is_room(engine: RunningEngine) -> None:
    supervisor = engine.supervisor
    database = await open_database(engine.settings)
    rank, former = 2 * supervisor.plan.max_lora_rank, supervisor.pid
    name = await of_rank(supervisor, rank)
    with pytest.raises(Refused, match="larger rank"):
        await engine.client.score(name, HELLO)
    looking = Resizing(database, supervisor)
    async with looked_after(looking):
        said = await asyncio.wait_for(waited_for(looking, rank), 300)
    await database.close()
    assert supervisor.plan.max_lora_rank >= rank and said
    scored = await engine.client.score(name, HELLO)
    untuned = await engine.client.score(supervisor.untuned, HELLO)
    assert scored.ids == untuned.ids and scored.logprobs != untuned.logprobs
    await until(lambda: not supervisor.retiring, 60)
    await gone(former or 0)
