"""Bytes as people read them, and how many a folder takes."""

from __future__ import annotations

import contextlib
import os
from pathlib import Path


def size(count: int) -> str:
    """1_500_000 → '1.5 MB'."""
    for unit, bytes_each in (("GB", 10**9), ("MB", 10**6), ("kB", 10**3)):
        if count >= bytes_each:
            return f"{count / bytes_each:.1f} {unit}"
    return f"{count} bytes"


def taken(place: Path) -> int:
    """Bytes on the disk of a file, or of all in a folder; 0 where there is none. What goes meanwhile is not counted."""
    total = 0
    found = [place] if not place.is_dir() else (Path(at, name) for at, _, names in os.walk(place) for name in names)
    for file in found:
        with contextlib.suppress(FileNotFoundError):
            total += file.lstat().st_blocks * 512
    return total
