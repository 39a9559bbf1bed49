"""A job that is asked to stop has ended in five seconds, whatever it is doing, and leaves no process and no text."""

from __future__ import annotations

import asyncio
import threading
from typing import Any

import pytest
from harbour import Harbour, alive, running, trainers, until

from tuning import jobs
from tuning.versions import history

PROMISED = 5.0


async def ends_in_time(harbour: Harbour, job_id: int) -> None:
    job, seconds = await harbour.cancelled(job_id)
    assert (job.state, job.error) == ("cancelled", None)
    assert seconds < PROMISED
    assert trainers() == []
    assert await history(harbour.database, "harbour") == []


async def gone(harbour: Harbour, job_id: int) -> None:
    await until(lambda: not harbour.settings.paths.job(job_id).exists(), 30)


@pytest.mark.parametrize("listens", [True, False])
async def test_while_reading(quick: Harbour, monkeypatch: pytest.MonkeyPatch, listens: bool) -> None:
    """Also where the thread that reads hears nothing for a long time."""
    reads, enough = threading.Event(), threading.Event()

    async def endless(database: Any, assistant: int, folder: Any, say: Any) -> Any:
        (folder / "train.jsonl").write_text("somebody's words")
        reads.set()
        while not enough.is_set():
            if listens:
                say("sorting", 1, 2)
            enough.wait(0.05)
        raise RuntimeError("nobody waits for this any more")

    monkeypatch.setattr("tuning.job_steps.curate", endless)
    job = await quick.asked()
    async with running(quick.runner):
        await until(reads.is_set)
        try:
            await ends_in_time(quick, job.id)
        finally:
            enough.set()
        await gone(quick, job.id)


async def test_while_the_trainer_loads_and_says_nothing(harbour: Harbour) -> None:
    job = await harbour.asked()
    async with running(harbour.runner):
        await until(trainers)
        assert not (harbour.settings.paths.job(job.id) / "checkpoint").exists()
        await ends_in_time(harbour, job.id)
        await gone(harbour, job.id)


async def test_while_a_trainer_hears_nothing_in_the_midst_of_one_long_step(harbour: Harbour) -> None:
    job = await harbour.asked()
    async with running(harbour.runner):
        progress = harbour.settings.paths.job(job.id) / "progress.json"
        await until(progress.exists)
        inner = [process for process in trainers() if "leash.py" not in " ".join(process.cmdline())]
        for process in inner:
            process.suspend()  # as deaf to SIGTERM as within a computation
        await ends_in_time(harbour, job.id)
        assert not any(alive(process) for process in inner)
        await gone(harbour, job.id)


async def test_while_waiting_for_the_engine(quick: Harbour) -> None:
    quick.engine.away = [asyncio.Event()]
    job = await quick.asked()
    async with running(quick.runner):
        await until(lambda: quick.engine.taken)
        await ends_in_time(quick, job.id)
        await gone(quick, job.id)


async def test_while_measuring(quick: Harbour) -> None:
    quick.engine.script = [None] * 20 + [asyncio.Event()] * 30
    job = await quick.asked()
    async with running(quick.runner):
        await until(lambda: quick.engine.scored > 20)
        await ends_in_time(quick, job.id)
        await gone(quick, job.id)
        asked = quick.engine.scored
        await asyncio.sleep(1)
        assert quick.engine.scored == asked  # nothing of it goes on behind


async def test_while_a_room_is_made_beside_the_engine(quick: Harbour, monkeypatch: pytest.MonkeyPatch) -> None:
    from contextlib import asynccontextmanager

    waits = asyncio.Event()

    @asynccontextmanager
    async def never(self: Any, assistant: str, plan: Any) -> Any:
        waits.set()
        await asyncio.Event().wait()
        yield

    monkeypatch.setattr("tuning.sharing.Sharing.room", never)
    job = await quick.asked()
    async with running(quick.runner):
        await waits.wait()
        await ends_in_time(quick, job.id)


async def test_what_takes_long_to_put_in_order_keeps_nobody_waiting(
    quick: Harbour, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As an engine that is woken after it slept for a training: that is done to its end; the job has ended before."""
    from contextlib import asynccontextmanager

    from tuning.sharing import Room

    woken = asyncio.Event()

    @asynccontextmanager
    async def slow(self: Any, assistant: str, plan: Any) -> Any:
        try:
            yield Room()
        finally:
            await asyncio.sleep(6)
            woken.set()

    async def endless(*_: Any) -> Any:
        await asyncio.Event().wait()
        yield

    monkeypatch.setattr("tuning.sharing.Sharing.room", slow)
    monkeypatch.setattr("tuning.elsewhere.place.run_training", endless)
    job = await quick.asked()
    async with running(quick.runner):
        await quick.until(job.id, lambda job: job.step == "learning")
        await ends_in_time(quick, job.id)
        assert not woken.is_set()
        await asyncio.wait_for(woken.wait(), 30)
        await gone(quick, job.id)


async def test_in_line_with_what_it_has_made(quick: Harbour) -> None:
    """One that met a setback keeps its folder; stopped in line, its text goes as well."""
    quick.settings.paths.job(1).mkdir()
    (quick.settings.paths.job(1) / "train.jsonl").write_text("somebody's words")
    job = await quick.asked()
    assert job.id == 1
    quick.runner.acquire()
    await jobs.cancel(quick.database, job.id)
    async with running(quick.runner):
        await gone(quick, job.id)
    assert (await quick.job(job.id)).state == "cancelled"


async def test_a_version_on_record_stays_and_only_its_promotion_is_stopped(quick: Harbour) -> None:
    from store.assistants import find_assistant

    async with quick.database.session() as session:
        (await find_assistant(session, "harbour")).auto_promote = True
    wait = asyncio.Event()
    quick.engine.away = [asyncio.Event()]
    quick.engine.away.insert(0, wait)
    wait.set()
    job = await quick.asked()
    async with running(quick.runner):
        await until(lambda: quick.engine.taken == 2)
        ended, seconds = await quick.cancelled(job.id)
    assert seconds < PROMISED
    assert ended.state == "done"
    view = (await history(quick.database, "harbour"))[0]
    assert (view.state, view.in_service) == ("passed", False)
