"""Runs jobs: one at a time, one runner a home, in the order in which they were asked for.

A kill at any moment loses nothing: what a dead runner left goes back in line, and its steps (tuning/job_steps.py) go on
where they were. So does what meets a setback (tuning/setback.py), after a while. A job that is asked to stop has ended
within five seconds, whatever it is doing. A job's folder, which holds training text, goes when the job has ended,
however it ends. What the database refuses is tried until it does not: the runner lives as long as its process.
"""

from __future__ import annotations

import asyncio
import fcntl
import shutil
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import IO, Any, TypeVar

import structlog
from sqlalchemy import or_, select, update

from config.errors import JobFailed, ParlanceError
from config.settings import Settings
from store.assistants import next_number
from store.columns import now
from store.database import Database
from store.tables import Assistant, Job
from tuning import reserve
from tuning.insisting import EngineSource
from tuning.job_steps import LOOK_EVERY, Cancelled, JobSteps, MakeRoom
from tuning.jobs import ACTIVE
from tuning.setback import Setback, pause, setback
from tuning.sharing import Sharing

MOST_ATTEMPTS = 5
STOPPING_SECONDS = 3.5
"""How long a job that is asked to stop may take until it is said to have stopped; what it leaves is cleared then."""
LONGEST_REST = 30.0
"""Seconds between two tries of what the database refuses."""
UNEXPECTED = "Something went wrong that Parlance did not expect; the log says what. Try once more."

T = TypeVar("T")
log = structlog.get_logger()


@dataclass(frozen=True, slots=True)
class Aside:
    """A job after so many setbacks in a row, and when it is tried again, by the monotonic clock."""

    times: int
    until: float


