"""The data folder: who may read it, the key, and the settings."""

from __future__ import annotations

import difflib
import os
import tomllib
from collections.abc import Iterator
from pathlib import Path

from config.settings import Settings
from console.doctor.finding import Finding, Repair, tried

MORE_VARIABLES = {"bot_token"}
"""PARLANCE_* that are no settings but mean something to a command."""


def look(settings: Settings) -> list[Finding]:
    """All of this group."""
    return [
        *tried("Data folder", lambda: check_home(settings)),
        *tried("Key", lambda: check_key(settings)),
        *tried("Files", lambda: check_files(settings)),
        *tried("Settings", lambda: check_settings(settings)),
    ]


def check_home(settings: Settings) -> Finding:
    """The data folder: writable, closed to others."""
    home = settings.home
    if not os.access(home, os.W_OK):
        return Finding("Data folder", "wrong", f"{home} cannot be written", "Check who owns it.")
    if home.stat().st_mode & 0o077:
        advice = f"Run: chmod 700 {home}"
        return Finding("Data folder", "warning", f"{home} is open to other users", advice, _closing(home))
    return Finding("Data folder", "ok", str(home))


def check_key(settings: Settings) -> Finding:
    """The key file: there, and for its owner alone."""
    file = settings.paths.key_file
    if settings.key is not None:
        return Finding("Key", "ok", "given by the environment")
    if not file.exists():
        if settings.paths.database.exists():
            return Finding("Key", "wrong", "the key file is gone", f"Put your copy of it back: {file}")
        return Finding("Key", "ok", "made when Parlance is first used")
    if file.stat().st_mode & 0o077:
        return Finding("Key", "wrong", "other users can read the key file", f"Run: chmod 600 {file}", _closing(file))
    return Finding("Key", "ok", "in a file of its own; keep a copy apart from backups of the data")


def check_files(settings: Settings) -> Finding:
    """What holds text, logs or secrets is for its owner alone."""
    home = settings.home
    places = [home / "parlance.toml", *home.glob("parlance.db*"), *(home / "logs").glob("*"), home / "secret"]
    inside = home.stat().st_mode & 0o077 == 0
    opened = [place for place in places if place.exists() and place.stat().st_mode & 0o077 and not inside]
    if not opened:
        return Finding("Files", "ok", "closed to other users")
    names = ", ".join(place.name for place in opened[:3])
    return Finding(
        "Files", "warning", f"other users can read {names}", f"Run: chmod -R go-rwx {home}", _closing(*opened)
    )


def check_settings(settings: Settings) -> list[Finding]:
    """Settings that nobody knows: a misspelt one does nothing, and nobody is told."""
    known = set(Settings.model_fields)
    file = settings.home / "parlance.toml"
    given = dict.fromkeys(tomllib.loads(file.read_text()) if file.exists() else {}, "parlance.toml")
    given |= {
        name.removeprefix("PARLANCE_").lower(): "the environment" for name in os.environ if name.startswith("PARLANCE_")
    }
    unknown = [
        Finding("Settings", "warning", f"{where} sets “{name}”, which is no setting", _meant(name, known))
        for name, where in given.items()
        if name not in known | MORE_VARIABLES
    ]
    return unknown or [Finding("Settings", "ok", f"{len(given)} given, all known")]


def _meant(name: str, known: set[str]) -> str:
    near = difflib.get_close_matches(name, known, 1)
    return f"Perhaps {near[0]} is meant." if near else "Remove it."


def _closing(*places: Path) -> Repair:
    async def make() -> None:
        for place in places:
            place.chmod(place.stat().st_mode & 0o700)

    return Repair("close to other users", make)


def leftover_homes(home: Path) -> Iterator[Path]:
    """Folders that a killed restore left beside the data folder."""
    return home.parent.glob(f".{home.name}-restoring-*")
