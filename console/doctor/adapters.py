"""The adapters: the untuned model's, each version's against what was noted when it was made, and folders of nobody."""

from __future__ import annotations

import asyncio

import structlog
from sqlalchemy import select

from config.catalogue import find_model
from config.errors import ParlanceError, Refused
from config.names import RESERVED_PREFIX, VersionName, untuned
from config.settings import Settings
from console.doctor.finding import Finding, Repair, awaited
from serving.adapters import ensure_untuned, verify
from serving.ownership import Ownership
from store.database import Database
from store.retention import REMOVED
from store.tables import Assistant, Job, Version

log = structlog.get_logger()


async def look(settings: Settings, database: Database) -> list[Finding]:
    """All of this group."""
    return [
        *await awaited("Untuned model", asyncio.to_thread(check_untuned, settings)),
        *await awaited("Adapters", check_adapters(settings, database)),
        *await awaited("Adapter folder", check_folders(settings, database)),
    ]


def check_untuned(settings: Settings) -> Finding:
    """The adapter of zeros that the untuned model is served with; made at the engine's first start."""
    model = find_model(settings.base_model)
    folder = settings.paths.adapter(untuned(model.name))
    if not any(settings.paths.adapters.iterdir()):
        return Finding("Untuned model", "ok", "made ready when the engine first starts")
    repair = Repair("make it anew", lambda: asyncio.to_thread(_make_untuned, settings))
    if not folder.exists():
        advice = "It is made at the engine's next start."
        return Finding("Untuned model", "warning", f"{folder.parent.name} is not there", advice, repair)
    try:
        verify(folder)
        ensure_untuned(settings.paths, model)
    except ParlanceError as error:
        advice = "Stop Parlance, then run: parlance doctor --repair"
        return Finding("Untuned model", "wrong", str(error), advice, repair)
    return Finding("Untuned model", "ok", f"ready as {untuned(model.name)}")


def _make_untuned(settings: Settings) -> None:
    """One of zeros in place of one that is damaged. Raises Refused while an engine lives, which may know it, and
    BadInput where it is whole, but for another base model."""
    model = find_model(settings.base_model)
    folder = settings.paths.adapter(untuned(model.name))
    ownership = Ownership(settings.paths)
    if not ownership.acquire():
        raise Refused("Parlance is running, and its engine may know the damaged files; stop it first.")
    try:
        ownership.end_leftovers()
        if folder.exists():
            try:
                verify(folder)
            except ParlanceError:
                damaged = settings.paths.jobs / f"leaving-{folder.parent.name}"
                folder.rename(damaged)
        ensure_untuned(settings.paths, model)
    finally:
        ownership.release()


async def check_adapters(settings: Settings, database: Database) -> list[Finding]:
    """Each version's files against the digest that was noted when it was made."""
    async with database.session() as session:
        rows = (
            await session.execute(
                select(Assistant.name, Assistant.in_service, Version.number, Version.digest, Version.trouble)
                .join(Version, Version.assistant_id == Assistant.id)
                .where(Version.state != REMOVED)
                .order_by(Assistant.name, Version.number)
            )
        ).tuples().all()  # fmt: skip
    found = []
    for name, serving, number, digest, trouble in rows:
        label = VersionName(name, number)
        level = "wrong" if number == serving else "warning"
        back = f"or: parlance rollback {name}" if number == serving else "or leave it out of service."
        try:
            manifest = await asyncio.to_thread(verify, settings.paths.adapter(label))
        except (ParlanceError, OSError) as error:
            there = settings.paths.adapter(label).exists()
            why = str(error) if there else f"its folder {settings.paths.adapter(label)} is gone"
            found.append(Finding("Adapter", level, f"{label}: {why}", f"Restore it from a backup, {back}"))
            continue
        if manifest.digest != digest:
            advice = f"Put the right files back, {back}"
            found.append(Finding("Adapter", level, f"{label} is not the one that was gated", advice))
        elif trouble is not None:
            found.append(Finding("Adapter", "warning", f"{label} could not be loaded: {trouble}", f"Retrain {name}."))
    return found or [Finding("Adapters", "ok", f"{len(rows)} versions, all as they were made")]


async def check_folders(settings: Settings, database: Database) -> list[Finding]:
    """Folders of nobody: of no version on record, and of no job, which goes on or whose folder goes by itself."""
    async with database.session() as session:
        recorded = select(Assistant.name, Version.number).join(Version, Version.assistant_id == Assistant.id)
        known = set((await session.execute(recorded)).tuples().all())
        made = select(Assistant.name, Job.version).join(Job, Job.assistant_id == Assistant.id)
        known |= {(name, number or 0) for name, number in (await session.execute(made)).tuples()}
    found = []
    for folder in sorted(settings.paths.adapters.glob("*/v*")):
        name = folder.parent.name
        if name.startswith(RESERVED_PREFIX) or not folder.name[1:].isdecimal():
            continue
        if (name, int(folder.name[1:])) not in known:
            advice = "It is of no use: stop Parlance, then delete the folder."
            found.append(Finding("Adapter folder", "warning", f"{folder} is on no record", advice))
    return found
