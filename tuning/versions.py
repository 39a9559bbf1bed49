"""Versions in and out of service: history, promotion, rollback. A pointer moves in one transaction, or not at all.

Promotion asks the engine for one token first, so that the version is loaded before anybody waits for it. Answers
under way finish on the version they began with, because a request names its version.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import select, update
from sqlalchemy.ext.asyncio import AsyncSession

from config.errors import Refused
from config.names import VersionName
from serving.client import EngineClient
from store.assistants import find_assistant, find_version
from store.database import Database
from store.tables import Assistant, Promotion, Version


@dataclass(frozen=True, slots=True)
class VersionView:
    """One version as people see it. `state` is passed or failed."""

    name: VersionName
    state: str
    in_service: bool
    created_at: datetime
    sentence: str
    report: dict[str, Any]


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
                row.created_at, row.report["sentence"], row.report,
            )
            for row in rows
        ]  # fmt: skip


async def promotable(database: Database, assistant_name: str, number: int | None) -> VersionName:
    """The version that a promotion to `number` (None: the newest that passed) would put into service.

    Raises Refused for one that failed its gate, serves already, or was made for another base model; NotFound for one
    that is not there.
    """
    async with database.session() as session:
        assistant = await find_assistant(session, assistant_name)
        version = await _chosen(session, assistant, number)
        name = VersionName(assistant.name, version.number)
        if version.state != "passed":
            raise Refused(f"{name} did not pass its gate, so it stays out of service: {version.report['reasons'][0]}")
        if version.base_model != assistant.base_model:
            raise Refused(f"{name} was made for {version.base_model}, not for {assistant.base_model}; retrain first.")
        if version.number == assistant.in_service:
            raise Refused(f"{name} is already in service.")
        return name


async def promote(
    database: Database, client: EngineClient, assistant_name: str, number: int | None, asked_by: str
) -> Move:
    """Put a version into service: loaded first, then the pointer moves.

    Raises what `promotable` raises, and EngineUnavailable where it could not be loaded; then nothing has changed.
    """
    name = await promotable(database, assistant_name, number)
    await client.warm(name)
    return await _move(database, assistant_name, name.number, "promote", asked_by)


async def previous(database: Database, assistant_name: str) -> VersionName | None:
    """What a rollback would bring back: the version that served before, None for the untuned model.

    Raises Refused where nothing was ever promoted.
    """
    async with database.session() as session:
        stack = await _served(session, await find_assistant(session, assistant_name))
    if not stack:
        raise Refused(f"“{assistant_name}” has never been promoted, so there is nothing to go back to.")
    return VersionName(assistant_name, stack[-2]) if len(stack) > 1 else None


async def rollback(database: Database, client: EngineClient, assistant_name: str, asked_by: str) -> Move:
    """Back to what served before the last promotion that still stands. Raises what `previous` raises."""
    before = await previous(database, assistant_name)
    if before is not None:
        await client.warm(before)
    return await _move(database, assistant_name, before.number if before else None, "rollback", asked_by)


async def _chosen(session: AsyncSession, assistant: Assistant, number: int | None) -> Version:
    if number is not None:
        return await find_version(session, assistant, number)
    newest = await session.scalar(
        select(Version)
        .where(Version.assistant_id == assistant.id, Version.state == "passed")
        .order_by(Version.number.desc())
    )
    if newest is None:
        raise Refused(f"“{assistant.name}” has no version that passed its gate; retrain it first.")
    return newest


async def _served(session: AsyncSession, assistant: Assistant) -> list[int]:
    """Versions in service one over another, the present one last: promotions push, rollbacks pop."""
    moves = await session.scalars(
        select(Promotion).where(Promotion.assistant_id == assistant.id).order_by(Promotion.id)
    )
    stack: list[int] = []
    for move in moves:
        if move.action == "rollback":
            stack = stack[:-1]
        elif move.after is not None:
            stack.append(move.after)
    return stack


async def _move(database: Database, assistant_name: str, after: int | None, action: str, asked_by: str) -> Move:
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
    old = VersionName(assistant_name, before) if before is not None else None
    new = VersionName(assistant_name, after) if after is not None else None
    shown = str(new) if new else "the untuned model"
    verb = "is in service" if action == "promote" else "is back in service"
    return Move(old, new, f"{shown} {verb}; before it was {old or 'the untuned model'}.")
