"""Carries out how long things are kept: versions and messages that were kept long enough go, by policy and not else.

A version first loses its state: from then on nobody puts it into service or asks an engine for it. Its folder is
deleted later, before an engine starts and while none lives on this home, because an engine may still know it; its
record, report and lineage stay. Messages wait while a job is under way, which may be learning from them.

Whatever deleted text, in whichever process, and could not empty the database's journal because somebody was reading:
here that is done, as soon as nobody reads.
"""

from __future__ import annotations

import asyncio
import shutil
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime, timedelta

import structlog
from sqlalchemy import exists, func, select, update
from sqlalchemy.ext.asyncio import AsyncSession

from config.errors import BadInput
from config.names import VersionName
from config.paths import Paths
from config.settings import Settings
from serving.ownership import Ownership
from store.columns import now
from store.database import Database
from store.journal import empty_journal
from store.promotions import earlier
from store.retention import REMOVED, Policy, expire, learnt_messages, policies, set_policy
from store.tables import Assistant, Channel, Job, Retention, Version
from tuning.jobs import ACTIVE
from tuning.sources.channel_log import answering

LOOK_EVERY = 3600.0
JOURNAL_AGAIN = 60.0
"""Seconds; the second where somebody was reading all the while that the journal was to be emptied."""
FEWEST_DAYS, MOST_DAYS, MOST_VERSIONS = 2, 36_500, 10_000
"""Platforms repeat for a day what they believe was not received, so what was received is known for longer."""
LEAVING = "leaving-"
"""Stands before the name of a folder that is being deleted."""

log = structlog.get_logger()


@dataclass(frozen=True, slots=True)
class Swept:
    """What went: versions that lost their state now, folders that were deleted, messages that lost their words.
    `waiting`: folders that go when no engine lives. `postponed`: messages wait for a job; `journal`: it is empty."""

    versions: tuple[VersionName, ...]
    folders: int
    messages: int
    waiting: int
    postponed: bool
    journal: bool


async def keep(database: Database, assistant: str | None, policy: Policy | None, by: str) -> None:
    """Set the policy of an assistant, or (None) of the installation. Raises NotFound, or BadInput for what cannot be
    meant."""
    if policy is not None:
        _check(policy)
    async with database.session() as session:
        await set_policy(session, assistant, policy, by)


