"""`python -m tuning.training FOLDER`: train what FOLDER/run.json says, and report through the folder's files.

Exit codes: 0 done, 1 failed with one sentence in error.txt, 3 stopped by SIGTERM with the checkpoint kept, 4 the disk
is full and the checkpoint kept. Started again after whatever end, it goes on from its last checkpoint; a finished run
ends at once. When the process that started it is gone, it stops as if asked to: whoever starts next begins where it
stopped.
"""

from __future__ import annotations

import fcntl
import os
import signal
import sys
import threading
import traceback
from contextlib import suppress
from pathlib import Path
from types import FrameType

from config.errors import JobFailed, ParlanceError
from tuning.training.run import CANCELLED, DONE, FAILED, FULL, Progress, RunFolder, write_whole

PATIENCE = 1.2
"""Seconds after SIGTERM until the process ends even from the midst of a pass through a large model."""


class Stop:
    """Whether to stop: SIGTERM came, or the process that started this one is gone."""

    def __init__(self, folder: RunFolder) -> None:
        self._folder, self._asked, self._parent = folder, False, os.getppid()
        signal.signal(signal.SIGTERM, self._ask)

    def __call__(self) -> bool:
        return self._asked or os.getppid() != self._parent

    def _ask(self, _: int, __: FrameType | None) -> None:
        if not self._asked:
            self._asked = True
            last = threading.Timer(PATIENCE, self._end)
            last.daemon = True
            last.start()

    def _end(self) -> None:
        try:
            say_state(self._folder, "cancelled")
        finally:
            os._exit(CANCELLED)


def say_state(folder: RunFolder, state: str) -> None:
    """Change the state in progress.json and leave the rest of it."""
    progress = folder.read_progress() or Progress()
    folder.write_progress(progress.model_copy(update={"state": state, "seconds_left": None}))


def hide(package: str) -> None:
    """For this process it is not installed."""
    sys.modules[package] = None  # type: ignore[assignment]


def train(folder: RunFolder, stop: Stop) -> int:
    """Run to an exit code. Raises ParlanceError with the sentence for error.txt."""
    run = folder.read_settings()
    # Threads that wait for each other in a loop starve one another where anything else is running: measured four times
    # slower on two busy cores. Must be set before torch is imported.
    os.environ.setdefault("OMP_WAIT_POLICY", "passive")
    hide("kernels")  # with which bitsandbytes would fetch code from a model hub
    if not run.four_bits:
        hide("bitsandbytes")  # PEFT would load it with itself: 1.4 s and 45 MB for what no other run has
    from tuning.training.loop import Cancelled, Training  # imports torch: seconds; SIGTERM is already heard
    from tuning.training.memory import is_shortage

    try:
        Training(folder, run, stop).go()
    except Cancelled:
        return CANCELLED
    except Exception as error:
        if not is_shortage(error):
            raise
        where = "The GPU's memory" if run.device == "cuda" else "This machine's memory"
        raise JobFailed(
            f"{where} was too small for this tuning, although it was taken in parts; close other programs or choose a "
            "smaller base model."
        ) from error
    return DONE


def disk_is_full(error: Exception) -> bool:
    """Whether it failed for want of room."""
    from store.full_disk import is_full  # imports SQLAlchemy, which nothing else here needs

    return is_full(error)


def sentence_for(error: Exception) -> str:
    """What a person reads of it."""
    if isinstance(error, ParlanceError):
        return str(error)
    if disk_is_full(error):
        return "The disk is full, so the tuning could not go on; make room and start it again."
    return "The tuning failed unexpectedly; start it again, and see its log."


def tell(folder: RunFolder, sentence: str) -> None:
    """Leave the sentence for the platform. Where not even that fits on the disk, the exit code has to do."""
    try:
        write_whole(folder.error, f"{sentence}\n".encode())
        say_state(folder, "failed")
    except OSError as error:
        with suppress(OSError):  # the log lies on a disk as well
            print(f"{sentence} (and it could not be noted: {error})", file=sys.stderr)  # noqa: T201


def main() -> int:
    """Train in the folder named on the command line; the exit code."""
    if len(sys.argv) != 2 or not Path(sys.argv[1]).is_dir():
        print("usage: python -m tuning.training FOLDER", file=sys.stderr)  # noqa: T201
        return 2
    folder = RunFolder(Path(sys.argv[1]).absolute())
    stop = Stop(folder)
    try:
        return run(folder, stop)
    except Exception as error:
        with suppress(OSError):  # the log lies on a disk as well
            traceback.print_exc()
        tell(folder, sentence_for(error))
        return FULL if disk_is_full(error) else FAILED


def run(folder: RunFolder, stop: Stop) -> int:
    """Train, one process a folder at a time; the exit code. Raises whatever fails."""
    with folder.lock.open("w") as lock:
        # Another process may still be stopping in this folder; two would overwrite each other's files.
        fcntl.flock(lock, fcntl.LOCK_EX)
        if folder.result.exists():
            return DONE
        folder.error.unlink(missing_ok=True)
        code = train(folder, stop)
        if code == CANCELLED:
            say_state(folder, "cancelled")
        return code


if __name__ == "__main__":
    sys.exit(main())
