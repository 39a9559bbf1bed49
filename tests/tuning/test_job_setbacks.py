"""What a job meets that passes by itself costs it nothing that it has made, and the runner lives through all of it."""

from __future__ import annotations

import asyncio
from contextlib import asynccontextmanager
from typing import Any

import pytest
from harbour import Harbour, running, until
from sqlalchemy import update
from sqlalchemy.exc import OperationalError

from config.errors import DiskFull, EngineUnavailable, Refused
from console.output import Steps
from console.tuning_commands import _to_its_end
from store.assistants import find_assistant
from store.database import Database
from store.tables import Job, Promotion
from tuning import insisting
from tuning.job_steps import JobSteps
from tuning.runner import MOST_ATTEMPTS, JobRunner
from tuning.versions import history, promote, rollback

BROKE_OFF = EngineUnavailable("The engine broke off in the middle of the answer; ask again.")
DOES_NOT_COME = EngineUnavailable("The engine does not come up; it is tried again in about 60 seconds.")


@pytest.fixture(autouse=True)
def soon(monkeypatch: pytest.MonkeyPatch) -> None:
    """What is tried again is so after a moment."""
    monkeypatch.setattr("tuning.setback.FIRST_PAUSE", 0.2)
    monkeypatch.setattr("tuning.setback.LONGEST_PAUSE", 0.5)
    monkeypatch.setattr("tuning.insisting.PAUSE", 0.1)


@pytest.fixture
def database_breaks(harbour: Harbour, monkeypatch: pytest.MonkeyPatch) -> list[Exception]:
    """While an error is in the list, every session of the runner's database raises it."""
    broken: list[Exception] = []
    session = harbour.database.session

    @asynccontextmanager
    async def breaking() -> Any:
        if broken:
            raise broken[0]
        async with session() as opened:
            yield opened

    monkeypatch.setattr(harbour.runner, "_database", BreakingDatabase(harbour.database, breaking))
    return broken


class BreakingDatabase:
    """A database whose sessions are another's."""

    def __init__(self, database: Database, session: Any) -> None:
        self._database, self.session = database, session

    def __getattr__(self, name: str) -> Any:
        return getattr(self._database, name)


LOST = OperationalError("SELECT 1", {}, Exception("the connection was lost"))


@pytest.mark.parametrize("error", [LOST, DiskFull("The disk is full.")])
async def test_a_database_that_is_away_when_a_job_is_taken_only_delays_it(
    quick: Harbour, database_breaks: list[Exception], error: Exception
) -> None:
    job = await quick.asked()
    database_breaks.append(error)
    async with running(quick.runner) as work:
        await asyncio.sleep(1.5)
        assert (await quick.job(job.id)).state == "queued"
        assert not work.done()
        database_breaks.clear()
        ended = await quick.until(job.id, lambda job: job.state == "done", 60)
    assert (ended.attempts, ended.error) == (1, None)


async def test_a_database_that_is_away_when_a_job_ends_does_not_leave_it_running(
    quick: Harbour, database_breaks: list[Exception], monkeypatch: pytest.MonkeyPatch
) -> None:
    all_steps = JobSteps.all_steps

    async def and_then_it_breaks(self: JobSteps) -> None:
        await all_steps(self)
        database_breaks.append(LOST)

    monkeypatch.setattr(JobSteps, "all_steps", and_then_it_breaks)
    job = await quick.asked()
    async with running(quick.runner) as work:
        await until(lambda: database_breaks, 60)
        await asyncio.sleep(1.5)
        assert quick.settings.paths.job(job.id).exists()  # kept until the end of the job is on record
        assert not work.done()
        database_breaks.clear()
        await quick.until(job.id, lambda job: job.state == "done", 60)
        await until(lambda: not quick.settings.paths.job(job.id).exists())
    assert len(quick.trained) == 1


async def test_a_database_that_is_away_in_the_midst_of_it_throws_nothing_away(
    quick: Harbour, database_breaks: list[Exception]
) -> None:
    hold = asyncio.Event()
    quick.engine.script = [hold]
    job = await quick.asked()
    async with running(quick.runner):
        await until(lambda: quick.engine.scored)
        database_breaks.append(LOST)
        await asyncio.sleep(1.5)
        database_breaks.clear()
        hold.set()
        ended = await quick.until(job.id, lambda job: job.state == "done", 60)
    assert ended.error is None
    assert len(quick.trained) == 1


async def test_what_a_kill_leaves_between_the_end_and_the_clearing_goes_at_the_next_start(
    quick: Harbour, monkeypatch: pytest.MonkeyPatch
) -> None:
    with monkeypatch.context() as patch:
        patch.setattr(JobRunner, "_clear", lambda *_: asyncio.Event().wait())
        job = await quick.asked()
        async with running(quick.runner):
            await quick.until(job.id, lambda job: job.state == "done", 60)
    assert quick.settings.paths.job(job.id).exists()
    second = JobRunner(quick.database, quick.settings, quick.engine.ready)
    await second.recover()
    assert not quick.settings.paths.job(job.id).exists()
    assert (await quick.job(job.id)).state == "done"


