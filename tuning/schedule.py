"""Retrains that begin by themselves: every so many days, or after so many new messages, in the hours chosen for it.

Off until somebody sets it. Counts only what may be learnt from, since the last retrain that ended well began, whoever
asked for it, or since the schedule was set. A retrain that begins this way is a job like any other and promotes nothing
unless the assistant's policy says so. Where nothing is new, no retrain begins, whatever the calendar says; after one
of its own that failed or was stopped the next waits, so that what is wrong is not tried over and over.
"""

from __future__ import annotations

import asyncio
import re
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime, timedelta

import structlog
from sqlalchemy import delete, func, not_, or_, select
from sqlalchemy.ext.asyncio import AsyncSession

from config.errors import BadInput
from store.assistants import find_assistant
from store.database import Database
from store.tables import Assistant, Import, Job, Schedule, Source, SourceMessage
from tuning.jobs import ACTIVE, enqueue
from tuning.sources.channel_log import count_learnable, logs_of
from tuning.teaching import KIND as TAUGHT
from tuning.teaching import OWN, learnable_askers

LOOK_EVERY = 60.0
"""Seconds."""
LONGEST_DAYS, MOST_MESSAGES = 366, 10_000_000
PAUSE = timedelta(hours=20)
"""After it had asked for one that failed or was stopped: less than a day, so that it is over in the same hours."""
BY = "the schedule"
_HOURS = re.compile(r"(\d{1,2})(?::00)?\s*(?:-|–|to)\s*(\d{1,2})(?::00)?")

log = structlog.get_logger()


@dataclass(frozen=True, slots=True)
class Timetable:
    """When an assistant is to be retrained. `hours`: from and until, of the local day; None: at any time."""

    every_days: int | None = None
    after_messages: int | None = None
    hours: tuple[int, int] | None = None

    @property
    def sentence(self) -> str:
        """As people say it."""
        whens = []
        if self.every_days is not None:
            whens.append("every day" if self.every_days == 1 else f"every {self.every_days} days")
        if self.after_messages is not None:
            whens.append(f"after {self.after_messages:,} new messages")
        within = f", between {self.hours[0]}:00 and {self.hours[1]}:00" if self.hours else ""
        return f"It learns by itself {' or '.join(whens)}{within}."

    def allows(self, hour: int) -> bool:
        """Whether a retrain may begin in this hour; the hours may run over midnight."""
        if self.hours is None:
            return True
        start, end = self.hours
        return start <= hour < end if start < end else hour >= start or hour < end

    def due(self, waited: timedelta, new: int) -> bool:
        """Whether the time has come, so long after the last one and with so many new messages."""
        if new <= 0:
            return False
        by_calendar = self.every_days is not None and waited >= timedelta(days=self.every_days)
        return by_calendar or (self.after_messages is not None and new >= self.after_messages)


def hours_from(text: str) -> tuple[int, int]:
    """From `1-6` or `22:00-06:00`. Raises BadInput."""
    found = _HOURS.fullmatch(text.strip())
    hours = (int(found[1]), int(found[2]) % 24) if found else (24, 24)
    if hours[0] > 23 or hours[0] == hours[1]:
        raise BadInput(f"“{text[:20]}” is no span of hours; write it like this: 1-6, or 22-5 for over midnight.")
    return hours


async def set_timetable(database: Database, assistant_name: str, timetable: Timetable | None, by: str) -> None:
    """From now on; None: no more. Raises NotFound for an unknown assistant, BadInput for what cannot be meant."""
    if timetable is not None:
        _check(timetable)
    async with database.session() as session:
        assistant = await find_assistant(session, assistant_name)
        await session.execute(delete(Schedule).where(Schedule.assistant_id == assistant.id))
        if timetable is not None:
            start, end = timetable.hours or (None, None)
            session.add(
                Schedule(
                    assistant_id=assistant.id, every_days=timetable.every_days,
                    after_messages=timetable.after_messages, from_hour=start, until_hour=end, set_by=by,
                )
            )  # fmt: skip


async def timetable_of(database: Database, assistant_name: str) -> Timetable | None:
    """What is set, if anything is. Raises NotFound for an unknown assistant."""
    async with database.session() as session:
        row = await session.get(Schedule, (await find_assistant(session, assistant_name)).id)
    return None if row is None else _timetable(row)


