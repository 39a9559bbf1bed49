"""What follows where text is deleted that versions may have learnt from: a person was forgotten, a source removed.

Promises, in the transaction that deletes it: versions are marked, taken out of service where their assistant's policy
says so, and jobs that may have read it are told to stop, others asked for in their place; samples that repeat it go.
Afterwards run folders go and the database's journal is emptied. Knows neither who nor what was deleted.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass
from typing import Any

import structlog
from sqlalchemy import select, update
from sqlalchemy.ext.asyncio import AsyncSession

from config.names import VersionName
from config.settings import Settings
from store.columns import now
from store.database import Database
from store.journal import empty_journal
from store.tables import Assistant, Job, Version
from tuning import run_folders
from tuning.versions import Move, withdraw

log = structlog.get_logger()


@dataclass(frozen=True, slots=True)
class Followed:
    """What was done within the transaction. `jobs`: those that were told to stop."""

    versions: tuple[VersionName, ...]
    withdrawn: tuple[Move, ...]
    retraining: tuple[str, ...]
    jobs: tuple[int, ...]


async def follow(session: AsyncSession, learnt: Collection[int], assistants: Collection[int], by: str) -> Followed:
    """Mark the versions of these rows, stop what these assistants are learning, and do what policies ask for, in the
    name of `by`."""
    versions = await _mark(session, learnt)
    jobs, afresh = await _stop_jobs(session, assistants)
    withdrawn, queued = await _by_policy(session, versions, by)
    names = tuple(VersionName(assistant.name, version.number) for version, assistant in versions)
    return Followed(names, tuple(withdrawn), tuple(sorted({*afresh, *queued})), tuple(jobs))


async def settle(database: Database, settings: Settings, followed: Followed) -> dict[str, Any]:
    """Once that is committed: no file has the text any more. Gives the fields of an `Aftermath`."""
    cleared = await run_folders.clear(settings.paths, followed.jobs)
    journal = await empty_journal(database)
    log.info("text deleted", versions=len(followed.versions), jobs=len(followed.jobs), cleared=cleared, journal=journal)
    return {
        "versions": followed.versions, "withdrawn": followed.withdrawn, "retraining": followed.retraining,
        "stopping": not cleared, "journal": journal,
    }  # fmt: skip


async def drop_samples(
    session: AsyncSession, assistants: Collection[int], repeats: Callable[[Version, str], bool]
) -> int:
    """Sample answers in reports show text that versions were measured with: those of which any part `repeats` what is
    deleted go. Gives how many."""
    dropped = 0
    for version in await session.scalars(select(Version).where(Version.assistant_id.in_(assistants))):
        samples = version.report.get("samples", [])
        kept = [one for one in samples if not any(repeats(version, text) for text in texts_of(one))]
        if len(kept) < len(samples):
            dropped += len(samples) - len(kept)
            version.report = version.report | {"samples": kept}
    await session.flush()
    return dropped


def texts_of(sample: dict[str, Any]) -> list[str]:
    """What a sample answer shows."""
    return [str(text) for text in sample.values() if text]


async def _mark(session: AsyncSession, learnt: Collection[int]) -> list[tuple[Version, Assistant]]:
    """Mark these versions; gives them by assistant and number."""
    await session.execute(
        update(Version).where(Version.id.in_(learnt), Version.forgotten_at.is_(None)).values(forgotten_at=now())
    )
    both = await session.execute(
        select(Version, Assistant)
        .join(Assistant, Assistant.id == Version.assistant_id)
        .where(Version.id.in_(learnt))
        .order_by(Assistant.name, Version.number)
        .execution_options(populate_existing=True)
    )
    return list(both.tuples())


async def _stop_jobs(session: AsyncSession, assistants: Collection[int]) -> tuple[list[int], list[str]]:
    """Jobs that have begun are asked to stop, and others asked for in their place. Gives the first, and the names of
    the assistants that learn afresh."""
    begun = await session.execute(
        select(Job, Assistant)
        .join(Assistant, Assistant.id == Job.assistant_id)
        .where(Job.assistant_id.in_(assistants), Job.state.in_(("queued", "running")), Job.started_at.is_not(None))
    )
    stale: list[int] = []
    names: list[str] = []
    for job, assistant in begun.tuples().all():
        if not job.cancel:
            names.append(assistant.name)
            await _queue(session, assistant, job.asked_by, job.settings)
        await session.execute(update(Job).where(Job.id == job.id).values(cancel=True))
        await session.execute(
            update(Job).where(Job.id == job.id, Job.state == "queued").values(state="cancelled", ended_at=now())
        )
        stale.append(job.id)
    return stale, names


async def _queue(
    session: AsyncSession, assistant: Assistant, asked_by: str, settings: dict[str, Any] | None = None
) -> None:
    """A job that begins from nothing, unless one waits already. `settings`: of the job whose place it takes."""
    waiting = select(Job.id).where(Job.assistant_id == assistant.id, Job.state == "queued", Job.started_at.is_(None))
    if await session.scalar(waiting) is None:
        session.add(Job(assistant_id=assistant.id, asked_by=asked_by, settings=dict(settings or {})))
        await session.flush()


async def _by_policy(
    session: AsyncSession, versions: Sequence[tuple[Version, Assistant]], by: str
) -> tuple[list[Move], list[str]]:
    """What each assistant's policy asks for now that versions of it are marked."""
    moves: list[Move] = []
    queued: list[str] = []
    numbers: dict[int, set[int]] = {}
    for version, assistant in versions:
        numbers.setdefault(assistant.id, set()).add(version.number)
    for assistant in {assistant.id: assistant for _, assistant in versions}.values():
        if assistant.on_forget == "withdraw" and assistant.in_service in numbers[assistant.id]:
            moves.append(await withdraw(session, assistant, by))
        elif assistant.on_forget == "retrain":
            await _queue(session, assistant, by)
            queued.append(assistant.name)
    return moves, queued
