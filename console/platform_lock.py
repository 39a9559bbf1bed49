"""The lock of a platform: of all processes on one home at most one is the platform."""

from __future__ import annotations

import fcntl
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from config.errors import Refused
from config.paths import Paths


@contextmanager
def only_one(paths: Paths) -> Iterator[None]:
    """Holds the lock for as long as the block runs. Raises Refused where a platform runs on this home already."""
    with _file(paths).open("a") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise Refused(f"Parlance already runs on {paths.home}; stop that one first, or use it.") from None
        yield


def runs(paths: Paths) -> bool:
    """Whether a platform runs on this home now."""
    if not _file(paths).exists():
        return False
    with _file(paths).open("a") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_SH | fcntl.LOCK_NB)
        except BlockingIOError:
            return True
    return False


def _file(paths: Paths) -> Path:
    return paths.run / "platform.lock"
