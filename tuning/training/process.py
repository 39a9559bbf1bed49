"""The trainer as a child process: started on a leash, watched through its progress file, ended when no longer wanted.

Knows nothing of how training works; it reads what the trainer writes.
"""

from __future__ import annotations

import asyncio
import os
import signal
import sys
from collections.abc import AsyncGenerator, Mapping
from pathlib import Path

from config.errors import DiskFull, JobFailed
from serving.leashed import leashed
from tuning.training.run import CANCELLED, DONE, FAILED, FULL, Progress, RunFolder

LOOK_EVERY = 0.5
GRACE = 2.5
"""Seconds until a trainer that hears nothing, in the midst of one long computation, is killed: a job that is asked to
stop has ended after five. One that hears has ended before (PATIENCE of the trainer)."""
KILLED = (128 + signal.SIGKILL, -signal.SIGKILL)
"""How a trainer ends that had no say in it. On Linux that is mostly for want of memory."""


class TrainerKilled(JobFailed):
    """The trainer was ended by something else than itself; started again it goes on from its last checkpoint, in
    smaller parts where it was killed."""


async def run_training(
    run: RunFolder, log: Path, more: Mapping[str, str] | None = None
) -> AsyncGenerator[Progress, None]:
    """Train in the folder of `run` and yield progress as it changes; ends when the adapter is there. `more`:
    environment besides this process's own, of which the trainer gets no setting of Parlance's, and so no secret.

    Closing the iterator ends the trainer. Raises JobFailed with the trainer's own sentence where it failed, DiskFull
    where it found no room, TrainerKilled where it did not come to say one.
    """
    run.error.unlink(missing_ok=True)
    environment = trainers_environment(more or {})
    with log.open("ab") as stream:
        process = await leashed(
            [sys.executable, "-m", "tuning.training", str(run.folder)], env=environment, output=stream, grace=GRACE
        )
    ended = asyncio.create_task(process.wait())
    before = None
    try:
        while not ended.done():
            await asyncio.wait({ended}, timeout=LOOK_EVERY)
            progress = run.read_progress()
            if progress is not None and progress != before:
                before = progress
                yield progress
    finally:
        if not ended.done():
            await process.end()
            await ended
    settle(run, ended.result())


def settle(run: RunFolder, code: int) -> None:
    """What a trainer's end means, by its exit code and by what it left in the folder of `run`: nothing where it is
    done. Raises as `run_training` says."""
    if code == DONE:
        return
    if code == CANCELLED:
        raise JobFailed("The training was stopped from outside; start it again and it goes on where it was.")
    if code == FULL:
        raise DiskFull("The disk is full, so the training could not go on; its last checkpoint is kept.")
    if code in KILLED:
        run.cut_smaller(
            2 * run.read_parts(),
            "It was ended from outside, most likely because memory ran short, and went on in smaller parts.",
        )
        raise TrainerKilled(
            "The training was ended from outside again and again, most likely because memory ran short; close "
            "other programs or choose a smaller base model, then try once more."
        )
    if code != FAILED:
        raise TrainerKilled("The training was ended from outside again and again; its log may say more. Try once more.")
    sentence = run.error.read_text().strip() if run.error.exists() else ""
    raise JobFailed(sentence or "The training ended unexpectedly; its log says why. Try once more.")


def trainers_environment(more: Mapping[str, str]) -> dict[str, str]:
    """This process's, less what is ours: all that the trainer is told stands in its folder, or in `more`."""
    inherited = {name: value for name, value in os.environ.items() if not name.startswith("PARLANCE_")}
    return inherited | {"PYTHONUNBUFFERED": "1", "TOKENIZERS_PARALLELISM": "false"} | dict(more)
