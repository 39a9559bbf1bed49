"""What a check found, and the repair that comes with it where one is safe."""

from __future__ import annotations

import importlib.metadata
from collections.abc import Awaitable, Callable, Iterable
from dataclasses import dataclass, field

from config.errors import ParlanceError

Make = Callable[[], Awaitable[None]]


@dataclass(frozen=True, slots=True)
class Repair:
    """`words`: what it would do, as in "close it to other users". `make` does it; it can be made twice without harm."""

    words: str
    make: Make


@dataclass(frozen=True, slots=True)
class Finding:
    """`level`: ok, warning or wrong. `advice` is empty where nothing is to be done."""

    check: str
    level: str
    found: str
    advice: str = ""
    repair: Repair | None = field(default=None, compare=False, repr=False)


Check = Callable[[], Finding | Iterable[Finding]]


def tried(name: str, check: Check) -> list[Finding]:
    """What `check` finds; where it cannot even look, that is the finding."""
    try:
        found = check()
    except (ParlanceError, OSError, importlib.metadata.PackageNotFoundError) as error:
        advice = "Run: make install" if isinstance(error, ImportError) else ""
        return [Finding(name, "wrong", str(error), advice)]
    return [found] if isinstance(found, Finding) else list(found)