class JobRunner:
    """Takes queued jobs in order and runs them to their verdict.

    `engine` gives a client of the engine that will serve, for as long as it is held; `sharing` how its jobs live beside
    an engine of this process, and `make_room` how that engine comes to take what they make (None: there is none).
    """

    def __init__(
        self, database: Database, settings: Settings, engine: EngineSource, sharing: Sharing | None = None,
        make_room: MakeRoom | None = None,
    ) -> None:  # fmt: skip
        self._database = database
        self._settings = settings
        self._engine = engine
        self._sharing = sharing
        self._make_room = make_room
        self._lock: IO[str] | None = None
        self._aside: dict[int, Aside] = {}

    @property
    def acquired(self) -> bool:
        """Whether this is the one runner of its home."""
        return self._lock is not None

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
        await self._sweep()

    async def run_forever(self) -> None:
        """Run jobs as they come; waits while another process is the runner."""
        await _until_done(self._take_over)
        while True:
            if not await _until_done(self.run_next):
                await asyncio.sleep(LOOK_EVERY)

    async def run_until_ended(self, job_id: int) -> None:
        """The same until this job has ended, wherever it did."""

        async def active() -> bool:
            async with self._database.session() as session:
                return await session.scalar(select(Job.id).where(Job.id == job_id, Job.state.in_(ACTIVE))) is not None

        await _until_done(self._take_over)
        while await _until_done(active):
            if not await _until_done(self.run_next):
                await asyncio.sleep(LOOK_EVERY)

    async def run_next(self) -> bool:
        """Run the next queued job to its end or a setback; False where none is to be run now. What becomes of the job
        is recorded, not raised."""
        await self._sweep()
        taken = await self._take()
        if taken is not None:
            await self._run(*taken)
        return taken is not None

    async def _take_over(self) -> None:
        while not self.acquire():  # noqa: ASYNC110 - the lock is another process’s
            await asyncio.sleep(LOOK_EVERY * 4)
        await self.recover()

    async def _take(self) -> tuple[Job, Assistant] | None:
        waiting = [job_id for job_id, aside in self._aside.items() if time.monotonic() < aside.until]
        ready = or_(Job.id.not_in(waiting), Job.cancel)
        async with self._database.session() as session:
            query = select(Job).where(Job.state == "queued", ready).order_by(Job.id).limit(1)
            job = (await session.scalars(query)).first()
            if job is None:
                return None
            job.state, job.attempts = "running", job.attempts + 1
            job.started_at = job.started_at or now()
            assistant = await session.get_one(Assistant, job.assistant_id)
            if job.version is None:
                job.version = await next_number(session, assistant)
        return job, assistant

    async def _run(self, job: Job, assistant: Assistant) -> None:
        steps = JobSteps(self._database, self._settings, self._engine, job, assistant, self._sharing, self._make_room)
        working = asyncio.create_task(self._work(job, steps))
        asked = False
        try:
            asked = await self._asked_to_stop(job.id, working)
            if asked:
                working.cancel()
                await asyncio.wait({working}, timeout=STOPPING_SECONDS)
                # A version that is on record by now stays, and so does what was going to be told of it.
                recorded = await _until_done(steps.recorded)
                await self._end(job.id, "done" if recorded else "cancelled", None)
        except asyncio.CancelledError:
            await self._leave(job.id)
            raise
        finally:
            if not asked:  # once is enough, and a second time would break off what it has to put in order
                working.cancel()
            await asyncio.gather(working, return_exceptions=True)
        if asked:
            await self._clear(job.id)
        else:
            await self._note(job.id, asyncio.CancelledError() if working.cancelled() else working.exception())

    async def _work(self, job: Job, steps: JobSteps) -> None:
        if job.attempts > MOST_ATTEMPTS:
            raise JobFailed(f"The job was broken off {MOST_ATTEMPTS} times; see the log for why, then start it again.")
        await steps.all_steps()

    async def _asked_to_stop(self, job_id: int, working: asyncio.Task[None]) -> bool:
        """Whether somebody asked the job to stop before it came to its end, or its assistant was removed."""
        asked = select(Job.cancel).where(Job.id == job_id)
        while not working.done():
            try:
                row = await self._database.look_up(asked, {})
                if row is None or row[0]:
                    return True
                await self._sweep()
            except Exception:
                log.exception("whether the job is to stop could not be looked up", job=job_id)
            await asyncio.wait({working}, timeout=LOOK_EVERY)
        return False

    async def _leave(self, job_id: int) -> None:
        """Back in line as the runner ends: a stop of the platform is no failed attempt."""
        left = update(Job).where(Job.id == job_id, Job.state == "running")
        try:
            async with self._database.session() as session:
                await session.execute(left.values(state="queued", step="waiting", attempts=Job.attempts - 1))
        except Exception:  # it is as after a kill then
            log.exception("a job could not be put back in line", job=job_id)

    async def _note(self, job_id: int, error: BaseException | None) -> None:
        """What became of a job that nobody asked to stop."""
        if error is None:
            await self._end(job_id, "done", None)
        elif isinstance(error, Cancelled):
            await self._end(job_id, "cancelled", None)
        elif (met := setback(error)) is not None:
            log.warning("job waits", job=job_id, why=met.sentence, exc_info=error)
            await self._set_aside(job_id, met)
            return
        elif isinstance(error, ParlanceError):
            log.warning("job failed", job=job_id, error=str(error))
            await self._end(job_id, "failed", str(error))
        else:
            log.error("job broke", job=job_id, exc_info=error)
            await self._end(job_id, "failed", UNEXPECTED)
        await self._clear(job_id)

    async def _set_aside(self, job_id: int, met: Setback) -> None:
        """Back in line, with its folder; or at an end, where it was asked to stop meanwhile."""
        before = self._aside.get(job_id)
        times = 1 if before is None else before.times + 1

        reserve.give_up(self._settings.paths.job(job_id))

        async def put_back() -> bool:
            values: dict[str, Any] = {"state": "queued", "step": "waiting"}
            values["progress"] = {"fraction": 0.0, "sentence": met.sentence}
            if met.harmless:
                values["attempts"] = Job.attempts - 1
            back = update(Job).where(Job.id == job_id, ~Job.cancel).values(**values).returning(Job.id)
            async with self._database.session() as session:
                return await session.scalar(back) is not None

        if await _until_done(put_back):
            self._aside[job_id] = Aside(times, time.monotonic() + pause(times))
        else:
            await self._end(job_id, "cancelled", None)
            await self._clear(job_id)

    async def _end(self, job_id: int, state: str, error: str | None) -> None:
        """On record that it has ended. Its folder goes after that: what a kill in between leaves, `recover` clears."""

        async def end() -> None:
            values = {"state": state, "step": "done", "error": error, "ended_at": now()}
            async with self._database.session() as session:
                await session.execute(update(Job).where(Job.id == job_id).values(**values))

        reserve.give_up(self._settings.paths.job(job_id))
        await _until_done(end)
        self._aside.pop(job_id, None)

    async def _clear(self, job_id: int) -> None:
        await asyncio.to_thread(shutil.rmtree, self._settings.paths.job(job_id), ignore_errors=True)

    async def _sweep(self) -> None:
        """Clear the folders of jobs that have ended: of one that was stopped in line, or whose runner was killed."""
        folders = {int(folder.name) for folder in self._settings.paths.jobs.iterdir() if folder.name.isdecimal()}
        if not folders:
            return
        ended = select(Job.id).where(Job.id.in_(folders), Job.state.not_in(ACTIVE))
        for (job_id,) in await self._database.look_through(ended, {}):
            await self._clear(job_id)


async def _until_done(work: Callable[[], Awaitable[T]]) -> T:
    """Do it, again and again where that fails: what the database refuses now it takes later."""
    rest = LOOK_EVERY
    while True:
        try:
            return await work()
        except Exception:
            log.exception("the runner of jobs tries again in %.1f s", rest)
        await asyncio.sleep(rest)
        rest = min(LONGEST_REST, rest * 2)
