"""/retrain: shows the plan, starts the job, shows how far it is until its report. One job serves all who ask for it.

A job outlives the process that was asked for it. What follows it is the command, so that a `/retrain` said once more,
by its sender or after a restart, goes on where the card stands, or shows the report that nobody was told of.
"""

from __future__ import annotations

import math
from collections.abc import AsyncIterator
from datetime import timedelta

from sqlalchemy import select

from bots.call import Call
from bots.events import Button, Card
from bots.report_card import report_card
from config.errors import BadInput
from config.names import VersionName
from store.columns import now
from store.database import Database
from store.deliveries import find_delivery
from store.tables import Assistant, Channel, Job
from tuning import jobs
from tuning.jobs import ACTIVE, GATE_SECONDS
from tuning.teaching import taught_pairs
from tuning.versions import history

STEPS = {
    "waiting": "Waiting for its turn",
    "reading": "Reading the chats",
    "learning": "Learning",
    "measuring": "Measuring what it learnt",
    "done": "Done",
}
LEFT = "Left as it is. /versions shows what there is, and /promote puts one into service whenever you like."
STALE = timedelta(days=2)
"""A job that ended longer ago is not told of any more; /versions shows what came of it."""
LARGEST_LOSS = 12.0
"""Nats. Above it, no number of words is of any use to anybody."""


async def run(call: Call) -> None:
    """`/retrain` looks, `/retrain start` begins, `/retrain leave` does nothing and says so."""
    assistant = (await call.routed()).assistant
    if call.word not in ("", "start", "leave"):
        raise BadInput("Write /retrain to see what it would do, or /retrain start to begin.")
    if call.word == "leave":
        settle_plan(call, assistant, LEFT)
        return
    running = await jobs.active(call.database, assistant.name)
    new = False
    if running is None and call.word == "start":
        running, new = await jobs.enqueue(call.database, assistant.name, call.incoming.author)
    job = running or await unseen(call.database, call.channel, assistant)
    if job is None:
        await show_plan(call, assistant)
        return
    if new and call.incoming.pressed:
        settle_plan(call, assistant, "Started; what follows shows how far it is.")
    if running is not None and not new:
        by = "" if running.asked_by == call.incoming.author else f", since {running.asked_by} asked for it"
        call.say(f"{assistant.name} is learning already{by}; here is how far it is.")
    async for card in progress(call.database, assistant.name, job):
        call.show(card)


async def show_plan(call: Call, assistant: Assistant) -> None:
    """What a retrain would do, with a button to begin."""
    name = assistant.name
    plan = await jobs.preview(call.database, call.settings, name)
    if not plan.enough:
        call.show(Card(f"plan-{name}", f"{name} has too little to learn from", (plan.sentence,)))
        return
    taught = len(await taught_pairs(call.database, name))
    lines = [plan.sentence]
    if taught:
        lines.append(f"{taught:,} of these answer{' was' if taught == 1 else 's were'} taught by hand and count most.")
    after = (
        "the new version takes its place by itself if it measures well."
        if assistant.auto_promote
        else "nothing changes until you have seen the report and say so."
    )
    lines.append(f"{plan.since or 'The untuned model'} goes on answering meanwhile; {after}")
    buttons = (Button("Start", "/retrain start", "main"), Button("Not now", "/retrain leave", "quiet"))
    call.show(Card(f"plan-{name}", f"Let {name} learn from its chats?", tuple(lines), buttons=buttons))


def settle_plan(call: Call, assistant: Assistant, sentence: str) -> None:
    """What was decided: on the plan's own card where its button was pressed, so that nothing is left to press."""
    if call.incoming.pressed:
        call.show(Card(f"plan-{assistant.name}", f"Let {assistant.name} learn from its chats?", (sentence,)))
    else:
        call.say(sentence)


async def progress(database: Database, assistant: str, job: Job) -> AsyncIterator[Card]:
    """The job on one card until it has ended, then how it ended on that card, and its report on another."""
    key = f"job-{job.id}"
    async for now_at in jobs.follow(database, job.id):
        job = now_at
        if job.state in ACTIVE:
            yield progress_card(key, assistant, job)
    yield ended_card(key, assistant, job)
    yield await outcome(database, assistant, job)


