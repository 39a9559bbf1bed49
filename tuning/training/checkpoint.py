"""Checkpoints: the whole state of a run in one file, written whole or not at all, the last two kept.

A file is the SHA-256 of what follows, then what torch wrote. One that is cut short, altered, or of another run is
removed, for the one before. Knows nothing of what the state holds.
"""

from __future__ import annotations

import hashlib
import io
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch

from tuning.training.run import write_whole

KEPT = 2
_DIGEST = 32


def save(folder: Path, step: int, state: dict[str, Any]) -> None:
    """Write the state after `step` steps and remove all but the last two."""
    folder.mkdir(exist_ok=True)
    payload = io.BytesIO()
    torch.save(state, payload)
    content = payload.getvalue()
    write_whole(folder / f"step-{step:08d}.pt", hashlib.sha256(content).digest() + content)
    for old in _newest_first(folder)[KEPT:]:
        old.unlink()


def load(folder: Path, fingerprint: str, note: Callable[[str], None] = lambda _: None) -> dict[str, Any] | None:
    """The newest state that is whole and whose `fingerprint` is the given one; None where there is none. `note` gets a
    sentence for people where one was passed over because it is damaged."""
    damaged = False
    for file in _newest_first(folder):
        content = file.read_bytes()
        if hashlib.sha256(content[_DIGEST:]).digest() != content[:_DIGEST]:
            print(f"{file.name} is damaged; going back to the checkpoint before", file=sys.stderr)  # noqa: T201
            file.unlink()
            damaged = True
            continue
        state: dict[str, Any] = torch.load(
            io.BytesIO(content[_DIGEST:]), weights_only=True, map_location="cpu"
        )  # whoever takes a part of it puts it where it belongs
        if state["fingerprint"] == fingerprint:
            if damaged:
                note("What was last saved of the learning was damaged, so it went on from what was saved before that.")
            return state
        print(f"{file.name} belongs to other settings or data; removed", file=sys.stderr)  # noqa: T201
        file.unlink()  # else, being further on, it would count as the newest for good
    if damaged:
        note("What was saved of the learning was damaged, so it began again.")
    return None


def _newest_first(folder: Path) -> list[Path]:
    return sorted(folder.glob("step-*.pt"), reverse=True)
