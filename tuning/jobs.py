"""Jobs as people meet them: what a retrain would do, asking for one, stopping it, watching it, listing them.

Everything lives in the database, so whoever asks need not be the process that runs the job (see tuning/runner.py).
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from dataclasses import dataclass

from sqlalchemy import select, update
from sqlalchemy.ext.asyncio import AsyncSession

from config.catalogue import CatalogueModel, find_model
from config.errors import MachineAway, NotFound, Refused
from config.hardware import Plan
from config.names import VersionName
from config.settings import Settings
from store.assistants import find_assistant
from store.columns import now
from store.database import Database
from store.tables import Assistant, Job
from tuning.curation import Curated, measure
from tuning.elsewhere.place import plan_here, plan_to_learn
from tuning.gathering import MIN_EXAMPLES
from tuning.training.run import Method

ACTIVE = ("queued", "running")
TOKENS_AN_EXAMPLE = 60
EPOCHS = 4
FLOPS_A_CORE = 3e10
FLOPS_A_CARD = 2e14
GATE_SECONDS = 45
FOLLOW_EVERY = 0.3
IN_FOUR_BITS = (
    "Memory here is short, so it would learn on the base model held in 4 bits; it is measured, and answers, on the "
    "base model as it is."
)


@dataclass(frozen=True, slots=True)
class TunePlan:
    """What a retrain would do. `since` is the version in service, `seconds` an estimate."""

    assistant: str
    messages: int
    examples: int
    people: int
    since: VersionName | None
    seconds: int
    enough: bool
    sentence: str


async def preview(database: Database, settings: Settings, assistant_name: str) -> TunePlan:
    """Look at all that may be learnt from, without starting anything. Raises NotFound for an unknown assistant, and
    JobFailed where another machine is to tune whose owner has something to do first."""
    async with database.long_session() as session:
        assistant = await find_assistant(session, assistant_name)
        found = await measure(session, assistant.id)
        last_time = await _as_last_time(session, assistant, found)
    enough = found.examples >= MIN_EXAMPLES
    model = find_model(assistant.base_model)
    place, away = await _place(settings, model, ask=enough)
    seconds = _by_arithmetic(place, model, found) if last_time is None else last_time
    since = VersionName(assistant.name, assistant.in_service) if assistant.in_service is not None else None
    messages = found.messages
    if enough:
        minutes = max(1, round(seconds / 60))
        sentence = (
            f"It would learn from {found.examples:,} answers in {messages:,} messages by {found.people:,} "
            f"{'person' if found.people == 1 else 'people'}, in about {minutes:,} minute{'' if minutes == 1 else 's'}."
        )
        if place.four_bits:
            sentence += f" {IN_FOUR_BITS}"
        if away is not None:
            sentence += f" {away} It would wait for it."
    else:
        there = "is 1 answer" if found.examples == 1 else f"are {found.examples} answers"
        sentence = (
            f"There {there} to learn from and it takes {MIN_EXAMPLES}; import a longer chat log, or teach some by hand."
        )
    return TunePlan(
        assistant.name, messages, found.examples, found.people, since, seconds, enough, sentence
    )  # fmt: skip


async def _place(settings: Settings, model: CatalogueModel, ask: bool) -> tuple[Plan, MachineAway | None]:
    """How it would learn, and why that is not known where another machine is not there: this one's plan then, and
    where nobody is to be asked."""
    away = None
    if ask:
        try:
            return await plan_to_learn(settings, model), None
        except MachineAway as error:
            away = error
    return await asyncio.to_thread(plan_here, settings, model), away


async def _as_last_time(session: AsyncSession, assistant: Assistant, found: Curated) -> int | None:
    """Seconds: as the last job of this base model went, by examples; None before there is one."""
    last: Job | None = await session.scalar(
        select(Job)
        .join(Assistant, Assistant.id == Job.assistant_id)
        .where(Job.state == "done", Assistant.base_model == assistant.base_model)
        .order_by(Job.id.desc())
    )
    if last is None or not last.started_at or not last.ended_at or not last.plan.get("examples"):
        return None
    took = (last.ended_at - last.started_at).total_seconds()
    each = max(0.0, took - GATE_SECONDS) / int(last.plan["examples"])
    return round(GATE_SECONDS + each * found.examples)


def _by_arithmetic(place: Plan, model: CatalogueModel, found: Curated) -> int:
    """Seconds, by what there is to compute and how fast such a machine is."""
    speed = FLOPS_A_CARD if place.device == "cuda" else FLOPS_A_CORE * place.training_threads
    work = 6 * model.parameters * found.examples * TOKENS_AN_EXAMPLE * EPOCHS
    return round(GATE_SECONDS + work / speed)


async def enqueue(database: Database, assistant_name: str, asked_by: str, method: Method = "lora") -> tuple[Job, bool]:
    """Ask for a retrain. An assistant has one job at a time: an active one is returned instead, and False with it."""
    async with database.session() as session:
        assistant = await find_assistant(session, assistant_name)
        # A write to its row lets one of two who ask at the same moment wait for the other, on every database.
        await session.execute(update(Assistant).where(Assistant.id == assistant.id).values(name=Assistant.name))
        running = await _active(session, assistant)
        if running is not None:
            return running, False
        job = Job(assistant_id=assistant.id, asked_by=asked_by, settings={"method": method})
        session.add(job)
        await session.flush()
        return job, True


async def cancel(database: Database, job_id: int) -> None:
    """Ask a job to stop. Raises Refused where it has ended already."""
    async with database.session() as session:
        job = await _find(session, job_id)
        if job.state not in ACTIVE:
            raise Refused(f"Job {job_id} has already ended, so there is nothing to stop.")
        job.cancel = True
        if job.state == "queued":
            job.state, job.ended_at = "cancelled", now()


async def active(database: Database, assistant_name: str) -> Job | None:
    """The job of this assistant that waits or runs, if any."""
    async with database.session() as session:
        return await _active(session, await find_assistant(session, assistant_name))


async def recent(database: Database, assistant_name: str | None, limit: int) -> list[tuple[str, Job]]:
    """Jobs with their assistants' names, newest first."""
    query = select(Assistant.name, Job).join(Assistant, Assistant.id == Job.assistant_id)
    async with database.session() as session:
        if assistant_name is not None:
            await find_assistant(session, assistant_name)
            query = query.where(Assistant.name == assistant_name)
        rows = await session.execute(query.order_by(Job.id.desc()).limit(limit))
        return [(name, job) for name, job in rows]


async def get(database: Database, job_id: int) -> Job:
    """The job as it is now. Raises NotFound."""
    async with database.session() as session:
        return await _find(session, job_id)


async def follow(database: Database, job_id: int) -> AsyncIterator[Job]:
    """The job each time something about it has changed, until it has ended."""
    before = None
    while True:
        job = await get(database, job_id)
        shown = (job.state, job.step, job.progress, job.error)
        if shown != before:
            before = shown
            yield job
        if job.state not in ACTIVE:
            return
        await asyncio.sleep(FOLLOW_EVERY)


async def _active(session: AsyncSession, assistant: Assistant) -> Job | None:
    query = select(Job).where(Job.assistant_id == assistant.id, Job.state.in_(ACTIVE)).order_by(Job.id)
    return (await session.scalars(query)).first()


async def _find(session: AsyncSession, job_id: int) -> Job:
    job = await session.get(Job, job_id)
    if job is None:
        raise NotFound(f"There is no job {job_id}; see them with: parlance jobs")
    return job
