"""What those who look after an assistant may ask for: how it is doing, its versions, which one serves, who answers."""

from __future__ import annotations

import re

from bots.call import Call
from bots.events import Button, Card, Moved
from bots.report_card import called, in_one_line
from bots.retrain import STEPS, overall, time_left
from config.errors import BadInput, Refused
from serving.router import set_route
from store.assistants import find_assistant, list_assistants
from store.tables import Job
from store.votes import tally
from tuning import jobs
from tuning import versions as all_versions
from tuning.versions import VersionView

SHOWN_VERSIONS = 8
UNDER_WAY = "Answers under way finish as they began."


async def status(call: Call) -> None:
    """The engine, the assistant here and what people think of it, whether it is learning, and what waits."""
    routed = await call.routed()
    name = routed.assistant.name
    job = await jobs.active(call.database, name)
    views = await all_versions.history(call.database, name)
    async with call.database.session() as session:
        good, bad = await tally(session, str(routed.version))
    lines = [call.engine.status.sentence, f"{name} answers here with {called(routed.version)}."]
    if good or bad:
        lines.append(f"Votes on its answers: {good:,} good, {bad:,} bad.")
    lines += [f"{view.name} is out of service, because {view.trouble}." for view in views if view.trouble is not None]
    lines.append(_learning(job))
    buttons = [Button("Show how far", "/retrain")] if job else []
    ready = _ready(views)
    if ready is not None:
        lines.append(f"{ready.name} passed its measurements and is ready to serve.")
        buttons.append(Button(f"Put {ready.name} into service", f"/promote {ready.name.number}"))
    call.show(Card("status", "How things are", tuple(lines), buttons=tuple(buttons)))


def _learning(job: Job | None) -> str:
    if job is None:
        return "It is not learning at the moment."
    progress = job.progress or {}
    left = progress.get("seconds_left")
    share = overall(job.step, progress.get("fraction"))
    words = f"A retrain is under way: {STEPS.get(job.step, job.step).lower()}, {share * 100:.0f}% done"
    return f"{words}, {time_left(job.step, left).lower()}." if left is not None else f"{words}."


def _ready(views: list[VersionView]) -> VersionView | None:
    """The newest version that might take the place of the one in service; none where that is the newest."""
    for view in views:
        if view.in_service:
            return None
        if view.state == "passed" and view.forgotten_at is None and view.trouble is None:
            return view
    return None


async def cancel_job(call: Call) -> None:
    """Ask the active job to stop."""
    assistant = (await call.routed()).assistant.name
    job = await jobs.active(call.database, assistant)
    if job is None:
        raise Refused(f"{assistant} is not learning at the moment, so there is nothing to stop.")
    await jobs.cancel(call.database, job.id)
    call.say("Stopping; this may take a few seconds. What serves now goes on unchanged.")


async def versions(call: Call) -> None:
    """All versions, newest first, and what can be done about them."""
    assistant = (await call.routed()).assistant.name
    views = await all_versions.history(call.database, assistant)
    if not views:
        call.show(Card("versions", f"{assistant} has no versions yet", ("/retrain makes the first.",)))
        return
    lines = [_line(view) for view in views[:SHOWN_VERSIONS]]
    older = len(views) - SHOWN_VERSIONS
    if older > 0:
        lines.append(f"and {older} older one{'' if older == 1 else 's'}")
    if not any(view.in_service for view in views):
        lines.append("The untuned model answers now.")
    buttons = []
    ready = _ready(views)
    if ready is not None:
        buttons.append(Button(f"Put {ready.name} into service", f"/promote {ready.name.number}", "main"))
        buttons.append(Button("Compare", "/compare"))
    if any(view.in_service for view in views):
        buttons.append(Button("Go back to the one before", "/rollback", "quiet"))
    call.show(Card("versions", f"Versions of {assistant}", tuple(lines), buttons=tuple(buttons)))


def _line(view: VersionView) -> str:
    """'harbour@v2, 3 May 2026, in service: predicts …'."""
    if view.in_service:
        state = ", in service"
    else:
        state = {"failed": ", may not serve", "rejected": ", rejected", "removed": ", removed"}.get(view.state, "")
    if view.forgotten_at is not None:
        state += ", learnt from words that were deleted since"
    if view.trouble is not None:
        state += f", could not be loaded ({view.trouble})"
    return f"{view.name}, {view.created_at:%-d %B %Y}{state}: {in_one_line(view.report)}"


async def promote_version(call: Call) -> None:
    """Put a version into service; the newest that passed where none is named."""
    assistant = (await call.routed()).assistant.name
    number = version_number(call.word, assistant, "promote") if call.word else None
    move = await all_versions.promote(call.database, call.engine.client, assistant, number, call.incoming.author)
    call.show(Card("service", move.sentence, (UNDER_WAY,), tone="good", buttons=(Button("Take it back", "/rollback"),)))


async def reject_version(call: Call) -> None:
    """Set a version aside; it is not offered any more."""
    assistant = (await call.routed()).assistant.name
    if not call.word:
        raise BadInput("Say which one, like this: /reject 3. /versions shows them all.")
    number = version_number(call.word, assistant, "reject")
    name = await all_versions.reject(call.database, assistant, number)
    lines = ("What answers now is unchanged. Its report is kept, and you can still change your mind.",)
    undo = Button("Put it into service after all", f"/promote {number}", "quiet")
    call.show(Card(f"rejected-{number}", f"{name} is set aside", lines, buttons=(undo,)))


def version_number(word: str, assistant: str, command: str) -> int:
    """From 3, v3 or NAME@v3. Raises BadInput."""
    found = re.fullmatch(r"(?:(?P<name>[^@]*)@)?v?(?P<number>0|[1-9]\d{0,5})", word, re.ASCII)
    if found is None:
        raise BadInput(f"“{word[:40]}” is no version’s number; write it like this: /{command} 3")
    if found["name"] is not None and found["name"] != assistant:
        raise BadInput(f"{word[:60]} belongs to another assistant; here {assistant} answers.")
    return int(found["number"])


async def roll_back(call: Call) -> None:
    """Back to what served before."""
    assistant = (await call.routed()).assistant.name
    move = await all_versions.rollback(call.database, call.engine.client, assistant, call.incoming.author)
    buttons = (Button("Undo that", f"/promote {move.before.number}", "quiet"),) if move.before else ()
    call.show(Card("service", move.sentence, (UNDER_WAY,), tone="good", buttons=buttons))


async def choose_assistant(call: Call) -> None:
    """Who answers here, with the others to choose from; or another one from now on."""
    if not call.word:
        here = (await call.routed()).assistant.name
        async with call.database.session() as session:
            names = [assistant.name for assistant in await list_assistants(session)]
        buttons = tuple(Button(name, f"/assistant {name}") for name in names if name != here)
        lines = ("Choose another, or stay.",) if buttons else ("There is no other assistant yet.",)
        call.show(Card("assistant", f"{here} answers here", lines, buttons=buttons))
        return
    async with call.database.session() as session:
        assistant = await find_assistant(session, call.word.lower())
        await set_route(session, "channel", call.channel.key, assistant.name)
    call.show(Moved(assistant.name))
    call.say(f"From now on {assistant.name} answers here.")
