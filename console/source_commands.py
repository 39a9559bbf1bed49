"""`parlance sources`: what an assistant learns from: listed, looked into, paused, removed."""

from __future__ import annotations

from dataclasses import asdict
from typing import Annotated, Any

import typer

from config.errors import BadInput
from console.backup_commands import say_still_there
from console.output import console, print_json, table
from console.workplace import Workplace, run, workplace
from store.assistants import find_assistant
from tuning.shelf import Line, Removed, SourceView, look_into, pause, remove, shelf

SHOWN = 20
POLICY = {
    "mark": "Versions that learnt from it are marked.",
    "withdraw": "Versions that learnt from it are marked and taken out of service.",
    "retrain": "Versions that learnt from it are marked, and the assistant learns afresh without it.",
}


def register(app: typer.Typer) -> None:
    """Add this command to the program."""
    app.command()(sources)


def sources(
    name: Annotated[str, typer.Argument(help="The assistant.")],
    show: Annotated[int | None, typer.Option(help="Show the newest messages of this source.")] = None,
    pause_: Annotated[int | None, typer.Option("--pause", help="Keep this source, but learn from it no more.")] = None,
    resume: Annotated[int | None, typer.Option(help="Learn from this source again.")] = None,
    remove_: Annotated[int | None, typer.Option("--remove", help="Delete this source and all it brought.")] = None,
    yes: Annotated[bool, typer.Option("--yes", help="Do not ask before removing.")] = False,
    json: Annotated[bool, typer.Option("--json", help="Print the result as JSON.")] = False,
) -> None:
    """List what an assistant learns from; with an option, look into one source, pause it or remove it.

    Versions that learnt from a source that is removed are dealt with as where a person is forgotten: marked, and taken
    out of service or made anew where the assistant is set so (parlance assistant set NAME --on-forget).
    """
    if sum(option is not None for option in (show, pause_, resume, remove_)) > 1:
        raise BadInput("Do one thing at a time: --show, --pause, --resume or --remove.")

    async def work() -> Any:
        async with workplace() as place:
            if show is not None:
                return await look_into(place.database, name, show, SHOWN)
            if pause_ is not None or resume is not None:
                await pause(place.database, name, pause_ or resume or 0, paused=pause_ is not None)
            if remove_ is not None:
                if not yes and not json:
                    await _confirm(place, name, remove_)
                return await remove(place.database, place.settings, name, remove_)
            return await shelf(place.database, name)

    found = run(work())
    if json:
        print_json(_as_json(found) if isinstance(found, Removed) else [asdict(one) for one in found])
    elif isinstance(found, Removed):
        for sentence in found.sentences():
            console.print(sentence, markup=False)
        say_still_there()
    elif show is not None:
        _say_lines(found)
    else:
        _say_shelf(name, found)


async def _confirm(place: Workplace, name: str, source_id: int) -> None:
    """Ask once more, where there is such a source to be removed."""
    views = [view for view in await shelf(place.database, name) if view.id == source_id and not view.log]
    if views:
        async with place.database.session() as session:
            policy = (await find_assistant(session, name)).on_forget
        typer.confirm(
            f"Delete “{views[0].title}” with {views[0].messages:,} messages for good? {POLICY[policy]}", abort=True
        )


def _say_shelf(name: str, views: list[SourceView]) -> None:
    if not views:
        console.print(f"{name} has nothing to learn from yet: parlance import FILE --assistant {name}", markup=False)
        return
    rows = table("", "from", "title", "learns from", "messages", "")
    for view in views:
        rows.add_row(str(view.id), view.kind, view.title, view.speaker or "–", f"{view.messages:,}",
                     "paused" if view.paused else "")  # fmt: skip
    console.print(rows)


def _say_lines(lines: list[Line]) -> None:
    if not lines:
        console.print("There is nothing in it.")
    for line in lines:
        console.print(f"{line.at:%Y-%m-%d %H:%M}  {line.author}: {line.text}", markup=False)


def _as_json(removed: Removed) -> dict[str, Any]:
    return {
        "title": removed.title,
        "messages": removed.messages,
        "samples": removed.samples,
        "versions": [str(version) for version in removed.versions],
        "withdrawn": [str(move.before) for move in removed.withdrawn],
        "retraining": list(removed.retraining),
        "complete": removed.journal and not removed.stopping,
    }