class Keeper:
    """Looks every hour what was kept long enough. `clock` gives the time in UTC."""

    def __init__(self, database: Database, settings: Settings, clock: Callable[[], datetime] = now) -> None:
        self._database = database
        self._paths = settings.paths
        self._clock = clock

    async def run_forever(self) -> None:
        """Until cancelled. What goes wrong once is noted, and tried again an hour later."""
        while True:
            wait = LOOK_EVERY
            try:
                await self.sweep()
                if not await empty_journal(self._database):
                    wait = JOURNAL_AGAIN
            except Exception:
                log.exception("retention could not be carried out")
            await asyncio.sleep(wait)

    async def sweep(self) -> Swept:
        """Carry the policies out, as far as can be now."""
        versions = await self._versions()
        messages, postponed = await self._messages()
        journal = not messages or await empty_journal(self._database)
        folders = await self.drop_folders()
        waiting = len(await self._folders_left())
        if versions or messages or folders:
            log.info("kept long enough", versions=len(versions), messages=messages, folders=folders)
        return Swept(tuple(versions), folders, messages, waiting, postponed, journal)

    async def between_engines(self) -> None:
        """Delete folders of adapters that nobody will ask for. Called by whoever owns this home's engine, while none
        lives."""
        try:
            await asyncio.to_thread(_delete, self._paths, await self._folders_left())
        except Exception:  # the engine is to start whatever becomes of these
            log.exception("folders of adapters that nobody will ask for could not be deleted")

    async def drop_folders(self) -> int:
        """The same for whoever does not own it, if nobody does and no engine lives; how many were deleted."""
        left = await self._folders_left()
        if not left:
            return 0
        ownership = Ownership(self._paths)
        if not ownership.acquire():
            return 0
        try:
            await asyncio.to_thread(ownership.end_leftovers)
            await asyncio.to_thread(_delete, self._paths, left)
        finally:
            ownership.release()
        return len(left)

    async def _folders_left(self) -> list[VersionName]:
        """Of removed versions, and of jobs that were stopped after they had made one and before it was on record."""
        removed = select(Assistant.name, Version.number).join(Assistant, Assistant.id == Version.assistant_id)
        recorded = exists().where(Version.assistant_id == Job.assistant_id, Version.number == Job.version)
        stopped = select(Assistant.name, Job.version).join(Assistant, Assistant.id == Job.assistant_id)
        stopped = stopped.where(Job.state.not_in(ACTIVE), Job.version.is_not(None), ~recorded)
        async with self._database.session() as session:
            rows = [*await session.execute(removed.where(Version.state == REMOVED)), *await session.execute(stopped)]
        names = [VersionName(row[0], row[1]) for row in rows]
        return [name for name in names if self._paths.adapter(name).exists()]

    async def _versions(self) -> list[VersionName]:
        """Take the state of those that no policy keeps; which."""
        gone: list[VersionName] = []
        async with self._database.session() as session:
            # A write first: nobody else writes until the end, so nothing goes that is put into service meanwhile.
            set_here = await session.execute(update(Retention).values(set_by=Retention.set_by))
            if not set_here.rowcount:  # type: ignore[attr-defined]
                return []
            chosen = await policies(session)
            for number in list(await session.scalars(select(Assistant.id))):
                policy = chosen.get(number, chosen[None])
                if policy.versions is not None:
                    gone += await _remove_versions(session, number, policy.versions)
        return gone

    async def _messages(self) -> tuple[int, bool]:
        async with self._database.long_session() as session:
            chosen = await policies(session)
            if all(policy.days is None for policy in chosen.values()):
                return 0, False
            # A write first: nobody else writes until the end, so no job begins meanwhile.
            await session.execute(update(Retention).values(set_by=Retention.set_by))
            begun = select(func.count()).select_from(Job)
            if await session.scalar(
                begun.where(Job.state.in_(("queued", "running")), Job.started_at.is_not(None), ~Job.cancel)
            ):
                return 0, True
            learnt = await learnt_messages(session)
            channels = list(await session.scalars(select(Channel)))
            who = await answering(session)
            lost = 0
            for channel in channels:
                policy = chosen.get(who(channel), chosen[None])
                if policy.days is not None:
                    before = self._clock() - timedelta(days=policy.days)
                    lost += await expire(session, channel.id, before, learnt)
            return lost, False


async def _remove_versions(session: AsyncSession, assistant_id: int, keep_newest: int) -> list[VersionName]:
    """All but the one in service, the one that a rollback would bring back, and the newest others."""
    assistant = (
        await session.scalars(select(Assistant).where(Assistant.id == assistant_id).with_for_update())
    ).one()  # a promotion moves this row, and looks at the version after
    rows = list(
        await session.scalars(
            select(Version)
            .where(Version.assistant_id == assistant_id, Version.state != REMOVED)
            .order_by(Version.number.desc())
        )
    )
    in_use = {assistant.in_service, *(await earlier(session, assistant))[:1]}
    others = [row for row in rows if row.number not in in_use]
    for row in others[keep_newest:]:
        row.state = REMOVED
    await session.flush()
    return [VersionName(assistant.name, row.number) for row in others[keep_newest:]]


def _delete(paths: Paths, names: list[VersionName]) -> None:
    """Each folder leaves its name first, at once, so that none is ever there in part."""
    for name in names:
        leaving = paths.jobs / f"{LEAVING}{name.assistant}-{name.number}"
        shutil.rmtree(leaving, ignore_errors=True)
        paths.adapter(name).rename(leaving)
        shutil.rmtree(leaving)


def _check(policy: Policy) -> None:
    if policy.versions is not None and not 0 <= policy.versions <= MOST_VERSIONS:
        raise BadInput(f"Besides those in use, 0 to {MOST_VERSIONS:,} versions can be kept, not {policy.versions}.")
    if policy.days is not None and not FEWEST_DAYS <= policy.days <= MOST_DAYS:
        raise BadInput(
            f"Messages can be kept for {FEWEST_DAYS} days or more, not for {policy.days}: platforms repeat for a day "
            "what they believe was not received, and it must be known for longer that it was answered."
        )
