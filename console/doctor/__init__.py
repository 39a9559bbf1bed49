"""Looks this installation over: each check says what it found and, where something is wrong, what to do.

A file per group of checks; `examination.examine` runs them all in the order in which things depend on one another.
Looking changes nothing; a finding that is safe to repair brings its repair with it, which is made only when asked for.
"""

from console.doctor.examination import Repaired, examine, repair
from console.doctor.finding import Finding, Repair

__all__ = ["Finding", "Repair", "Repaired", "examine", "repair"]