async def test_an_engine_that_breaks_off_once_is_asked_again_and_nothing_is_learnt_twice(quick: Harbour) -> None:
    waits = asyncio.Event()
    quick.engine.script = [None] * 10 + [BROKE_OFF]
    quick.engine.away = [set_event(), waits]
    job = await quick.asked()
    async with running(quick.runner):
        told = await quick.until(job.id, lambda job: "broke off" in job.progress.get("sentence", ""), 60)
        assert (told.state, told.step) == ("running", "measuring")
        waits.set()
        ended = await quick.until(job.id, lambda job: job.state not in ("queued", "running"), 60)
    assert (ended.state, ended.error, ended.attempts) == ("done", None, 1)
    assert len(quick.trained) == 1
    assert [view.state for view in await history(quick.database, "harbour")] == ["passed"]


async def test_a_job_whose_engine_stays_away_goes_back_in_line_and_keeps_what_it_learnt(
    quick: Harbour, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(insisting, "PATIENCE", 0.5)
    quick.engine.away = [DOES_NOT_COME] * 12
    job = await quick.asked()
    async with running(quick.runner):
        waiting = await quick.until(job.id, lambda job: job.state == "queued" and job.progress, 60)
        assert "does not come up" in waiting.progress["sentence"]
        assert "goes on by itself" in waiting.progress["sentence"]
        assert waiting.attempts == 0  # it was not the job that failed
        assert quick.settings.paths.job(job.id).exists()
        ended = await quick.until(job.id, lambda job: job.state not in ("queued", "running"), 60)
    assert (ended.state, ended.error) == ("done", None)
    assert len(quick.trained) == 1
    assert not quick.engine.away


async def test_stops_of_the_platform_are_no_failed_attempts(quick: Harbour) -> None:
    quick.engine.away = [asyncio.Event() for _ in range(MOST_ATTEMPTS + 1)]
    job = await quick.asked()
    for _ in range(MOST_ATTEMPTS + 1):
        async with running(quick.runner):
            await quick.until(job.id, lambda job: job.step == "measuring", 60)
        left = await quick.job(job.id)
        assert (left.state, left.attempts) == ("queued", 0)
    quick.engine.away = []
    async with running(quick.runner):
        ended = await quick.until(job.id, lambda job: job.state not in ("queued", "running"), 60)
    assert (ended.state, ended.error, ended.attempts) == ("done", None, 1)


async def test_others_are_let_before_a_job_that_waits(quick: Harbour, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("tuning.setback.FIRST_PAUSE", 600.0)
    monkeypatch.setattr("tuning.setback.LONGEST_PAUSE", 600.0)
    monkeypatch.setattr(insisting, "PATIENCE", 0.0)
    quick.engine.away = [DOES_NOT_COME]
    job = await quick.asked()
    async with running(quick.runner):
        await quick.until(job.id, lambda job: job.state == "queued" and job.progress, 60)
        async with quick.database.session() as session:
            assistant = (await find_assistant(session, "harbour")).id
            session.add(other := Job(assistant_id=assistant, asked_by="Odo"))
        await quick.until(other.id, lambda job: job.state == "done", 60)
        assert (await quick.job(job.id)).state == "queued"
        job_, seconds = await quick.cancelled(job.id)
        assert (job_.state, seconds < 5) == ("cancelled", True)
        await until(lambda: not quick.settings.paths.job(job.id).exists(), 30)


async def test_a_version_that_breaks_the_engine_each_time_is_given_up_in_words(quick: Harbour) -> None:
    quick.engine.script = [BROKE_OFF] * 1000
    job = await quick.asked()
    async with running(quick.runner):
        ended = await quick.until(job.id, lambda job: job.state not in ("queued", "running"), 60)
    assert ended.state == "failed"
    assert "broke off 5 times while the new version was tried" in (ended.error or "")
    assert quick.engine.taken == insisting.MOST_TIMES


@pytest.fixture
async def promoting(quick: Harbour) -> Harbour:
    async with quick.database.session() as session:
        (await find_assistant(session, "harbour")).auto_promote = True
    return quick


def set_event() -> asyncio.Event:
    event = asyncio.Event()
    event.set()
    return event


async def in_service(harbour: Harbour) -> int | None:
    async with harbour.database.session() as session:
        return (await find_assistant(session, "harbour")).in_service


async def killed_before_promotion(harbour: Harbour) -> Job:
    """Its version is on record, and the runner is gone."""
    harbour.engine.away = [set_event(), asyncio.Event()]
    job = await harbour.asked()
    async with running(harbour.runner):
        await until(lambda: harbour.engine.taken == 2, 60)
    async with harbour.database.session() as session:
        await session.execute(update(Job).values(state="running", attempts=1))  # as a kill leaves it
    assert await in_service(harbour) is None
    return job


async def test_a_promotion_by_policy_is_made_up_for_after_a_kill_and_once(promoting: Harbour) -> None:
    job = await killed_before_promotion(promoting)
    runner = JobRunner(promoting.database, promoting.settings, promoting.engine.ready)
    async with running(runner):
        await promoting.until(job.id, lambda job: job.state == "done", 60)
    assert await in_service(promoting) == 1
    assert len(promoting.trained) == 1
    async with promoting.database.session() as session:
        await session.execute(update(Job).values(state="running"))  # killed once more, after it
    async with running(runner):
        ended = await promoting.until(job.id, lambda job: job.state not in ("queued", "running"), 60)
    assert (ended.state, ended.error) == ("done", None)
    async with promoting.database.session() as session:
        moves = (await session.scalars(Promotion.__table__.select())).all()
    assert len(moves) == 1


async def test_what_an_operator_chose_meanwhile_is_left_so(promoting: Harbour) -> None:
    job = await killed_before_promotion(promoting)
    await promote(promoting.database, promoting.engine, "harbour", 1, "Ingrid")  # type: ignore[arg-type]
    await rollback(promoting.database, promoting.engine, "harbour", "Ingrid")  # type: ignore[arg-type]
    async with running(JobRunner(promoting.database, promoting.settings, promoting.engine.ready)):
        await promoting.until(job.id, lambda job: job.state == "done", 60)
    assert await in_service(promoting) is None


async def test_an_engine_that_is_away_at_the_promotion_is_waited_for(promoting: Harbour) -> None:
    promoting.engine.away = [set_event(), DOES_NOT_COME, DOES_NOT_COME]
    job = await promoting.asked()
    async with running(promoting.runner):
        ended = await promoting.until(job.id, lambda job: job.state not in ("queued", "running"), 60)
    assert (ended.state, ended.error) == ("done", None)
    assert await in_service(promoting) == 1


async def test_a_passed_version_that_cannot_be_put_into_service_is_still_a_passed_one(
    promoting: Harbour, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def refused(version: object) -> None:
        raise Refused("This engine cannot load it.")

    monkeypatch.setattr(promoting.engine, "warm", refused)
    job = await promoting.asked()
    async with running(promoting.runner):
        ended = await promoting.until(job.id, lambda job: job.state not in ("queued", "running"), 60)
    assert (ended.state, ended.error) == ("done", None)
    assert await in_service(promoting) is None
    assert (await history(promoting.database, "harbour"))[0].state == "passed"


class Place:
    """What `parlance tune` works with."""

    def __init__(self, harbour: Harbour) -> None:
        self.database, self.settings, self._harbour = harbour.database, harbour.settings, harbour

    def engine(self, say: object) -> Any:
        return self._harbour.engine.ready()


async def test_the_command_takes_over_where_whoever_ran_the_job_is_gone(quick: Harbour) -> None:
    job = await quick.asked()
    other = JobRunner(quick.database, quick.settings, quick.engine.ready)
    assert other.acquire()
    followed = asyncio.create_task(_to_its_end(Place(quick), job.id, Steps(None)))  # type: ignore[arg-type]
    await asyncio.sleep(1)
    assert (await quick.job(job.id)).state == "queued"
    other.release()
    ended = await asyncio.wait_for(followed, 60)
    assert ended.state == "done"
    assert not quick.settings.paths.job(job.id).exists()
    assert other.acquire()
    other.release()


async def test_the_command_ends_with_the_error_where_its_runner_breaks(
    quick: Harbour, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def breaks(self: JobRunner, job_id: int) -> None:
        raise RuntimeError("broke")

    monkeypatch.setattr(JobRunner, "run_until_ended", breaks)
    job = await quick.asked()
    with pytest.raises(RuntimeError, match="broke"):
        await asyncio.wait_for(_to_its_end(Place(quick), job.id, Steps(None)), 30)  # type: ignore[arg-type]


async def test_interrupting_the_command_cancels_the_job(quick: Harbour) -> None:
    quick.engine.away = [asyncio.Event()]
    job = await quick.asked()
    followed = asyncio.create_task(_to_its_end(Place(quick), job.id, Steps(None)))  # type: ignore[arg-type]
    await until(lambda: quick.engine.taken, 60)
    followed.cancel()
    with pytest.raises(asyncio.CancelledError):
        await followed
    assert (await quick.job(job.id)).state == "cancelled"
    assert not quick.settings.paths.job(job.id).exists()
