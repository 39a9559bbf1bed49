"""The harbour whose jobs are run: an assistant with a chat to learn from, a runner, an engine that plays along, and,
for what is not about training, a trainer that does."""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import AsyncGenerator, Callable, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import psutil
from chat_exports import add_assistant, chat, silent, talk, written
from played_engine import PlayedEngine

from config.settings import Settings
from serving.prompt import ChatTokenizer
from store.database import Database
from store.tables import Job
from tuning import jobs
from tuning.exchanges import read_exchanges
from tuning.importing import import_file
from tuning.runner import JobRunner
from tuning.training.outcome import Parity, ParityRow, TrainingResult
from tuning.training.run import Progress, RunFolder


@dataclass
class Harbour:
    """`trained`: how often the played trainer was begun."""

    database: Database
    settings: Settings
    engine: PlayedEngine
    runner: JobRunner
    trained: list[Path] = field(default_factory=list)

    async def asked(self) -> Job:
        """A job in line."""
        job, _ = await jobs.enqueue(self.database, "harbour", "Ingrid")
        return job

    async def job(self, job_id: int) -> Job:
        return await jobs.get(self.database, job_id)

    async def until(self, job_id: int, holds: Callable[[Job], Any], seconds: float = 240) -> Job:
        """The job as it is once that holds of it."""
        try:
            async with asyncio.timeout(seconds):
                while not holds(job := await self.job(job_id)):  # noqa: ASYNC110 - a row is watched
                    await asyncio.sleep(0.02)
        except TimeoutError:
            found = job.state, job.step, job.progress, job.attempts, job.error
            raise AssertionError(f"it never became so; the job is {found}") from None
        return job

    async def cancelled(self, job_id: int) -> tuple[Job, float]:
        """The job once it has ended after `cancel`, and how many seconds that took."""
        await jobs.cancel(self.database, job_id)
        asked = time.monotonic()
        job = await self.until(job_id, lambda job: job.state not in jobs.ACTIVE, 30)
        return job, time.monotonic() - asked

    async def train(
        self, run: RunFolder, log: Path, more: Mapping[str, str] | None = None
    ) -> AsyncGenerator[Progress, None]:
        """In place of `run_training`: learns nothing, and leaves all its files."""
        self.trained.append(run.folder)
        yield Progress(state="training", step=1, steps=2, loss=2.0)
        settings = run.read_settings()
        rows = read_exchanges(run.held_out, ChatTokenizer(settings.model), settings.system_prompt, settings.context)
        computed = [
            ParityRow(
                messages=[dict(message) for message in one.messages],  # type: ignore[arg-type]
                ids=one.rendered.ids,
                logprobs=[None, *[-0.5] * (len(one.rendered.ids) - 1)],
            )
            for one in rows
        ]
        run.parity.write_text(Parity(rows=computed).model_dump_json())
        run.adapter.mkdir()
        (run.adapter / "adapter_config.json").write_text(json.dumps({"r": 8, "base_model_name_or_path": "demo"}))
        (run.adapter / "adapter_model.safetensors").write_bytes(b"weights")
        run.result.write_text(RESULT.model_dump_json())
        yield Progress(state="done", step=2, steps=2, loss=1.0)


RESULT = TrainingResult(
    held_out_base=3.0, held_out=1.0, general_base=3.0, general=3.0, general_kept=True, steps=2, best_step=2, epochs=1.0,
    learnt_tokens=10, tokens_per_second=1.0, seconds=1.0, peak_memory=1, learning_rate=0.001, examples=74,
    held_out_examples=16, left_out=0, seed=0, data_digest="d", versions={},
)  # fmt: skip


async def make_harbour(database: Database, settings: Settings, folder: Path) -> Harbour:
    await add_assistant(database)
    await import_file(database, written(folder, chat(talk(90))), "harbour", "Runa", "Ingrid", silent)
    engine = PlayedEngine(settings.paths)
    return Harbour(database, settings, engine, JobRunner(database, settings, engine.ready))


@asynccontextmanager
async def running(runner: JobRunner) -> Any:
    """The runner, at work as in the platform."""
    work = asyncio.create_task(runner.run_forever())
    try:
        yield work
    finally:
        work.cancel()
        await asyncio.gather(work, return_exceptions=True)
        runner.release()


def alive(process: psutil.Process) -> bool:
    """Whether it does anything any more."""
    try:
        return process.status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False


def trainers() -> list[psutil.Process]:
    """Training processes of this one, leashes included."""
    found = []
    for child in psutil.Process().children(recursive=True):
        try:
            if "tuning.training" in " ".join(child.cmdline()):
                found.append(child)
        except psutil.NoSuchProcess:
            pass
    return found


async def until(holds: Callable[[], Any], seconds: float = 240) -> Any:
    """The first true value of that."""
    async with asyncio.timeout(seconds):
        while not (found := holds()):  # noqa: ASYNC110 - other processes are watched
            await asyncio.sleep(0.02)
    return found


def step_of(folder: Path, seen: list[int], since: float = 0.0) -> bool:
    """Adds to `seen` the step at which a training is, where it is at any and has said so `since` (Unix time). Always
    true."""
    progress = RunFolder(folder).read_progress()
    if progress is not None and progress.state == "training" and progress.at > since:
        seen.append(progress.step)
    return True
