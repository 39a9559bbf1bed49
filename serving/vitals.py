"""Signs of life of a process group, as the kernel has them: certain however busy the machine is.

A process that was stopped (SIGSTOP, or a terminal's job control) is told from one that has much to do. Knows nothing
of what runs in the group.
"""

from __future__ import annotations

import contextlib
import os
import signal

import psutil


def halted(leash: int) -> list[psutil.Process]:
    """Those of the process `leash` and all that it started that are stopped. Blocks for some milliseconds."""
    found = []
    with contextlib.suppress(psutil.NoSuchProcess):
        first = psutil.Process(leash)
        for process in (first, *first.children(recursive=True)):
            with contextlib.suppress(psutil.NoSuchProcess):
                if process.status() == psutil.STATUS_STOPPED:
                    found.append(process)
    return found


def go_on(processes: list[psutil.Process]) -> None:
    """Let stopped processes continue where they were."""
    for process in processes:
        with contextlib.suppress(psutil.NoSuchProcess, ProcessLookupError):
            os.kill(process.pid, signal.SIGCONT)
