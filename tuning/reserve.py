"""A little of the disk that a job holds while it works, and gives up once the disk is full: then there is room for the
database to note that, and people read why nothing moves.
"""

from __future__ import annotations

import os
from pathlib import Path

from tuning.training.run import write_whole

SIZE = 1 << 20
"""Bytes: dozens of notes in SQLite's log."""


def hold(folder: Path) -> None:
    """Take it, in a job's folder. Raises OSError where the disk has not even that."""
    file = folder / "reserve"
    if not file.exists():
        write_whole(file, os.urandom(SIZE), sync=False)  # nothing that a file system could store in less


def give_up(folder: Path) -> None:
    """Let it go, where it is held."""
    (folder / "reserve").unlink(missing_ok=True)
