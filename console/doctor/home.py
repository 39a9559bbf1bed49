"""The data folder: who may read it, and the key."""

from __future__ import annotations

import os

from config.settings import Settings
from console.doctor.finding import Finding, tried


def look(settings: Settings) -> list[Finding]:
    """All of this group."""
    return [*tried("Data folder", lambda: check_home(settings)), *tried("Key", lambda: check_key(settings))]


def check_home(settings: Settings) -> Finding:
    """The data folder: writable, closed to others."""
    home = settings.home
    if not os.access(home, os.W_OK):
        return Finding("Data folder", "wrong", f"{home} cannot be written", "Check who owns it.")
    if home.stat().st_mode & 0o077:
        return Finding("Data folder", "warning", f"{home} is open to other users", f"Run: chmod 700 {home}")
    return Finding("Data folder", "ok", str(home))


def check_key(settings: Settings) -> Finding:
    """The key file: there, and for its owner alone."""
    file = settings.paths.key_file
    if settings.key is not None:
        return Finding("Key", "ok", "given by the environment")
    if not file.exists():
        if settings.paths.database.exists():
            return Finding("Key", "wrong", "the key file is gone", f"Put it back where it was: {file}")
        return Finding("Key", "ok", "made when Parlance is first used")
    if file.stat().st_mode & 0o077:
        return Finding("Key", "wrong", "other users can read the key file", f"Run: chmod 600 {file}")
    return Finding("Key", "ok", "in a file of its own; keep a copy apart from backups of the data")