class Scheduler:
    """Looks every minute whose time has come. `clock` gives the time with its zone."""

    def __init__(self, database: Database, clock: Callable[[], datetime] = lambda: datetime.now().astimezone()) -> None:
        self._database = database
        self._clock = clock

    async def run_forever(self) -> None:
        """Until cancelled. What goes wrong once is noted, and tried again a minute later."""
        while True:
            try:
                await self.look()
            except Exception:
                log.exception("the schedule could not be looked at")
            await asyncio.sleep(LOOK_EVERY)

    async def look(self) -> list[str]:
        """Ask for every retrain that is due; the assistants' names."""
        at = self._clock()
        due = []
        async with self._database.long_session() as session:
            set_for = select(Schedule, Assistant).join(Assistant, Assistant.id == Schedule.assistant_id)
            for row, assistant in (await session.execute(set_for)).tuples().all():
                if _timetable(row).allows(at.hour) and await _is_due(session, row, at):
                    due.append(assistant.name)
        begun = []
        for name in due:
            _, fresh = await enqueue(self._database, name, BY)
            if fresh:
                begun.append(name)
                log.info("a retrain was due", assistant=name)
        return begun


async def _is_due(session: AsyncSession, row: Schedule, at: datetime) -> bool:
    jobs = select(Job).where(Job.assistant_id == row.assistant_id).order_by(Job.id.desc()).limit(1)
    if await session.scalar(jobs.where(Job.state.in_(ACTIVE))) is not None:
        return False
    last = await session.scalar(jobs.where(Job.asked_by == BY))
    if last is not None and last.state != "done" and at < last.created_at + PAUSE:
        return False
    well = await session.scalar(jobs.where(Job.state == "done"))
    since = max(row.since, well.started_at or well.created_at) if well is not None else row.since
    timetable, waited = _timetable(row), at - since
    if not timetable.due(waited, MOST_MESSAGES):
        return False  # however much is new
    return timetable.due(waited, await learnable_since(session, row.assistant_id, since))


async def learnable_since(session: AsyncSession, assistant_id: int, since: datetime) -> int:
    """How much is new since then and may be learnt from: messages of imports, by the imports' own counts, taught
    pairs, what people who agree wrote in channels' own logs, and answers there that were voted on."""
    count = 0
    learnt = Source.assistant_id == assistant_id, Source.speakers.is_not(None), ~Source.paused
    others = Source.kind != TAUGHT, Source.external_id == OWN
    count += await session.scalar(
        select(func.sum(Import.messages_new + Import.messages_changed))
        .join(Source, Source.id == Import.source_id)
        .where(*learnt, or_(*others), Import.created_at > since)
    ) or 0  # fmt: skip
    for source in await session.scalars(select(Source).where(*learnt, not_(or_(*others)))):
        for author, agreed in (await learnable_askers(session, source)).items():
            count += await session.scalar(
                select(func.sum(Import.messages_new))
                .join(SourceMessage, SourceMessage.import_id == Import.id)
                .where(SourceMessage.author_id == author, SourceMessage.sent_at >= agreed, Import.created_at > since)
            ) or 0  # fmt: skip
    for channel in await logs_of(session, assistant_id):
        count += await count_learnable(session, channel, since)
    return count


def _timetable(row: Schedule) -> Timetable:
    hours = None if row.from_hour is None or row.until_hour is None else (row.from_hour, row.until_hour)
    return Timetable(row.every_days, row.after_messages, hours)


def _check(timetable: Timetable) -> None:
    days, messages = timetable.every_days, timetable.after_messages
    if days is None and messages is None:
        raise BadInput("Say when: every so many days, after so many new messages, or both.")
    if days is not None and not 1 <= days <= LONGEST_DAYS:
        raise BadInput(f"A retrain can come every 1 to {LONGEST_DAYS} days, not every {days}.")
    if messages is not None and not 1 <= messages <= MOST_MESSAGES:
        raise BadInput(f"A retrain can come after 1 to {MOST_MESSAGES:,} new messages, not after {messages:,}.")
