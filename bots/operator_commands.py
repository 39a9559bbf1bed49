"""What those who look after an assistant may ask for: how it is doing, its versions, which one serves, who answers."""

from __future__ import annotations

import re

from bots.call import Call
from bots.events import Button, Card, Moved
from bots.report_card import in_one_line
from bots.retrain import STEPS
from config.errors import BadInput, Refused
from config.names import VersionName
from serving.router import set_route
from store.assistants import find_assistant, list_assistants
from tuning import jobs
from tuning import versions as all_versions

SHOWN_VERSIONS = 10


async def status(call: Call) -> None:
    """The engine, the assistant here, and whether it is learning."""
    routed = await call.routed()
    job = await jobs.active(call.database, routed.assistant.name)
    learning = f"Learning: {STEPS.get(job.step, job.step).lower()}." if job else "It is not learning at the moment."
    lines = (
        call.engine.status.sentence,
        f"{routed.assistant.name} answers here with {serving(routed.version)}.",
        learning,
    )
    buttons = (Button("Show how far", "/retrain"),) if job else ()
    call.show(Card("status", "How things are", lines, buttons=buttons))


def serving(version: VersionName) -> str:
    """A version's name, or plain words for the untuned model."""
    return str(version) if version.number else "the untuned model"


async def cancel_job(call: Call) -> None:
    """Ask the active job to stop."""
    assistant = (await call.routed()).assistant.name
    job = await jobs.active(call.database, assistant)
    if job is None:
        raise Refused(f"{assistant} is not learning at the moment, so there is nothing to stop.")
    await jobs.cancel(call.database, job.id)
    call.say("Stopping; this may take a few seconds. What serves now goes on unchanged.")


async def versions(call: Call) -> None:
    """All versions, newest first."""
    assistant = (await call.routed()).assistant.name
    views = await all_versions.history(call.database, assistant)
    if not views:
        call.show(Card("versions", f"{assistant} has no versions yet", ("/retrain makes the first.",)))
        return
    lines = [
        f"{view.name}, {view.created_at:%-d %B %Y}: {in_one_line(view.report)}"
        + ("; in service" if view.in_service else "; may not serve" if view.state != "passed" else "")
        for view in views[:SHOWN_VERSIONS]
    ]
    if len(views) > SHOWN_VERSIONS:
        lines.append(f"and {len(views) - SHOWN_VERSIONS} older ones")
    ready = next((view for view in views if view.state == "passed" and not view.in_service), None)
    buttons = [Button(f"Put {ready.name} into service", f"/promote {ready.name.number}")] if ready else []
    if any(view.in_service for view in views):
        buttons.append(Button("Go back to the one before", "/rollback"))
    call.show(Card("versions", f"Versions of {assistant}", tuple(lines), buttons=tuple(buttons)))


async def promote_version(call: Call) -> None:
    """Put a version into service; the newest that passed where none is named."""
    assistant = (await call.routed()).assistant.name
    number = version_number(call.word, assistant) if call.word else None
    move = await all_versions.promote(call.database, call.engine.client, assistant, number, call.incoming.author)
    call.show(Card("service", move.sentence, ("Answers under way finish as they began.",), tone="good",
                   buttons=(Button("Take it back", "/rollback"),)))  # fmt: skip


def version_number(word: str, assistant: str) -> int:
    """From 3, v3 or NAME@v3. Raises BadInput."""
    found = re.fullmatch(r"(?:(?P<name>[^@]*)@)?v?(?P<number>0|[1-9]\d{0,5})", word)
    if found is None:
        raise BadInput(f"“{word[:40]}” is no version’s number; write it like this: /promote 3")
    if found["name"] is not None and found["name"] != assistant:
        raise BadInput(f"{word[:60]} belongs to another assistant; here {assistant} answers.")
    return int(found["number"])


async def roll_back(call: Call) -> None:
    """Back to what served before."""
    assistant = (await call.routed()).assistant.name
    move = await all_versions.rollback(call.database, call.engine.client, assistant, call.incoming.author)
    call.show(Card("service", move.sentence, ("Answers under way finish as they began.",), tone="good"))


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
