"""/retrain: shows the plan, starts the job, shows how far it is until its report. One job serves all who ask for it."""

from __future__ import annotations

from bots.call import Call
from bots.events import Button, Card
from bots.report_card import report_card
from config.errors import BadInput
from config.names import VersionName
from store.tables import Job
from tuning import jobs
from tuning.versions import history

STEPS = {
    "waiting": "Waiting for its turn",
    "reading": "Reading the chats",
    "learning": "Learning",
    "measuring": "Measuring what it learnt",
    "done": "Done",
}


async def run(call: Call) -> None:
    """`/retrain` looks, `/retrain start` begins, `/retrain leave` does nothing and says so."""
    assistant = (await call.routed()).assistant.name
    if call.word == "leave":
        call.say("Left as it is. /versions shows what there is, and /promote puts one into service whenever you like.")
        return
    if call.word not in ("", "start"):
        raise BadInput("Write /retrain to see what it would do, or /retrain start to begin.")
    running = await jobs.active(call.database, assistant)
    if running is not None:
        call.say(f"{assistant} is learning already; here is how far it is.")
        await watch(call, assistant, running)
    elif call.word == "start":
        job, new = await jobs.enqueue(call.database, assistant, call.incoming.author)
        if not new:
            call.say(f"{assistant} is learning already; here is how far it is.")
        await watch(call, assistant, job)
    else:
        await show_plan(call, assistant)


async def show_plan(call: Call, assistant: str) -> None:
    """What a retrain would do, with a button to begin."""
    plan = await jobs.preview(call.database, call.settings, assistant)
    if not plan.enough:
        call.show(Card(f"plan-{assistant}", f"{assistant} has too little to learn from", (plan.sentence,)))
        return
    since = (
        f"{plan.since} goes on answering meanwhile" if plan.since else "The untuned model goes on answering meanwhile"
    )
    lines = (plan.sentence, f"{since}; nothing changes until you say so.")
    buttons = (Button("Start", "/retrain start", "main"), Button("Not now", "/retrain leave", "quiet"))
    call.show(Card(f"plan-{assistant}", f"Let {assistant} learn from its chats?", lines, buttons=buttons))


async def watch(call: Call, assistant: str, job: Job) -> None:
    """Show the job on one card until it has ended, then its report."""
    key = f"job-{job.id}"
    async for now in jobs.follow(call.database, job.id):
        job = now
        if job.state in ("queued", "running"):
            call.show(progress_card(key, assistant, job))
    if job.state == "done" and job.version is not None:
        name = VersionName(assistant, job.version)
        view = next(view for view in await history(call.database, assistant) if view.name == name)
        call.show(report_card(key, name, view.report))
    elif job.state == "cancelled":
        call.show(Card(key, "Learning was stopped", (f"{assistant} is as it was before.",)))
    else:
        again = (Button("Try again", "/retrain", "plain"),)
        reason = job.error or "It broke off; please try again."
        call.show(Card(key, "Learning did not work", (reason,), tone="warning", buttons=again))


def progress_card(key: str, assistant: str, job: Job) -> Card:
    """How far a job is: its step, a bar, the present loss in words, the time left."""
    progress = job.progress or {}
    step = STEPS.get(job.step, job.step)
    sentence = progress.get("sentence")
    lines = [sentence] if sentence and sentence != step else []
    if progress.get("loss") is not None:
        lines.append(f"Surprise at what it reads: {progress['loss']:.2f} (it should fall as it learns)")
    left = progress.get("seconds_left")
    if left is not None:
        lines.append(time_left(left))
    title = f"{assistant}: {step.lower()}"
    return Card(key, title, tuple(lines), bar=overall(job.step, progress.get("fraction")),
                buttons=(Button("Stop learning", "/cancel"),))  # fmt: skip


def overall(step: str, fraction: float | None) -> float:
    """How far the whole job is, 0 to 1, from the step and how far that is."""
    starts = {"waiting": (0.0, 0.0), "reading": (0.0, 0.1), "learning": (0.1, 0.8), "measuring": (0.8, 1.0)}
    start, end = starts.get(step, (1.0, 1.0))
    return start + (end - start) * min(1.0, max(0.0, fraction or 0.0))


def time_left(seconds: float) -> str:
    """'About 3 minutes left'."""
    if seconds < 60:
        return "Less than a minute left in this step"
    minutes = round(seconds / 60)
    return f"About {minutes} minute{'' if minutes == 1 else 's'} left in this step"
