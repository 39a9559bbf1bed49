"""A new version whose adapter the running engine does not take yet: the job waits until it does, says so, and can be
stopped meanwhile. The job has learnt and published already; what it waits with is a stand-in."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import asynccontextmanager

import pytest
from adapter_making import random_adapter

from config.errors import EngineUnavailable, JobFailed
from config.names import VersionName
from config.settings import Settings
from serving.adapters import publish
from serving.client import EngineClient
from store.assistants import add_assistant
from store.database import Database
from store.tables import Job
from tuning import jobs
from tuning.job_steps import MakeRoom
from tuning.runner import JobRunner
from tuning.training.run import RunFolder, TrainingResult, TrainingRun

RANK = 64
WAITS = "The engine takes adapters of rank 16 at most, and this one has 64: it is started anew."
RESULT = TrainingResult(
    held_out_base=3.0, held_out=2.0, general_base=None, general=None, general_kept=True, steps=1, best_step=1, epochs=1,
    learnt_tokens=1, tokens_per_second=1, seconds=1, peak_memory=1, learning_rate=0.1, examples=1, held_out_examples=1,
    left_out=0, method="full", rank=RANK, seed=0, data_digest="", versions={},
)  # fmt: skip


@pytest.fixture
async def published(database: Database, settings: Settings) -> Job:
    """A job at its measuring."""
    async with database.session() as session:
        await add_assistant(session, "harbour", "Be kind.", "demo")
    job, _ = await jobs.enqueue(database, "harbour", "Ada", "full")
    run = RunFolder(settings.paths.job(job.id))
    run.folder.mkdir(parents=True)
    curated = dict.fromkeys(("messages", "conversations", "examples", "people"), 1) | {"funnel": [], "lineage": {}}
    (run.folder / "curated.json").write_text(json.dumps(curated))
    run.settings.write_text(TrainingRun(model="demo", method="full", rank=RANK).model_dump_json())
    (run.folder / "result.json").write_text(RESULT.model_dump_json())
    staged = random_adapter(settings.paths.jobs / "staged", 1, rank=RANK)
    publish(staged, settings.paths.adapter(VersionName("harbour", 1)), {"base_model": "demo"})
    return job


@asynccontextmanager
async def nobody() -> AsyncIterator[EngineClient]:
    raise JobFailed("It was to be measured.")
    yield


async def run(database: Database, settings: Settings, make_room: MakeRoom) -> None:
    runner = JobRunner(database, settings, nobody, None, make_room)
    assert runner.acquire()
    try:
        assert await runner.run_next()
    finally:
        runner.release()


async def test_it_is_measured_only_once_there_is_room_and_says_what_it_waits_for(
    database: Database, settings: Settings, published: Job
) -> None:
    go, asked = asyncio.Event(), list[int]()

    async def make_room(rank: int) -> AsyncGenerator[str]:
        asked.append(rank)
        while not go.is_set():
            yield WAITS
            await asyncio.sleep(0.01)

    running = asyncio.create_task(run(database, settings, make_room))
    async for job in jobs.follow(database, published.id):
        if job.progress.get("sentence") == WAITS:
            break
    assert (job.state, job.step, asked) == ("running", "measuring", [RANK])
    go.set()
    await running
    assert (await jobs.get(database, published.id)).error == "It was to be measured."


async def test_while_it_waits_it_can_be_stopped(database: Database, settings: Settings, published: Job) -> None:
    left = False

    async def make_room(rank: int) -> AsyncGenerator[str]:
        nonlocal left
        try:
            while True:
                yield WAITS
                await asyncio.sleep(0.01)
        finally:
            left = True

    running = asyncio.create_task(run(database, settings, make_room))
    async for job in jobs.follow(database, published.id):
        if job.progress.get("sentence") == WAITS:
            break
    await jobs.cancel(database, published.id)
    await asyncio.wait_for(running, 10)
    assert (await jobs.get(database, published.id)).state == "cancelled"
    assert left


async def test_where_there_is_no_room_for_now_it_waits_and_says_the_reason(
    database: Database, settings: Settings, published: Job
) -> None:
    async def make_room(rank: int) -> AsyncGenerator[str]:
        raise EngineUnavailable("The engine did not come up.")
        yield ""

    await run(database, settings, make_room)
    job = await jobs.get(database, published.id)
    assert (job.state, job.error) == ("queued", None)
    assert job.progress["sentence"].startswith("The engine did not come up.")
