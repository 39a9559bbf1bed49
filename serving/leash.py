"""Runs a command that cannot outlive its owner: `python leash.py [--grace SECONDS] -- COMMAND…`

Promises that once the owner is gone, however it went (its end of the pipe on our standard input closes), or on
SIGTERM or SIGINT, or when the command itself ends, every process that the command started is ended: SIGTERM first,
SIGKILL after the grace (a second at most where the command itself has ended). All run in one session and process
group whose number is this process's own. Ends with the command's exit status, 128 + N where signal N ended it.
Standard library only; knows nothing of what it runs.
"""

from __future__ import annotations

import contextlib
import ctypes
import os
import select
import signal
import subprocess
import sys
import time
from collections.abc import Iterable
from pathlib import Path

GRACE_SECONDS = 10.0
ORPHANS_GRACE_SECONDS = 1.0
PR_SET_PDEATHSIG, PR_SET_CHILD_SUBREAPER = 1, 36


def prctl(option: int, value: int) -> None:
    """Linux only; elsewhere nothing happens, and the pipe and the group have to do."""
    with contextlib.suppress(OSError, AttributeError):
        ctypes.CDLL(None).prctl(option, value, 0, 0, 0)


def _parents_and_groups() -> dict[int, tuple[int, int]]:
    """Of every live process: its parent and its group. Zombies are left out."""
    table: dict[int, tuple[int, int]] = {}
    for stat in Path("/proc").glob("[0-9]*/stat"):
        with contextlib.suppress(OSError, ValueError):  # ended while we looked
            state, parent, group = stat.read_bytes().rpartition(b")")[2].split()[:3]
            if state not in (b"Z", b"X"):
                table[int(stat.parent.name)] = (int(parent), int(group))
    return table


def followers() -> set[int]:
    """Every process of our group, and every descendant of ours, even one that left the group."""
    table, me = _parents_and_groups(), os.getpid()
    found = {pid for pid, (_, group) in table.items() if group == me and pid != me}
    grown = True
    while grown:
        more = {pid for pid, (parent, _) in table.items() if (parent == me or parent in found) and pid not in found}
        grown = bool(more)
        found |= more
    return found


def send(pids: Iterable[int], number: int) -> None:
    """One signal to each; those that are gone already are no matter."""
    for pid in pids:
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, number)


class Leash:
    """One command and all that it starts."""

    def __init__(self, command: list[str], grace: float) -> None:
        self.grace = grace
        self.status: int | None = None
        self.asked_to_end = False
        self._woken, self._wake = os.pipe()
        os.set_blocking(self._wake, False)
        signal.set_wakeup_fd(self._wake, warn_on_full_buffer=False)
        signal.signal(signal.SIGCHLD, lambda *_: None)
        signal.signal(signal.SIGTERM, self._end_asked)
        signal.signal(signal.SIGINT, self._end_asked)
        prctl(PR_SET_CHILD_SUBREAPER, 1)
        self.child = subprocess.Popen(
            command, stdin=subprocess.DEVNULL, preexec_fn=lambda: prctl(PR_SET_PDEATHSIG, signal.SIGKILL)
        )

    def _end_asked(self, *_: object) -> None:
        self.asked_to_end = True

    def _reap(self) -> None:
        """Collect every child that ended; orphans of the command have become ours."""
        while True:
            try:
                pid, status = os.waitpid(-1, os.WNOHANG)
            except ChildProcessError:
                return
            if pid == 0:
                return
            if pid == self.child.pid:
                self.status = os.waitstatus_to_exitcode(status)

    def hold(self) -> int:
        """Until the command ends, or is to be ended. Returns the exit status."""
        watched = [0, self._woken]
        while self.status is None and not self.asked_to_end:
            ready, _, _ = select.select(watched, [], [])
            if self._woken in ready:
                os.read(self._woken, 512)
            if 0 in ready and not os.read(0, 512):
                self.asked_to_end = True
            self._reap()
        self._end_all()
        status = 0 if self.status is None else self.status
        return status if status >= 0 else 128 - status

    def _end_all(self) -> None:
        asked: set[int] = set()
        deadline = time.monotonic() + (self.grace if self.status is None else min(self.grace, ORPHANS_GRACE_SECONDS))
        while left := followers():
            if time.monotonic() > deadline:
                send(left, signal.SIGKILL)
            else:
                send(left - asked, signal.SIGTERM)  # a process may be born while others are being asked
                asked |= left
            time.sleep(0.05)
            self._reap()
        self._reap()


def main(arguments: list[str]) -> int:
    """`[--grace SECONDS] -- COMMAND…`"""
    options, command = arguments[: arguments.index("--")], arguments[arguments.index("--") + 1 :]
    grace = float(options[1]) if options[:1] == ["--grace"] else GRACE_SECONDS
    if os.getpgrp() != os.getpid():
        os.setsid()
    return Leash(command, grace).hold()


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
