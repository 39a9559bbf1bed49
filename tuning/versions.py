"""Versions in and out of service: history, promotion, rollback, withdrawal. A pointer moves in one transaction, or
not at all.

Promotion asks the engine for one token first, so that the version is loaded before anybody waits for it. Answers
under way finish on the version they began with, because a request names its version. A version that learnt from text
deleted since is marked; unless its assistant's policy is to keep such with the mark, it does not serve again.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import select, update
from sqlalchemy.ext.asyncio import AsyncSession

from config.errors import EngineUnavailable, Refused
from config.names import VersionName
from serving.client import EngineClient
from store.assistants import find_assistant, find_version
from store.database import Database
from store.promotions import served
from store.retention import REMOVED
from store.tables import Assistant, Promotion, Version

GONE = "{} was removed by the retention that is set here, so it cannot serve; retrain, or restore it from a backup."


@dataclass(frozen=True, slots=True)
class VersionView:
    """One version as people see it. `state` is passed, failed, rejected or removed; `forgotten_at`: since when text
    that it learnt from is deleted; `trouble`: why the engine could not load it."""

    name: VersionName
    state: str
    in_service: bool
    created_at: datetime
    sentence: str
    report: dict[str, Any]
    forgotten_at: datetime | None = None
    trouble: str | None = None


@dataclass(frozen=True, slots=True)
class Move:
    """What a promotion or rollback did. None stands for the untuned model."""

    before: VersionName | None
    after: VersionName | None
    sentence: str


async def history(database: Database, assistant_name: str) -> list[VersionView]:
    """All versions, newest first."""
    async with database.session() as session:
        assistant = await find_assistant(session, assistant_name)
        rows = await session.scalars(
            select(Version).where(Version.assistant_id == assistant.id).order_by(Version.number.desc())
        )
        return [
            VersionView(
                VersionName(assistant.name, row.number), row.state, row.number == assistant.in_service,
                row.created_at, row.report["sentence"], row.report, row.forgotten_at, row.trouble,
            )
            for row in rows
        ]  # fmt: skip


async def promotable(database: Database, assistant_name: str, number: int | None) -> VersionName:
    """The version that a promotion to `number` (None: the newest that passed) would put into service.

    Raises Refused for one that failed its gate, serves already, was made for another base model, or learnt from text
    deleted since where that bars it; NotFound for one that is not there.
    """
    async with database.session() as session:
        assistant = await find_assistant(session, assistant_name)
        version = await _chosen(session, assistant, number)
        name = VersionName(assistant.name, version.number)
        if version.state == "failed":
            raise Refused(f"{name} did not pass its gate, so it stays out of service: {version.report['reasons'][0]}")
        if version.state == REMOVED:
            raise Refused(GONE.format(name))
        if version.base_model != assistant.base_model:
            raise Refused(f"{name} was made for {version.base_model}, not for {assistant.base_model}; retrain first.")
        if barred(assistant, version):
            raise Refused(f"{name} learnt from words that were deleted since, so it stays out of service; retrain.")
        if version.number == assistant.in_service:
            raise Refused(f"{name} is already in service.")
        return name


def barred(assistant: Assistant, version: Version) -> bool:
    """Whether it may not serve because text that it learnt from was deleted."""
    return version.forgotten_at is not None and assistant.on_forget != "mark"


async def promote(
    database: Database, client: EngineClient, assistant_name: str, number: int | None, asked_by: str
) -> Move:
    """Put a version into service: loaded first, then the pointer moves.

    Raises what `promotable` raises, and EngineUnavailable where it could not be loaded; then nothing has changed.
    """
    name = await promotable(database, assistant_name, number)
    await client.warm(name)
    return await _move(database, assistant_name, name.number, "promote", asked_by)


async def reject(database: Database, assistant_name: str, number: int) -> VersionName:
    """Set a version aside that passed its gate: it is not offered any more, but can still be promoted by its number,
    which takes the rejection back.

    Raises NotFound for one that is not there, Refused for one that serves or has not passed.
    """
    async with database.session() as session:
        assistant = await find_assistant(session, assistant_name)
        version = await find_version(session, assistant, number)
        name = VersionName(assistant.name, number)
        if version.number == assistant.in_service:
            raise Refused(f"{name} is in service; take it out with /rollback first.")
        if version.state == "failed":
            raise Refused(f"{name} did not pass its gate, so it is out of service anyway.")
        if version.state == REMOVED:
            raise Refused(GONE.format(name))
        version.state = "rejected"
        return name


async def previous(database: Database, assistant_name: str) -> VersionName | None:
    """What a rollback would bring back: the version that served before, None for the untuned model.

    Raises Refused where nothing was ever promoted.
    """
    async with database.session() as session:
        assistant = await find_assistant(session, assistant_name)
        stack = await served(session, assistant)
        if not stack:
            raise Refused(f"“{assistant_name}” has no version in service, so there is nothing to go back to.")
        kept_out = await _barred(session, assistant)
    earlier = [number for number in stack[:-1] if number not in kept_out]
    return VersionName(assistant_name, earlier[-1]) if earlier else None


async def rollback(database: Database, client: EngineClient, assistant_name: str, asked_by: str) -> Move:
    """Back to what served before the last promotion that still stands; also while there is no engine to load it, so
    that a bad version can be taken out at any moment: nobody is answered then, and this one was loaded before.

    Raises what `previous` raises, and NotFound or Refused where the engine cannot load it; then nothing has changed.
    """
    before = await previous(database, assistant_name)
    loaded = True
    if before is not None:
        try:
            await client.warm(before)
        except EngineUnavailable:
            loaded = False
    number = before.number if before else None
    return await _move(database, assistant_name, number, "rollback", asked_by, loaded=loaded)


async def withdraw(session: AsyncSession, assistant: Assistant, asked_by: str) -> Move:
    """Take the version in service out of it, in the caller's transaction and without waiting for an engine: back to
    the one that served last of those that passed and are not marked, else the newest such, else the untuned model."""
    rows = await session.execute(
        select(Version.number, Version.forgotten_at).where(
            Version.assistant_id == assistant.id,
            Version.state == "passed",
            Version.base_model == assistant.base_model,
            Version.trouble.is_(None),
            Version.number < assistant.in_service,
        )
    )
    good = sorted(number for number, forgotten in rows.tuples() if forgotten is None)
    before = assistant.in_service
    stack = [number for number in await served(session, assistant) if number in good]
    after = next(reversed(stack or good), None)
    assistant.in_service = after
    session.add(Promotion(assistant_id=assistant.id, action="withdraw", before=before, after=after, asked_by=asked_by))
    await session.flush()
    old, new = (VersionName(assistant.name, n) if n is not None else None for n in (before, after))
    return Move(old, new, f"{old} was withdrawn; {new or 'the untuned model'} answers now.")


async def _chosen(session: AsyncSession, assistant: Assistant, number: int | None) -> Version:
    if number is not None:
        return await find_version(session, assistant, number)
    passed = await session.scalars(
        select(Version)
        .where(Version.assistant_id == assistant.id, Version.state == "passed")
        .order_by(Version.number.desc())
    )
    newest = next((version for version in passed if version.trouble is None and not barred(assistant, version)), None)
    if newest is None:
        raise Refused(f"“{assistant.name}” has no version that passed its gate and may serve; retrain it first.")
    return newest


async def _barred(session: AsyncSession, assistant: Assistant) -> set[int]:
    """Numbers of the versions that a deletion keeps out of service, of what they learnt from or of their own files."""
    rows = await session.scalars(select(Version).where(Version.assistant_id == assistant.id))
    return {version.number for version in rows if version.state == REMOVED or barred(assistant, version)}


async def _move(
    database: Database, assistant_name: str, after: int | None, action: str, asked_by: str, *, loaded: bool = True
) -> Move:
    async with database.session() as session:
        assistant = await find_assistant(session, assistant_name)
        before = assistant.in_service
        moved = await session.execute(
            update(Assistant)
            .where(Assistant.id == assistant.id, Assistant.in_service.is_not_distinct_from(before))
            .values(in_service=after)
        )
        if moved.rowcount != 1:  # type: ignore[attr-defined]
            raise Refused("Somebody else changed the version in service at the same moment; look and try again.")
        session.add(Promotion(assistant_id=assistant.id, action=action, before=before, after=after, asked_by=asked_by))
        version = await find_version(session, assistant, after) if after is not None else None
        if version is not None:
            if version.state == REMOVED:
                raise Refused(GONE.format(VersionName(assistant_name, version.number)))
            version.state = "passed"  # also where it was rejected before
            if loaded:
                version.trouble = None
        marked = version is not None and version.forgotten_at is not None
    old = VersionName(assistant_name, before) if before is not None else None
    new = VersionName(assistant_name, after) if after is not None else None
    shown = str(new) if new else "the untuned model"
    verb = "is in service" if action == "promote" else "is back in service"
    warning = " Some of what it learnt from was deleted since; a retrain makes one without." if marked else ""
    return Move(old, new, f"{shown} {verb}; before it was {old or 'the untuned model'}.{warning}")
