"""A machine with too little memory for the base as it is: a retrain says so and learns in 4 bits, and the engine, which
serves the base as it is, computes what the trainer computed."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace
from pathlib import Path

import pytest
from chat_exports import add_assistant, chat, silent, talk, written
from running_engine import RunningEngine
from small_training import new_run

from config.catalogue import DEMO_FOLDER
from config.hardware import Hardware, probe
from config.names import VersionName
from config.settings import Settings
from serving.adapters import publish
from serving.client import EngineClient
from store.database import Database
from store.tables import Job
from tuning import jobs
from tuning.gate.parity import LIMITS, measure_parity
from tuning.importing import import_file
from tuning.runner import JobRunner
from tuning.training.loop import Training
from tuning.training.run import Method, RunFolder

ROOM = 40 << 20
"""Bytes: enough to learn on the built-in model in 4 bits, not on the whole of it."""


@pytest.fixture
def short(monkeypatch: pytest.MonkeyPatch) -> None:
    """Jobs find so much memory free."""

    def found(home: Path) -> Hardware:
        return replace(probe(home), memory_free=ROOM, gpus=())

    monkeypatch.setattr("tuning.elsewhere.place.probe", found)


@asynccontextmanager
async def retrain(database: Database, settings: Settings, folder: Path, method: Method) -> AsyncIterator[Job]:
    """A job that runs. It is over at the end of the block."""

    @asynccontextmanager
    async def no_engine() -> AsyncIterator[EngineClient]:
        raise AssertionError("nothing of this is measured")
        yield

    await add_assistant(database)
    await import_file(database, written(folder, chat(talk(90))), "harbour", "Runa", "Ingrid", silent)
    runner = JobRunner(database, settings, no_engine)
    assert runner.acquire()
    job, _ = await jobs.enqueue(database, "harbour", "Ingrid", method)
    running = asyncio.create_task(runner.run_next())
    try:
        yield job
        assert await running
    finally:
        runner.release()


async def test_a_retrain_says_so_beforehand_and_learns_in_4_bits(
    short: None, database: Database, settings: Settings, tmp_path: Path
) -> None:
    async with retrain(database, settings, tmp_path, "lora") as job:
        assert "in 4 bits" in (await jobs.preview(database, settings, "harbour")).sentence
        async for now in jobs.follow(database, job.id):
            if now.step == "learning":
                break
        run = RunFolder(settings.paths.job(job.id)).read_settings()
        await jobs.cancel(database, job.id)
    assert run.four_bits
    assert (await jobs.get(database, job.id)).state == "cancelled"


async def test_where_memory_is_not_short_nothing_is_said_of_it(
    database: Database, settings: Settings, tmp_path: Path
) -> None:
    await add_assistant(database)
    await import_file(database, written(tmp_path, chat(talk(90))), "harbour", "Runa", "Ingrid", silent)
    plan = await jobs.preview(database, settings, "harbour")
    assert plan.enough
    assert "4 bits" not in plan.sentence


async def test_a_method_that_cannot_learn_so_is_refused_in_a_sentence(
    short: None, database: Database, settings: Settings, tmp_path: Path
) -> None:
    async with retrain(database, settings, tmp_path, "full") as job:
        pass
    ended = await jobs.get(database, job.id)
    assert ended.state == "failed"
    assert ended.error is not None
    assert "in 4 bits only" in ended.error and "choose the method lora" in ended.error


async def test_the_engine_computes_what_the_trainer_says_of_an_adapter_learnt_in_4_bits(
    engine: RunningEngine, tmp_path: Path
) -> None:
    folder, run = new_run(tmp_path / "run", DEMO_FOLDER, four_bits=True, epochs=1, own_share=0.0, replay_share=0.0)
    result = await asyncio.to_thread(lambda: Training(folder, run, lambda: False).go())
    assert result.held_out < 0.9 * result.held_out_base
    version = VersionName("skiff", 1)
    publish(folder.adapter, engine.paths.adapter(version), {"base_model": "demo"})
    parity = await measure_parity(engine.client, version, folder.read_parity(), "float32")
    assert parity.same_rendering
    assert parity.tokens >= 300
    assert parity.limit == LIMITS["float32"] == 0.02
    assert parity.mean_difference < 0.002
