"""What keeps a job from going on for the moment: a full disk, an engine, another machine or a database that is away.
Such a job goes back in line with its folder kept, and is tried again after a while.

Knows errors and sentences; knows neither jobs nor how they run.
"""

from __future__ import annotations

from dataclasses import dataclass

from sqlalchemy.exc import InterfaceError, OperationalError
from sqlalchemy.exc import TimeoutError as NoConnection

from config.errors import EngineUnavailable, MachineAway
from store.full_disk import is_full

FIRST_PAUSE, LONGEST_PAUSE = 5.0, 60.0
"""Seconds until it is tried again: doubled each time, and never longer than the second."""


@dataclass(frozen=True, slots=True)
class Setback:
    """What happened, in a sentence for people. `harmless`: waiting it out costs nothing, however often it comes."""

    sentence: str
    harmless: bool


def setback(error: BaseException) -> Setback | None:
    """What of it passes by itself; None for what does not, and ends the job."""
    if is_full(error):
        return Setback(
            "The disk is full, so the retrain waits; it goes on by itself once there is room again.", harmless=True
        )
    if isinstance(error, EngineUnavailable):
        return Setback(f"{error} What was learnt is kept, and the retrain goes on by itself.", harmless=True)
    if isinstance(error, MachineAway):
        return Setback(f"{error} The retrain waits, and goes on by itself.", harmless=True)
    if isinstance(error, (OperationalError, InterfaceError, NoConnection)):
        return Setback("The database did not answer, so the retrain waits; it goes on by itself.", harmless=False)
    return None


def pause(times: int) -> float:
    """Seconds to wait after so many setbacks in a row."""
    return min(LONGEST_PAUSE, FIRST_PAUSE * 2.0 ** (times - 1))
