"""`parlance disk`: what takes how much room."""

from __future__ import annotations

import shutil
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any

import typer
from sqlalchemy import select
from sqlalchemy.engine import make_url

from config.settings import Settings
from console.backup import last_shelf
from console.output import console, print_json, table
from console.sizes import size, taken
from console.workplace import run, workplace
from store.database import Database, database_url
from store.retention import REMOVED
from store.tables import Assistant, Version


@dataclass(frozen=True, slots=True)
class Used:
    """One thing on the disk. `bytes` as the disk counts them."""

    what: str
    bytes: int
    detail: str = ""


def register(app: typer.Typer) -> None:
    """Add this command to the program."""
    app.command()(disk)


def disk(json: Annotated[bool, typer.Option("--json", help="Print the result as JSON.")] = False) -> None:
    """Show what takes how much room: database, adapters, logs, what runs, backups."""

    async def work() -> tuple[list[Used], int]:
        async with workplace() as place:
            found = await used(place.settings, place.database)
            return found, shutil.disk_usage(place.settings.home).free

    found, free = run(work())
    if json:
        shown: list[dict[str, Any]] = [{"what": one.what, "bytes": one.bytes, "detail": one.detail} for one in found]
        print_json({"used": shown, "free": free})
        return
    rows = table("", "", "")
    for one in found:
        rows.add_row(one.what, size(one.bytes), one.detail)
    console.print(rows)
    console.print(f"{size(free)} free.")


async def used(settings: Settings, database: Database) -> list[Used]:
    """Everything, by what it is."""
    paths = settings.paths
    async with database.session() as session:
        rows = await session.execute(
            select(Assistant.name, Version.number, Version.state).join(Version, Version.assistant_id == Assistant.id)
        )
        states = {(name, number): state for name, number, state in rows.tuples()}
    found = list(_database(settings))
    for folder in sorted(paths.adapters.iterdir()):
        versions = [entry.name for entry in folder.glob("v*") if entry.name[1:].isdecimal()]
        waiting = sum(states.get((folder.name, int(name[1:]))) == REMOVED for name in versions)
        detail = f"{len(versions)} version{'' if len(versions) == 1 else 's'}"
        if waiting:
            detail += f", {waiting} of them removed: deleted before the engine starts the next time"
        found.append(Used(f"adapters of {folder.name}", taken(folder), detail))
    found.append(Used("logs", taken(paths.logs)))
    jobs = [entry for entry in paths.jobs.iterdir() if entry.is_dir()]
    found.append(Used("run folders of jobs", taken(paths.jobs), f"{len(jobs)}" if jobs else "none"))
    found.append(_backups(settings))
    return found


def _database(settings: Settings) -> list[Used]:
    url = make_url(database_url(settings))
    if url.get_backend_name() != "sqlite" or url.database is None:
        return [Used("database", 0, "on another server")]
    file = Path(url.database)
    journal = taken(file.with_name(f"{file.name}-wal"))
    return [Used("database", taken(file)), Used("database's journal", journal)]


def _backups(settings: Settings) -> Used:
    shelf = last_shelf(settings.home)
    if shelf is None:
        return Used("backups", 0, "none yet: parlance backup FOLDER")
    names = shelf.names()
    if not names:
        return Used("backups", 0, f"none in {shelf.folder} (gone, or not mounted)")
    return Used("backups", taken(shelf.folder), f"{len(names)} in {shelf.folder}, the last {names[-1]}")
