"""Whose the engine of a data folder is: one owner at a time, what it says of its engine, and what a dead one left.

Promises that of all processes on one home at most one owns the engine, and that leftovers are ended only where they
are provably ours. Knows nothing of how an engine is started.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import signal
import tempfile
import time
from pathlib import Path
from typing import IO, Literal

import psutil
from pydantic import BaseModel, ConfigDict, ValidationError

from config.paths import Paths
from serving.sizing import Size

State = Literal["off", "warming", "ready", "asleep", "unwell", "restarting", "failed"]
"""`unwell`: it runs and does not answer."""
ENDING_SECONDS = 15.0


class EngineRecord(BaseModel):
    """What the owner says of its engine, in `run/engine.json`. `pid` is the process group's as well (0: none runs);
    `started` in Unix seconds; `context` in tokens; `size` is what it was started with."""

    model_config = ConfigDict(frozen=True)

    owner: int
    socket: str
    pid: int
    started: float
    model: str
    context: int
    state: State
    sentence: str
    size: Size | None = None


class Ownership:
    """The lock of one home. Held until `release`, or until this process is gone, however it went."""

    def __init__(self, paths: Paths) -> None:
        self._paths = paths
        self._lock: IO[bytes] | None = None

    @property
    def held(self) -> bool:
        return self._lock is not None

    def acquire(self) -> bool:
        """Take the lock if it is free; whether it is ours now."""
        if self._lock is None:
            self._paths.ensure()
            lock = (self._paths.run / "engine.lock").open("ab")
            try:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                lock.close()
                return False
            self._lock = lock
        return True

    def release(self) -> None:
        """Let the lock go; the record goes first."""
        if self._lock is not None:
            _record_file(self._paths).unlink(missing_ok=True)
            self._lock.close()
            self._lock = None

    def write(self, record: EngineRecord) -> None:
        """Say how the engine is. Readers see the old record or the new one, never half of one."""
        descriptor, name = tempfile.mkstemp(dir=self._paths.run, prefix="engine-", suffix=".json")
        with os.fdopen(descriptor, "w") as stream:
            stream.write(record.model_dump_json())
        Path(name).replace(_record_file(self._paths))

    def end_leftovers(self) -> bool:
        """End what a dead owner's engine left running; whether there was anything. Blocks up to 15 s."""
        record = read_record(self._paths)
        if record is None or record.pid == 0 or not any(_is_ours(p, record) for p in _group(record.pid)):
            return False
        deadline = time.monotonic() + ENDING_SECONDS
        while _group(record.pid) and time.monotonic() < deadline:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(record.pid, signal.SIGKILL)
            time.sleep(0.1)
        return True


def read_record(paths: Paths) -> EngineRecord | None:
    """What the owner last said, whether it still lives or not; None where there is nothing to be read."""
    try:
        return EngineRecord.model_validate_json(_record_file(paths).read_text())
    except (OSError, ValidationError):
        return None


def live_record(paths: Paths) -> EngineRecord | None:
    """What a living owner says."""
    record = read_record(paths)
    return record if record is not None and psutil.pid_exists(record.owner) else None


def _record_file(paths: Paths) -> Path:
    return paths.run / "engine.json"


def _group(number: int) -> list[psutil.Process]:
    """The live processes of one process group."""
    found = []
    for process in psutil.process_iter():
        with contextlib.suppress(psutil.Error, ProcessLookupError):
            if os.getpgid(process.pid) == number and process.status() != psutil.STATUS_ZOMBIE:
                found.append(process)
    return found


def _is_ours(process: psutil.Process, record: EngineRecord) -> bool:
    """Group numbers are used again after a while, so the command line must be an engine's, and not older than ours.

    The engine's inner processes rename themselves; the others name our socket.
    """
    with contextlib.suppress(psutil.Error):
        words = " ".join(process.cmdline())
        ours = record.socket in words or words.startswith("VLLM::")
        return ours and process.uids().real == os.getuid() and process.create_time() > record.started - 5
    return False
