"""What runs, or was left by what ran: the engine, folders of ended jobs and restores, jobs that wait or failed."""

from __future__ import annotations

import asyncio
import fcntl
import re
import shutil
import time
from pathlib import Path

import psutil
from sqlalchemy import func, select

from config.paths import Paths
from config.settings import Settings
from console.doctor.finding import Finding, Repair, awaited, tried
from console.doctor.home import leftover_homes
from console.sizes import size, taken
from serving.failures import tried_again
from serving.ownership import Ownership, live_record, read_record
from store.database import Database
from store.tables import Assistant, Job

STAGED_SECONDS = 3600.0
"""A staged folder so old is nobody's any more: making one takes a minute."""

LOOKED_THROUGH, LONGEST_WORDS = 200_000, 200
"""Bytes at the end of the engine's log, and characters that are shown of an error in it."""
_ERROR = re.compile(r"\b((?:\w+\.)*[A-Z]\w*(?:Error|Exception): \S[^\r\n]*)")


async def look(settings: Settings, database: Database) -> list[Finding]:
    """All of this group."""
    return [
        *tried("Running", lambda: check_engine(settings)),
        *await awaited("Run folders", check_folders(settings, database)),
        *tried("Restores", lambda: check_restores(settings)),
        *await awaited("Jobs", check_jobs(settings, database)),
    ]


def check_engine(settings: Settings) -> Finding:
    """The engine, as its owner says it is; or what a dead owner left."""
    record = live_record(settings.paths)
    if record is not None:
        if record.state == "failed":
            log = settings.paths.logs / "engine.log"
            found = tried_again(record.sentence, record.started - time.time())
            if words := last_error(log):
                found = f"{found} Its last error: {words}"
            return Finding("Running", "wrong", found, f"Mend what the end of {log} says; it is tried again by itself")
        if record.state in ("unwell", "restarting"):
            return Finding("Running", "warning", record.sentence, "Look again in a minute: parlance doctor")
        return Finding("Running", "ok", record.sentence)
    left = read_record(settings.paths)
    if left is None:
        return Finding("Running", "ok", "no engine runs; parlance up starts it")
    alive = left.pid and psutil.pid_exists(left.pid)
    found = "a Parlance that is gone left its engine running" if alive else "a Parlance that was killed left its note"
    repair = Repair("end what is left of it", lambda: asyncio.to_thread(_end, settings.paths))
    return Finding("Running", "warning", found, "The next start ends it; or: parlance doctor --repair", repair)


def last_error(log: Path) -> str | None:
    """The last line in an engine's log that names an error of its own, as far as it can be read."""
    try:
        with log.open("rb") as stream:
            stream.seek(max(0, log.stat().st_size - LOOKED_THROUGH))
            text = stream.read().decode("utf-8", "replace")
    except OSError:
        return None
    errors = [words for words in _ERROR.findall(text) if "root cause above" not in words]
    return str(errors[-1])[:LONGEST_WORDS] if errors else None


def _end(paths: Paths) -> None:
    ownership = Ownership(paths)
    if ownership.acquire():  # else somebody has become its owner, and has seen to it
        try:
            ownership.end_leftovers()
        finally:
            ownership.release()


async def check_folders(settings: Settings, database: Database) -> Finding:
    """Run folders of jobs that have ended hold training text; and what was staged and never finished."""
    async with database.session() as session:
        going = set(await session.scalars(select(Job.id).where(Job.state.in_(("queued", "running")))))
    before = time.time() - STAGED_SECONDS
    left = [
        entry
        for entry in settings.paths.jobs.iterdir()
        if (int(entry.name) not in going if entry.name.isdecimal() else entry.stat().st_mtime < before)
    ]
    if not left:
        return Finding("Run folders", "ok", "none left over")
    room = sum(taken(entry) for entry in left)
    found = f"{len(left)} left over, {size(room)}: {', '.join(sorted(entry.name for entry in left)[:3])}"
    repair = Repair("delete them", lambda: asyncio.to_thread(_delete, settings.paths, left))
    return Finding("Run folders", "warning", found, "They hold text; the next start clears those of jobs.", repair)


def _delete(paths: Paths, left: list[Path]) -> None:
    with (paths.run / "jobs.lock").open("a+") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            left = [entry for entry in left if not entry.name.isdecimal()]  # a runner lives, and clears its own
        for entry in left:
            shutil.rmtree(entry) if entry.is_dir() else entry.unlink()


def check_restores(settings: Settings) -> Finding:
    """Folders beside the data folder that a killed restore left; each has a copy of the key."""
    before = time.time() - STAGED_SECONDS
    left = [entry for entry in leftover_homes(settings.home) if entry.stat().st_mtime < before]
    if not left:
        return Finding("Restores", "ok", "none broken off")

    async def make() -> None:
        for entry in left:
            await asyncio.to_thread(shutil.rmtree, entry)

    found = f"{len(left)} broken off, with a copy of the key: {left[0]}"
    return Finding("Restores", "warning", found, "Delete what is left of it.", Repair("delete what is left", make))


async def check_jobs(settings: Settings, database: Database) -> list[Finding]:
    """Jobs that nobody works on, and assistants whose last job failed."""
    async with database.session() as session:
        waiting = await session.scalar(
            select(func.count()).select_from(Job).where(Job.state.in_(("queued", "running")))
        )
        newest = select(func.max(Job.id)).group_by(Job.assistant_id)
        failed = (
            await session.execute(
                select(Assistant.name, Job.error)
                .join(Job, Job.assistant_id == Assistant.id)
                .where(Job.id.in_(newest), Job.state == "failed")
            )
        ).tuples().all()  # fmt: skip
    found = [
        Finding("Jobs", "warning", f"the last retrain of {name} failed: {error}", f"Then: parlance tune {name}")
        for name, error in failed
    ]
    if waiting and not _runner_lives(settings.paths):
        found.append(Finding("Jobs", "warning", f"{waiting} wait, and nobody works on them", "Run: parlance up"))
    return found or [Finding("Jobs", "ok", f"{waiting} under way" if waiting else "none waits, none failed last")]


def _runner_lives(paths: Paths) -> bool:
    with (paths.run / "jobs.lock").open("a+") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            return True
    return False
