"""`parlance retention`: how long versions and messages are kept."""

from __future__ import annotations

import getpass
from typing import Annotated

import typer

from config.errors import BadInput
from console.output import console, print_json
from console.workplace import run, workplace
from store.assistants import find_assistant
from store.retention import Policy, policies
from tuning.retention import Keeper, Swept, keep


def register(app: typer.Typer) -> None:
    """Add this command to the program."""
    app.command()(retention)


def retention(
    name: Annotated[str | None, typer.Argument(help="The assistant; left out, the whole installation.")] = None,
    versions: Annotated[
        int | None, typer.Option(help="Keep so many besides the one in service and the one before it.")
    ] = None,
    days: Annotated[int | None, typer.Option(help="Keep messages for so many days.")] = None,
    off: Annotated[bool, typer.Option("--off", help="Keep everything.")] = False,
    as_all: Annotated[bool, typer.Option("--as-all", help="This assistant follows the installation again.")] = False,
    now: Annotated[bool, typer.Option("--now", help="Carry it out now; else the platform does, every hour.")] = False,
    json: Annotated[bool, typer.Option("--json", help="Print the result as JSON.")] = False,
) -> None:
    """Show or set how long versions and channels' messages are kept; for ever, where nothing is set.

    A version that goes loses its weights; its report and what it learnt from stay on record. Imported and taught text
    is not touched: that stays until its source is removed.
    """
    wanted = versions is not None or days is not None
    if wanted + off + as_all > 1:
        raise BadInput("Choose one: what to keep, --off, or --as-all.")
    if as_all and name is None:
        raise BadInput("--as-all is for one assistant; name it.")

    async def work() -> tuple[Policy, bool, Swept | None]:
        async with workplace() as place:
            if wanted or off or as_all:
                policy = None if as_all else Policy(versions, days)
                await keep(place.database, name, policy, getpass.getuser())
            swept = await Keeper(place.database, place.settings).sweep() if now else None
            async with place.database.session() as session:
                number = (await find_assistant(session, name)).id if name is not None else None
                chosen = await policies(session)
            return chosen.get(number, chosen[None]), number in chosen, swept

    policy, own, swept = run(work())
    if json:
        shown = {"assistant": name, "own": own, "versions": policy.versions, "days": policy.days}
        print_json(shown | ({} if swept is None else {"swept": _as_json(swept)}))
        return
    console.print(policy.sentence + ("" if own or name is None else " So it is for the whole installation."))
    if swept is not None:
        console.print(
            f"Removed now: {len(swept.versions)} versions, {swept.folders} folders, {swept.messages:,} messages."
        )
        if swept.waiting:
            console.print(
                "Folders of removed versions go before the engine starts the next time: this one may know them."
            )
        if swept.postponed:
            console.print("Messages wait until the retrain that is under way has ended.")
        if not swept.journal:
            console.print("Somebody was reading: deleted text leaves the database's journal in a while.")


def _as_json(swept: Swept) -> dict[str, object]:
    return {
        "versions": [str(name) for name in swept.versions],
        "folders": swept.folders,
        "messages": swept.messages,
        "folders_waiting": swept.waiting,
        "messages_postponed": swept.postponed,
    }
