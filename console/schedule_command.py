"""`parlance schedule`: when an assistant learns by itself."""

from __future__ import annotations

import getpass
from typing import Annotated, Any

import typer

from config.errors import BadInput
from console.output import console, print_json
from console.workplace import run, workplace
from tuning.schedule import Timetable, hours_from, set_timetable, timetable_of


def register(app: typer.Typer) -> None:
    """Add this command to the program."""
    app.command()(schedule)


def schedule(
    name: Annotated[str, typer.Argument(help="The assistant.")],
    every: Annotated[int | None, typer.Option(help="Learn again after so many days.")] = None,
    after: Annotated[int | None, typer.Option(help="Learn again after so many new messages.")] = None,
    between: Annotated[str | None, typer.Option(help="Only begin in these hours of the day, like 1-6.")] = None,
    off: Annotated[bool, typer.Option("--off", help="No more by itself.")] = False,
    json: Annotated[bool, typer.Option("--json", help="Print the result as JSON.")] = False,
) -> None:
    """Show or set when an assistant learns by itself. It only does while the platform runs, and where there is
    something new to learn from; what it learnt is put into service as always: by you, or by its policy."""
    wanted = every is not None or after is not None or between is not None
    if off and wanted:
        raise BadInput("Choose either --off or when it is to learn.")

    async def work() -> Timetable | None:
        async with workplace() as place:
            if off:
                await set_timetable(place.database, name, None, getpass.getuser())
            elif wanted:
                timetable = Timetable(every, after, hours_from(between) if between else None)
                await set_timetable(place.database, name, timetable, getpass.getuser())
            return await timetable_of(place.database, name)

    found = run(work())
    if json:
        print_json({"assistant": name, "schedule": _as_json(found)})
    else:
        console.print(found.sentence if found else f"{name} learns only when somebody says so.", markup=False)


def _as_json(timetable: Timetable | None) -> dict[str, Any] | None:
    if timetable is None:
        return None
    return {
        "every_days": timetable.every_days,
        "after_messages": timetable.after_messages,
        "hours": list(timetable.hours) if timetable.hours else None,
    }
