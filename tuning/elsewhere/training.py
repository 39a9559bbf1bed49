"""A run that learns on another machine, seen from here: given there, watched, and brought back.

Promises that the run's folder holds afterwards what the trainer would have left in it here, and that a connection which
breaks off costs no more than what was learnt since the last checkpoint that came.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator
from pathlib import Path

from config.errors import BadInput, JobFailed, MachineAway
from config.hardware import WHOLE_CARD
from config.machine import Machine
from tuning.elsewhere.connection import Reached, reached
from tuning.elsewhere.frames import GIVEN, MADE, Frame, Go, Incoming
from tuning.training.process import settle
from tuning.training.run import FULL, Progress, RunFolder

KEPT = 2
"""Checkpoints."""


async def run_training_on(machine: Machine, run: RunFolder, model: str, log: Path) -> AsyncGenerator[Progress, None]:
    """Train in the folder of `run`, on another machine, and yield progress as it changes; ends when the adapter is
    there. `model`: the base model, by its name in the catalogue, hub id or folder; `log` takes what is printed there.

    Closing the iterator ends the trainer, and nothing is left of the run on that machine. Raises MachineAway where it
    is not there or goes away, JobFailed where its owner has something to do first, and else as `run_training`.
    """
    run.error.unlink(missing_ok=True)
    incoming = Incoming(run, MADE)
    incoming.forget_parts()
    code: int | None = None
    try:
        with log.open("ab") as errors:
            async with reached(machine, errors) as there:
                await _give(there, run, model)
                while code is None:
                    frame, content = await there.link.receive()
                    if frame.kind == "end":
                        code = int(content)
                    elif await asyncio.to_thread(_take, incoming, run, frame, content):
                        progress = run.read_progress()
                        if progress is not None:
                            yield progress
    except (BadInput, ValueError) as error:
        raise JobFailed(
            f"What {machine.host} sent back made no sense, so none of it was kept; see that Parlance there is whole, "
            "then start the retrain again."
        ) from error
    finally:
        incoming.forget_parts()
    if code == FULL:
        raise MachineAway(f"The disk of {machine.host}, on which to tune, is full; make room there.")
    settle(run, code)


async def _give(there: Reached, run: RunFolder, model: str) -> None:
    """Send the run's files, and have it learnt."""
    for file in sorted(run.folder.rglob("*")):
        name = file.relative_to(run.folder).as_posix()
        if GIVEN.fullmatch(name):
            await there.link.send_file(run.folder, name)
    go = Go(model=model, share=WHOLE_CARD)
    await there.link.send("go", go.model_dump_json().encode())


def _take(incoming: Incoming, run: RunFolder, frame: Frame, content: bytes) -> bool:
    """A piece of a file; whether that was the progress, and all of it. Of checkpoints the last ones are kept."""
    whole = incoming.take(frame, content)
    if whole and frame.name.startswith(f"{run.checkpoints.name}/"):
        for old in sorted(run.checkpoints.glob("step-*.pt"), reverse=True)[KEPT:]:
            old.unlink()
    return whole and frame.name == run.progress.name