async def outcome(database: Database, assistant: str, job: Job) -> Card:
    """What came of an ended job: the report of its version, or why there is none."""
    key = f"report-{job.id}"
    if job.state == "done" and job.version is not None:
        name = VersionName(assistant, job.version)
        view = next(view for view in await history(database, assistant) if view.name == name)
        return report_card(key, name, view.report, in_service=view.in_service)
    if job.state == "cancelled":
        again = (Button("Start again", "/retrain", "quiet"),)
        return Card(key, "Learning was stopped", (f"{assistant} is as it was before.",), buttons=again)
    again = (Button("Try again", "/retrain"),)
    reason = job.error or "It broke off; please try again."
    return Card(key, "Learning did not work", (reason,), tone="warning", buttons=again)


async def unseen(database: Database, channel: Channel, assistant: Assistant) -> Job | None:
    """The assistant's last job, where its card stands in this channel and it has ended without its report being shown
    there: the process was killed meanwhile."""
    async with database.session() as session:
        last: Job | None = await session.scalar(
            select(Job).where(Job.assistant_id == assistant.id).order_by(Job.id.desc()).limit(1)
        )
        if last is None or last.ended_at is None or last.ended_at < now() - STALE:
            return None
        shown = await find_delivery(session, channel.id, f"card:job-{last.id}")
        told = await find_delivery(session, channel.id, f"card:report-{last.id}")
    return last if shown is not None and (told is None or told.external_id is None) else None


def progress_card(key: str, assistant: str, job: Job) -> Card:
    """How far a job is: its step, a bar, the present loss in words, the time left."""
    at = job.progress or {}
    step = STEPS.get(job.step, job.step)
    sentence = at.get("sentence")
    lines = [sentence] if sentence and sentence not in step else []
    if at.get("loss") is not None and job.step == "learning":
        lines.append(loss_in_words(at["loss"]))
    if at.get("seconds_left") is not None:
        lines.append(time_left(job.step, at["seconds_left"]))
    lines += at.get("notes") or []
    return Card(key, f"{assistant}: {step.lower()}", tuple(lines), bar=overall(job.step, at.get("fraction")),
                buttons=(Button("Stop learning", "/cancel"),))  # fmt: skip


def ended_card(key: str, assistant: str, job: Job) -> Card:
    """The progress card of a job that has ended: nothing moves any more, nothing is left to press."""
    if job.state == "cancelled":
        return Card(key, f"{assistant}: stopped")
    if job.state != "done":
        return Card(key, f"{assistant}: broken off")
    lines: tuple[str, ...] = ()
    if job.ended_at and job.started_at:
        lines = (f"It took {duration((job.ended_at - job.started_at).total_seconds())}.",)
    return Card(key, f"{assistant}: learnt and measured", lines, bar=1.0)


def loss_in_words(loss: float) -> str:
    """A loss in nats per token as people can follow it: among how many words it wavers (its perplexity)."""
    figure = f"loss {loss:.2f}, and it should fall"
    if loss > LARGEST_LOSS:
        return f"It has no idea yet what comes next ({figure})"
    words = round(math.exp(loss))
    if words <= 1:
        return f"It nearly always knows the next word ({figure})"
    return f"For each next word it wavers between about {words:,} ({figure})"


def overall(step: str, fraction: float | None) -> float:
    """How far the whole job is, 0 to 1, from the step and how far that is."""
    starts = {"waiting": (0.0, 0.0), "reading": (0.0, 0.1), "learning": (0.1, 0.8), "measuring": (0.8, 1.0)}
    start, end = starts.get(step, (1.0, 1.0))
    return start + (end - start) * min(1.0, max(0.0, fraction or 0.0))


def time_left(step: str, seconds: float) -> str:
    """'About 3 minutes left', of the whole job: after learning, what was learnt is measured."""
    if step == "learning":
        seconds += GATE_SECONDS
    return "Less than a minute left" if seconds < 60 else f"About {duration(seconds)} left"


def duration(seconds: float) -> str:
    """'3 minutes', '2 hours'."""
    if seconds < 60:
        return "less than a minute"
    number, unit = (round(seconds / 60), "minute") if seconds < 90 * 60 else (round(seconds / 3600), "hour")
    return f"{number} {unit}{'' if number == 1 else 's'}"
