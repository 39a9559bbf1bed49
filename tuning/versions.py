"""Versions in and out of service: history, promotion, rollback, withdrawal. A pointer moves in one transaction, or
not at all.

Promotion asks the engine for one token first, so that the version is loaded before anybody waits for it. That takes
seconds, so a move is made only where what it was planned on still holds: what served then serves still, and the version
may still serve. Answers under way finish on the version they began with, because a request names its version. A version
that learnt from text deleted since is marked; unless its assistant's policy is to keep such with the mark, it does not
serve again.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any

from sqlalchemy import select, update
from sqlalchemy.ext.asyncio import AsyncSession

from config.errors import EngineUnavailable, NotFound, ParlanceError, Refused
from config.names import VersionName
from serving.client import EngineClient
from serving.fallback import trouble_of
from store.assistants import find_assistant, find_version
from store.database import Database
from store.promotions import barred, earlier, may_serve, served
from store.retention import REMOVED
from store.tables import Assistant, Promotion, Version

GONE = "{} was removed by the retention that is set here, so it cannot serve; retrain, or restore it from a backup."
MEANWHILE = "Somebody else changed the versions at the same moment, so nothing was done; look and try again."


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
    _, version = await _promotion(database, assistant_name, number)
    return VersionName(assistant_name, version.number)


async def _promotion(database: Database, assistant_name: str, number: int | None) -> tuple[int | None, Version]:
    """What serves now, and what would serve. Raises as `promotable` does."""
    async with database.session() as session:
        assistant = await find_assistant(session, assistant_name)
        version = await _chosen(session, assistant, number)
        _check(assistant, version)
        if version.number == assistant.in_service:
            raise Refused(f"{VersionName(assistant.name, version.number)} is already in service.")
        return assistant.in_service, version


def _check(assistant: Assistant, version: Version) -> None:
    """Raises Refused with the reason why it may not serve, whoever asks for it."""
    name = VersionName(assistant.name, version.number)
    if version.state == "failed":
        raise Refused(f"{name} did not pass its gate, so it stays out of service: {version.report['reasons'][0]}")
    if version.state == REMOVED:
        raise Refused(GONE.format(name))
    if version.base_model != assistant.base_model:
        raise Refused(f"{name} was made for {version.base_model}, not for {assistant.base_model}; retrain first.")
    if barred(assistant, version):
        raise Refused(f"{name} learnt from words that were deleted since, so it stays out of service; retrain.")


async def promote(
    database: Database, client: EngineClient, assistant_name: str, number: int | None, asked_by: str
) -> Move:
    """Put a version into service: loaded first, then the pointer moves.

    Raises what `promotable` raises, what `EngineClient.warm` raises where it could not be loaded, and Refused where
    somebody else moved the pointer meanwhile or the version may serve no more; then nothing has changed.
    """
    before, version = await _promotion(database, assistant_name, number)
    await client.warm(VersionName(assistant_name, version.number))
    return await _move(database, assistant_name, before, version.number, "promote", asked_by, state=version.state)


async def reject(database: Database, assistant_name: str, number: int) -> VersionName:
    """Set a version aside that passed its gate: it is not offered any more, but can still be promoted by its number,
    which takes the rejection back.

    Raises NotFound for one that is not there, Refused for one that serves or has not passed.
    """
    async with database.session() as session:
        # A write first: then nobody puts it into service at the same moment.
        await session.execute(update(Assistant).where(Assistant.name == assistant_name).values(name=Assistant.name))
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
    """What a rollback would bring back: of the versions that served before the last that may serve again, None for the
    untuned model.

    Raises Refused where nothing was ever promoted.
    """
    _, before = await _way_back(database, assistant_name)
    return VersionName(assistant_name, before[0]) if before else None


async def _way_back(database: Database, assistant_name: str) -> tuple[int | None, list[int]]:
    """What serves now, and what a rollback would bring back, one after another. Raises as `previous` does."""
    async with database.session() as session:
        assistant = await find_assistant(session, assistant_name)
        if not await served(session, assistant):
            raise Refused(f"“{assistant_name}” has no version in service, so there is nothing to go back to.")
        return assistant.in_service, await earlier(session, assistant)


async def rollback(database: Database, client: EngineClient, assistant_name: str, asked_by: str) -> Move:
    """Back to what served before the last promotion that still stands; also while there is no engine to load it, so
    that a bad version can be taken out at any moment: nobody is answered then, and this one was loaded before. What the
    engine cannot load is passed over, as the move's sentence says, and in the end the untuned model answers.

    Raises what `previous` raises, and Refused where somebody else moved the pointer meanwhile.
    """
    before, good = await _way_back(database, assistant_name)
    after, loaded, passed_over = None, True, ""
    for number in good:
        name = VersionName(assistant_name, number)
        try:
            await client.warm(name)
        except EngineUnavailable:
            loaded = False
        except (NotFound, Refused) as why:
            passed_over += f" {name} was passed over, because {await _note(database, name, why)}."
            continue
        after = number
        break
    move = await _move(database, assistant_name, before, after, "rollback", asked_by, loaded=loaded)
    return replace(move, sentence=move.sentence + passed_over)


async def _note(database: Database, name: VersionName, why: ParlanceError) -> str:
    """Remember that the engine could not load it, of which whoever asked is told now; why, in half a sentence."""
    async with database.session() as session:
        version = await find_version(session, await find_assistant(session, name.assistant), name.number)
        version.trouble, version.trouble_told = trouble_of(why), True
        return version.trouble


async def withdraw(session: AsyncSession, assistant: Assistant, asked_by: str) -> Move:
    """Take the version in service out of it, in the caller's transaction and without waiting for an engine: back to
    the one that served last of those that passed and are not marked, else the newest such, else the untuned model."""
    rows = await session.scalars(select(Version).where(Version.assistant_id == assistant.id))
    good = [row.number for row in rows if may_serve(assistant, row) and row.forgotten_at is None]
    before = assistant.in_service
    back = [number for number in await earlier(session, assistant) if number in good]
    older = [number for number in good if before is not None and number < before]
    after = next(iter(back), max(older, default=None))
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


async def _move(
    database: Database, assistant_name: str, before: int | None, after: int | None, action: str, asked_by: str, *,
    state: str = "passed", loaded: bool = True,
) -> Move:  # fmt: skip
    """Move the pointer from `before`, which was found in service, to `after`, which was found in `state`. Raises
    Refused where that is not so any more."""
    async with database.session() as session:
        # The write first: then nobody else writes, and what is read is what will hold.
        moved = await session.execute(
            update(Assistant)
            .where(Assistant.name == assistant_name, Assistant.in_service.is_not_distinct_from(before))
            .values(in_service=after)
        )
        if moved.rowcount != 1:  # type: ignore[attr-defined]
            raise Refused(MEANWHILE)
        assistant = await find_assistant(session, assistant_name)
        session.add(Promotion(assistant_id=assistant.id, action=action, before=before, after=after, asked_by=asked_by))
        marked = False
        if after is not None:
            version = await find_version(session, assistant, after)
            _check(assistant, version)
            if version.state != state:
                raise Refused(MEANWHILE)
            version.state = "passed"  # also where it was rejected before
            if loaded:
                version.trouble = None
            marked = version.forgotten_at is not None
    old = VersionName(assistant_name, before) if before is not None else None
    new = VersionName(assistant_name, after) if after is not None else None
    shown = str(new) if new else "the untuned model"
    verb = "is in service" if action == "promote" else "is back in service"
    warning = " Some of what it learnt from was deleted since; a retrain makes one without." if marked else ""
    return Move(old, new, f"{shown} {verb}; before it was {old or 'the untuned model'}.{warning}")
