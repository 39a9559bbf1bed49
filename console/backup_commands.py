"""`parlance backup` and `restore`: all that matters to another folder, and from there into an empty data folder."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer

from config.errors import BadInput, ParlanceError
from config.settings import load_settings
from console.backup import Made, Shelf, back_up, last_shelf
from console.backup import restore as restore_backup
from console.output import console, print_json, steps, table
from console.sizes import size
from console.workplace import run, workplace


def register(app: typer.Typer) -> None:
    """Add these commands to the program."""
    for command in (backup, restore):
        app.command()(command)


def say_still_there() -> None:
    """Say that backups keep what was deleted just now, where there are any."""
    shelf = last_shelf(load_settings().home)
    if shelf is not None and shelf.names():
        console.print(
            f"Backups in {shelf.folder} still have it. To be rid of these: parlance backup {shelf.folder} --keep 1",
            markup=False, soft_wrap=True,
        )  # fmt: skip


def backup(
    folder: Annotated[Path, typer.Argument(help="Where backups are kept; best on another disk.")],
    keep: Annotated[int | None, typer.Option(help="Then remove all but so many of the newest.")] = None,
    check: Annotated[bool, typer.Option("--check", help="Make none; go through those there are.")] = False,
    json: Annotated[bool, typer.Option("--json", help="Print the result as JSON.")] = False,
) -> None:
    """Back everything up that matters, while Parlance runs or not: the database, adapters, settings.

    What a former backup in the same folder has is not copied again. The key is in no backup: keep a copy of it apart.
    """
    if keep is not None and (keep < 1 or check):
        raise BadInput("--keep says how many backups stay, 1 or more, and does not go with --check.")
    if check:
        _check(Shelf(folder.expanduser().resolve()), json)
        return

    async def work() -> Made:
        async with workplace() as place:
            with steps() as shown:
                return await back_up(place.settings, place.database, folder, shown.say, keep)

    made = run(work())
    if json:
        print_json(_as_json(made))
        return
    console.print(f"Backed up to {made.folder}", markup=False, soft_wrap=True)
    if made.elsewhere:
        console.print("The database is on another server: save that with pg_dump at the same time; all else is here.")
    else:
        console.print(f"The database: {size(made.database_bytes)}.")
    console.print(f"Adapters: {made.copied} copied ({size(made.copied_bytes)}), {made.known} known already.")
    for name, why in made.left_out.items():
        console.print(f"{name} is left out: {why}.", style="yellow", markup=False)
    if made.settings_left_out:
        console.print("parlance.toml is left out: its secrets could not be told from the rest.", style="yellow")
    for name in made.gone:
        console.print(f"Removed the older backup {name}.")
    console.print(
        f"It can be read only with the key [bold]{made.key}[/bold], which is not in it: {_where_the_key_is()}",
        soft_wrap=True,
    )


def restore(
    folder: Annotated[Path, typer.Argument(help="Where the backups are.")],
    name: Annotated[str | None, typer.Option("--backup", help="Which one, instead of the newest.")] = None,
    key_file: Annotated[Path | None, typer.Option(help="Your copy of the key file.")] = None,
    json: Annotated[bool, typer.Option("--json", help="Print the result as JSON.")] = False,
) -> None:
    """Restore a backup into an empty data folder; PARLANCE_HOME says which.

    Nothing is put in place before the key has opened what is sealed and every file was found as it was made.
    """
    with steps() as shown:
        restored = restore_backup(load_settings(), folder, name, key_file, shown.say)
    if json:
        print_json(
            {
                "home": str(restored.home), "backup": restored.backup.name, "key": restored.key,
                "adapters": restored.adapters, "notes": list(restored.notes),
            }
        )  # fmt: skip
        return
    console.print(
        f"Restored {restored.backup.name} to {restored.home}, with {restored.adapters} adapters and the key "
        f"{restored.key}.",
        markup=False, soft_wrap=True,
    )  # fmt: skip
    for note in restored.notes:
        console.print(note, style="yellow", markup=False, soft_wrap=True)
    console.print("Next: parlance doctor, then parlance up")


def _check(shelf: Shelf, json: bool) -> None:
    found: list[tuple[str, str | None]] = []
    with steps() as shown:
        names = shelf.names() or [shelf.newest().name]
        for number, name in enumerate(names):
            shown.say("Going through the backups", number / len(names), name)
            try:
                shelf.check(shelf.folder / name)
                found.append((name, None))
            except ParlanceError as error:
                found.append((name, str(error)))
    if json:
        print_json([{"backup": name, "whole": trouble is None, "trouble": trouble} for name, trouble in found])
    else:
        shown_table = table("backup", "")
        for name, trouble in found:
            shown_table.add_row(name, "whole" if trouble is None else trouble)
        console.print(shown_table)
    if any(trouble for _, trouble in found):
        raise typer.Exit(1)


def _where_the_key_is() -> str:
    settings = load_settings()
    where = "it is in PARLANCE_KEY" if settings.key is not None else f"it is in {settings.paths.key_file}"
    return f"{where}; keep a copy of it in another place than the backups."


def _as_json(made: Made) -> dict[str, Any]:
    return {
        "backup": str(made.folder),
        "key": made.key,
        "database_bytes": made.database_bytes,
        "database_elsewhere": made.elsewhere,
        "adapters_copied": made.copied,
        "adapters_copied_bytes": made.copied_bytes,
        "adapters_known": made.known,
        "left_out": made.left_out,
        "removed": list(made.gone),
    }
