"""A child process on a leash: it and all that it starts end with this process, however this process ends.

The owner's side of `serving.leash`. Knows nothing of what is run.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import IO

LEASH = Path(__file__).with_name("leash.py")
PATIENCE_SECONDS = 5.0
"""How much longer than its grace a leash may take before its group is killed from here."""


@dataclass(slots=True)
class Leashed:
    """A command under its leash. `pid` is the leash's, and the number of the process group as well."""

    process: asyncio.subprocess.Process
    grace: float

    @property
    def pid(self) -> int:
        return self.process.pid

    @property
    def returncode(self) -> int | None:
        """The command's exit status once all is ended, 128 + N for signal N; None while something runs."""
        return self.process.returncode

    def terminate(self) -> None:
        """Ask for the end and return at once."""
        with contextlib.suppress(ProcessLookupError):
            self.process.terminate()

    async def wait(self) -> int:
        """Until the command and all that it started have ended; its exit status."""
        status = await self.process.wait()
        self._kill_group()  # a leash that was itself killed leaves the group behind
        return status

    async def end(self) -> int:
        """SIGTERM, SIGKILL after the grace, and wait. Returns the exit status."""
        self.terminate()
        try:
            async with asyncio.timeout(self.grace + PATIENCE_SECONDS):
                return await self.wait()
        except TimeoutError:
            self._kill_group()
            return await self.process.wait()

    def _kill_group(self) -> None:
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.killpg(self.pid, signal.SIGKILL)


async def leashed(
    command: Sequence[str],
    *,
    env: Mapping[str, str] | None = None,
    output: IO[bytes] | int | None = None,
    cwd: Path | None = None,
    grace: float = 10.0,
) -> Leashed:
    """Start `command` on a leash; `output` takes its standard output and errors (None: this process's own).

    `grace` in seconds between SIGTERM and SIGKILL. Raises OSError where nothing can be started.
    """
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        *("-I", str(LEASH), "--grace", str(grace), "--", *command),
        stdin=asyncio.subprocess.PIPE,
        stdout=output,
        stderr=asyncio.subprocess.STDOUT if output is not None else None,
        env=None if env is None else dict(env),
        cwd=cwd,
        start_new_session=True,
    )
    return Leashed(process, grace)
