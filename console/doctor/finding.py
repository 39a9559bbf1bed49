"""What a check found, and the repair that comes with it where one is safe."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterable
from dataclasses import dataclass, field

import structlog

from config.errors import ParlanceError

log = structlog.get_logger()
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


Found = Finding | Iterable[Finding]


def tried(name: str, check: Callable[[], Found]) -> list[Finding]:
    """What `check` finds; where it cannot even look, that is the finding, whatever the reason: all else is still looked
    at, and the log has the details."""
    try:
        return _listed(check())
    except Exception as error:
        return [_untold(name, error)]


async def awaited(name: str, check: Awaitable[Found]) -> list[Finding]:
    """The same for one that waits."""
    try:
        return _listed(await check)
    except Exception as error:
        return [_untold(name, error)]


def _listed(found: Found) -> list[Finding]:
    return [found] if isinstance(found, Finding) else list(found)


def _untold(name: str, error: Exception) -> Finding:
    if isinstance(error, ParlanceError):
        return Finding(name, "wrong", str(error))
    log.error("check_failed", check=name, exc_info=error)
    if isinstance(error, ImportError):
        return Finding(name, "wrong", str(error), "Run: make install")
    if isinstance(error, OSError):
        where = f"{error.filename}: " if error.filename else ""
        return Finding(name, "wrong", f"it cannot be looked at: {where}{error.strerror or error}", "Check who owns it.")
    return Finding(name, "wrong", f"it cannot be looked at ({type(error).__name__})", "The log has the details.")
