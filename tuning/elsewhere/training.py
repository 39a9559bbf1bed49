"""A run that learns on another machine, seen from here: given there, watched, and brought back.

Promises that the run's folder holds afterwards what the trainer would have left in it here, and that a connection which
breaks off costs no more than what was learnt since the last checkpoint that came.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator
from functools import partial
from pathlib import Path

from config.catalogue import CATALOGUE, CatalogueModel
from config.errors import BadInput, JobFailed, MachineAway
from config.hardware import WHOLE_CARD
from config.machine import Machine
from serving.adapters import CONFIG, rank_in
from tuning.elsewhere.connection import Reached, reached
from tuning.elsewhere.frames import GIVEN, MADE, Frame, Go, Incoming
from tuning.training.process import settle
from tuning.training.run import FULL, Progress, RunFolder

KEPT = 2
"""Checkpoints."""
MIB = 1 << 20


async def run_training_on(
    machine: Machine, run: RunFolder, model: CatalogueModel, log: Path
) -> AsyncGenerator[Progress, None]:
    """Train in the folder of `run`, on another machine, and yield progress as it changes; ends when the adapter is
    there. `log` takes what is printed there.

    Closing the iterator ends the trainer, and nothing is left of the run on that machine. Raises MachineAway where it
    is not there or goes away, JobFailed where its owner has something to do first, and else as `run_training`.
    """
    run.error.unlink(missing_ok=True)
    settings = run.read_settings()
    incoming = Incoming(run, MADE, partial(largest, model, settings.rank))
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
        if code == FULL:
            raise MachineAway(f"The disk of {machine.host}, on which to tune, is full; make room there.")
        settle(run, code)
        if run.read_result() is None or rank_in(run.adapter / CONFIG) != settings.rank:
            raise BadInput("what came is not what was asked for")
        run.read_parity()  # it says what is wrong with it
    except (BadInput, ValueError, FileNotFoundError) as error:
        run.result.unlink(missing_ok=True)
        raise JobFailed(
            f"What {machine.host} sent back made no sense, so none of it was kept; see that Parlance there is whole, "
            "then start the retrain again."
        ) from error
    finally:
        incoming.forget_parts()


def largest(model: CatalogueModel, rank: int, name: str) -> float:
    """Bytes that a file of a run may have, with much to spare."""
    if name.endswith((".safetensors", ".pt")):
        trained = 4 * model.adapter_bytes(rank) + (20 * model.parameters if name.endswith(".pt") else 0)
        return 16 * trained + 64 * MIB
    if name.startswith(("parity", "result", "progress")):
        return 64 * MIB
    return MIB // 4


async def _give(there: Reached, run: RunFolder, model: CatalogueModel) -> None:
    """Send the run's files, and have it learnt."""
    for file in sorted(run.folder.rglob("*")):
        name = file.relative_to(run.folder).as_posix()
        if GIVEN.fullmatch(name):
            await there.link.send_file(run.folder, name)
    go = Go(model=model.name if model in CATALOGUE else model.location, share=WHOLE_CARD)
    await there.link.send("go", go.model_dump_json().encode())


def _take(incoming: Incoming, run: RunFolder, frame: Frame, content: bytes) -> bool:
    """A piece of a file; whether that was the progress, and all of it. Of checkpoints the last ones are kept; one that
    is further on than what comes now is not this run's."""
    whole = incoming.take(frame, content)
    if whole and frame.name.startswith(f"{run.checkpoints.name}/"):
        here = sorted(run.checkpoints.glob("step-*.pt"))
        place = here.index(run.folder / frame.name)
        for old in (*here[: max(0, place + 1 - KEPT)], *here[place + 1 :]):
            old.unlink()
    return whole and frame.name == run.progress.name
