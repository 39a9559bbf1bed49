"""A run of another machine that learns here: its folder, the trainer in it, and what that makes sent back as it comes.

Promises that of what came nothing is left here once the other machine is gone or has what it wanted, and that what a
loss of power left is gone with the next visit.
"""

from __future__ import annotations

import asyncio
import fcntl
import secrets
import shutil
import sys
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from pathlib import Path
from typing import IO

from config.catalogue import find_model
from config.errors import BadInput
from config.paths import Paths
from serving.leashed import Leashed, leashed
from tuning.elsewhere.frames import GIVEN, Go, Incoming, Link, read_json
from tuning.training.process import GRACE, trainers_environment
from tuning.training.run import FAILED, MEMORY_SHARE_VARIABLE, RunFolder, write_whole

LOOK_EVERY = 0.5
AS_THEY_CHANGE = ("progress.json", "notes.txt", "parts.txt")
IN_THE_END = (
    "progress.json", "notes.txt", "parts.txt", "error.txt", "adapter/adapter_model.safetensors",
    "adapter/adapter_config.json", "parity.json", "result.json",
)  # fmt: skip
"""The result last, as it is written."""
NO_MODEL = (
    "The machine on which to tune has no base model at {}; put it at the same place there, or choose one that is known "
    "by name."
)
RESTS_AFTER_CHECKPOINT = 4.0
"""Times as long as a checkpoint took to send until the next one is sent."""


@asynccontextmanager
async def folder_for_a_run(paths: Paths) -> AsyncIterator[RunFolder]:
    """A folder that is gone afterwards, and with it those of others that were left by a loss of power."""
    paths.home.mkdir(mode=0o700, parents=True, exist_ok=True)
    paths.visits.mkdir(mode=0o700, exist_ok=True)
    folder = paths.visits / secrets.token_hex(8)
    held = _make(folder)
    try:
        yield RunFolder(folder)
    finally:
        await asyncio.to_thread(_remove, folder, held)


@contextmanager
def _alone(visits: Path) -> Iterator[None]:
    """One visit at a time makes its folder, or removes what nobody holds."""
    with (visits / ".lock").open("ab") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield


def _make(folder: Path) -> IO[bytes]:
    """The folder, and the file whose lock says that it is in use."""
    with _alone(folder.parent):
        for left in folder.parent.iterdir():
            if left.is_dir() and not left.is_symlink() and not _held(left):
                shutil.rmtree(left)
        folder.mkdir(mode=0o700)
        held = (folder / "visit.lock").open("ab")
        fcntl.flock(held, fcntl.LOCK_EX)
        return held


def _held(folder: Path) -> bool:
    with (folder / "visit.lock").open("ab") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            return True
    return False


def _remove(folder: Path, held: IO[bytes]) -> None:
    with held, _alone(folder.parent):
        shutil.rmtree(folder)


async def receive_run(link: Link, run: RunFolder) -> Go:
    """Take the run's files, until the other side says go. Raises Gone, and BadInput where something else comes."""
    incoming = Incoming(run, GIVEN)
    while True:
        frame, content = await link.receive()
        if frame.kind == "go":
            return read_json(Go, content)
        await asyncio.to_thread(incoming.take, frame, content)


async def learn(link: Link, run: RunFolder, go: Go) -> int:
    """Have the trainer learn in the folder of `run`, tell the other side how far it is, and send it what was made; the
    trainer's exit code. Raises Gone; however it ends, the trainer has ended."""
    try:
        location = find_model(go.model).location
    except BadInput:
        write_whole(run.error, NO_MODEL.format(go.model).encode())
        await link.send_file(run.folder, run.error.name)
        return FAILED
    here = run.read_settings().model_copy(update={"model": location})
    write_whole(run.settings, here.model_dump_json(indent=1).encode())
    environment = trainers_environment({MEMORY_SHARE_VARIABLE: str(go.share)})
    trainer = await leashed(
        [sys.executable, "-m", "tuning.training", str(run.folder)],
        env=environment, output=sys.stderr.fileno(), grace=GRACE,
    )  # fmt: skip
    telling = asyncio.create_task(_tell(link, run, trainer))
    checkpoints = asyncio.create_task(_send_checkpoints(link, run))
    leaving = asyncio.create_task(_until_gone(link))
    try:
        await asyncio.wait({telling, checkpoints, leaving}, return_when=asyncio.FIRST_COMPLETED)
        for ended in (telling, checkpoints, leaving):
            if ended.done():
                ended.result()
        return telling.result()
    finally:
        for task in (telling, checkpoints, leaving):
            task.cancel()
        await asyncio.gather(telling, checkpoints, leaving, return_exceptions=True)
        if trainer.returncode is None:
            await trainer.end()


async def _tell(link: Link, run: RunFolder, trainer: Leashed) -> int:
    """Send what changes, and in the end what there is; the trainer's exit code."""
    ended = asyncio.create_task(trainer.wait())
    seen: dict[str, tuple[int, int] | None] = {name: _stamp(run, name) for name in AS_THEY_CHANGE}
    try:
        while not ended.done():
            await asyncio.wait({ended}, timeout=LOOK_EVERY)
            for name in AS_THEY_CHANGE:
                if (now := _stamp(run, name)) != seen[name]:
                    seen[name] = now
                    await link.send_file(run.folder, name)
    finally:
        ended.cancel()
    for name in IN_THE_END:
        await link.send_file(run.folder, name)
    return ended.result()


def _stamp(run: RunFolder, name: str) -> tuple[int, int] | None:
    """Other for a file that was written anew."""
    try:
        found = (run.folder / name).stat()
    except FileNotFoundError:
        return None
    return found.st_ino, found.st_mtime_ns


async def _send_checkpoints(link: Link, run: RunFolder) -> None:
    """The newest one, again and again; a slow connection gets fewer. Never ends by itself."""
    clock = asyncio.get_running_loop().time
    sent = max(run.checkpoints.glob("step-*.pt"), default=None)
    while True:
        newest = max(run.checkpoints.glob("step-*.pt"), default=None)
        began = clock()
        if newest is not None and newest != sent:
            sent = newest
            await link.send_file(run.folder, f"{run.checkpoints.name}/{newest.name}")
        await asyncio.sleep(max(LOOK_EVERY, RESTS_AFTER_CHECKPOINT * (clock() - began)))


async def _until_gone(link: Link) -> None:
    """Raises Gone when the other side is, which has nothing more to say; BadInput where it says something."""
    await link.receive()
    raise BadInput("something came while the run was learning")
