"""Runs jobs: one at a time, one runner a home, in the order in which they were asked for.

A kill at any moment loses nothing: what a dead runner left goes back in line, and its steps (tuning/job_steps.py) go on
where they were. A job's folder, which holds training text, goes when the job ends, however it ends.
"""

from __future__ import annotations

import asyncio
import fcntl
import shutil
from typing import IO

import structlog
from sqlalchemy import select, update

from config.errors import JobFailed, ParlanceError
from config.settings import Settings
from store.assistants import next_number
from store.columns import now
from store.database import Database
from store.tables import Assistant, Job
from tuning.job_steps import LOOK_EVERY, Cancelled, EngineSource, JobSteps
from tuning.sharing import Sharing

log = structlog.get_logger()

MOST_ATTEMPTS = 5


class JobRunner:
    """Takes queued jobs in order and runs them to their verdict.

    `engine` gives a client of the engine that will serve, for as long as it is held; `sharing` how its jobs live beside
    an engine of this process (None: there is none).
    """

    def __init__(
        self, database: Database, settings: Settings, engine: EngineSource, sharing: Sharing | None = None
    ) -> None:
        self._database = database
        self._settings = settings
        self._engine = engine
        self._sharing = sharing
        self._lock: IO[str] | None = None

    def acquire(self) -> bool:
        """Become the one runner of this home; False while another process is."""
        if self._lock is not None:
            return True
        lock = (self._settings.paths.run / "jobs.lock").open("a+")
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            lock.close()
            return False
        self._lock = lock
        return True

    def release(self) -> None:
        """Let another process be the runner."""
        if self._lock is not None:
            self._lock.close()
            self._lock = None

    async def recover(self) -> None:
        """Put what a dead runner left 'running' back in line, and clear the folders of jobs that have ended."""
        async with self._database.session() as session:
            await session.execute(update(Job).where(Job.state == "running").values(state="queued", step="waiting"))
            ended = await session.scalars(select(Job.id).where(Job.state.in_(("done", "failed", "cancelled"))))
            for job_id in ended:
                shutil.rmtree(self._settings.paths.job(job_id), ignore_errors=True)

    async def run_forever(self) -> None:
        """Run jobs as they come; waits while another process is the runner."""
        while not self.acquire():  # noqa: ASYNC110 - the lock is another process’s
            await asyncio.sleep(LOOK_EVERY * 4)
        await self.recover()
        while True:
            if not await self.run_next():
                await asyncio.sleep(LOOK_EVERY)

    async def run_next(self) -> bool:
        """Run the next queued job to its end; False where none waits. A job's failure is recorded, not raised."""
        async with self._database.session() as session:
            job = (await session.scalars(select(Job).where(Job.state == "queued").order_by(Job.id))).first()
            if job is None:
                return False
            job.state, job.attempts = "running", job.attempts + 1
            job.started_at = job.started_at or now()
            assistant = await session.get_one(Assistant, job.assistant_id)
            if job.version is None:
                job.version = await next_number(session, assistant)
        try:
            if job.attempts > MOST_ATTEMPTS:
                raise JobFailed(
                    f"The job was broken off {MOST_ATTEMPTS} times; see the log for why, then start it again."
                )
            await JobSteps(self._database, self._settings, self._engine, job, assistant, self._sharing).all_steps()
            await self._end(job.id, "done", None)
        except Cancelled:
            await self._end(job.id, "cancelled", None)
        except ParlanceError as error:
            log.warning("job failed", job=job.id, error=str(error))
            await self._end(job.id, "failed", str(error))
        except Exception:
            log.exception("job broke", job=job.id)
            await self._end(
                job.id, "failed", "Something went wrong that Parlance did not expect; the log says what. Try once more."
            )
        return True

    async def _end(self, job_id: int, state: str, error: str | None) -> None:
        await asyncio.to_thread(shutil.rmtree, self._settings.paths.job(job_id), True)
        async with self._database.session() as session:
            await session.execute(
                update(Job).where(Job.id == job_id).values(state=state, step="done", error=error, ended_at=now())
            )
