"""An engine's own processes are forked where nothing speaks against it."""

from __future__ import annotations

from pathlib import Path

import psutil
from running_engine import RunningEngine

FORKED_AND_NEVER_EXECUTED = 0x40
"""PF_FORKNOEXEC of the flags in /proc/PID/stat: the process goes on in the program of the one that began it."""


def flags(process: psutil.Process) -> int:
    fields = Path(f"/proc/{process.pid}/stat").read_text().rpartition(") ")[2].split()
    return int(fields[6])


async def test_an_engine_imports_itself_once_and_not_once_for_each_of_its_processes(engine: RunningEngine) -> None:
    assert engine.supervisor.plan.device == "cpu"
    first = psutil.Process(engine.supervisor.pid)
    others = [child for child in first.children(recursive=True) if child.name().startswith("VLLM")]
    assert len(others) == 2
    assert all(flags(child) & FORKED_AND_NEVER_EXECUTED for child in others)
    assert not flags(first) & FORKED_AND_NEVER_EXECUTED
