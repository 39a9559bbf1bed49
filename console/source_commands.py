"""`parlance sources`: what an assistant learns from: listed, looked into, paused, removed."""

from __future__ import annotations

from dataclasses import asdict
from typing import Annotated, Any

import typer

from config.errors import BadInput
from console.output import console, print_json, table
from console.workplace import run, workplace
from tuning.shelf import Line, Removed, SourceView, look_into, pause, remove, shelf

SHOWN = 20


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
    """List what an assistant learns from; with an option, look into one source, pause it or remove it."""
    if sum(option is not None for option in (show, pause_, resume, remove_)) > 1:
        raise BadInput("Do one thing at a time: --show, --pause, --resume or --remove.")
    if remove_ is not None and not yes and not json:
        typer.confirm(f"Delete source {remove_} and all its messages?", abort=True)

    async def work() -> Any:
        async with workplace() as place:
            if show is not None:
                return await look_into(place.database, name, show, SHOWN)
            if pause_ is not None or resume is not None:
                await pause(place.database, name, pause_ or resume or 0, paused=pause_ is not None)
            if remove_ is not None:
                return await remove(place.database, name, remove_)
            return await shelf(place.database, name)

    found = run(work())
    if json:
        print_json(asdict(found) if isinstance(found, Removed) else [asdict(one) for one in found])
    elif isinstance(found, Removed):
        _say_removed(found)
    elif show is not None:
        _say_lines(found)
    else:
        _say_shelf(name, found)


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


def _say_removed(removed: Removed) -> None:
    console.print(f"Removed “{removed.title}” with {removed.messages:,} messages.", markup=False)
    if removed.marked:
        names = ", ".join(map(str, removed.marked))
        console.print(f"Marked, because they had learnt from it: {names}. Retrain to be rid of it.", markup=False)
