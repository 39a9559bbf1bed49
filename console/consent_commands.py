"""`parlance consent`, `parlance speakers` and `parlance forget`: who may be learnt from, and who is to be forgotten."""

from __future__ import annotations

import getpass
from typing import Annotated, Any

import typer
from sqlalchemy import select
from sqlalchemy.ext.asyncio import AsyncSession

from config.errors import BadInput, NotFound, Refused
from console.backup_commands import say_still_there
from console.output import console, print_json, table
from console.workplace import Workplace, run, workplace
from store.assistants import find_assistant
from store.consents import list_consents
from store.footprint import who_is
from store.speakers import add_speaker, list_speakers, remove_speaker
from store.tables import Channel
from tuning.forgetting import counted, forget
from tuning.forgotten import Counts, Forgotten
from tuning.sources.channel_log import answered_by, chat_of

SAID = {"asked": "asked, no answer yet", "in": "agrees", "out": "does not agree"}

Json = Annotated[bool, typer.Option("--json", help="Print the result as JSON.")]


def register(app: typer.Typer) -> None:
    """Add these commands to the program."""
    app.command()(consent)
    app.command()(speakers)
    app.command("forget")(forget_)


def consent(
    name: Annotated[str | None, typer.Argument(help="Only where this assistant answers.")] = None, json: Json = False
) -> None:
    """Show who agreed to be learnt from, in which chat, since when. Nobody can agree for somebody else."""

    async def work() -> list[dict[str, Any]]:
        async with workplace() as place, place.database.session() as session:
            chats = None
            if name is not None:
                assistant = await find_assistant(session, name)
                channels = (await session.scalars(select(Channel))).all()
                chats = sorted({chat_of(one) for one in await answered_by(session, assistant.id, channels)})
            return [
                {
                    "person": row.person, "name": row.name, "chat": row.chat, "title": row.title, "state": row.state,
                    "asked_at": row.shown_at, "decided_at": row.decided_at, "shown": row.shown,
                }
                for row in await list_consents(session, chats)
            ]  # fmt: skip

    found = run(work())
    if json:
        print_json(found)
    elif not found:
        console.print("Nobody was asked yet. People are, after their first answer in a chat that may be learnt from.")
    else:
        shown = table("person", "chat", "said", "when")
        for one in found:
            when = one["decided_at"] or one["asked_at"]
            shown.add_row(_called(one["name"], one["person"]), _called(one["title"], one["chat"]),
                          SAID[one["state"]], f"{when:%Y-%m-%d %H:%M}")  # fmt: skip
        console.print(shown)


def speakers(
    name: Annotated[str, typer.Argument(help="The assistant that learns.")],
    add: Annotated[str | None, typer.Option(help="Name somebody: a key like telegram:123, or a name.")] = None,
    remove: Annotated[str | None, typer.Option(help="No longer learn from what this person says to others.")] = None,
    json: Json = False,
) -> None:
    """Show or change whose words to others are learnt from the assistant's channels; each of them has to agree."""

    async def work() -> list[dict[str, Any]]:
        async with workplace() as place, place.database.session() as session:
            assistant = await find_assistant(session, name)
            if add is not None:
                await add_speaker(session, assistant.id, (await _one(session, add))[0], getpass.getuser())
            if remove is not None and not await remove_speaker(session, assistant.id, (await _one(session, remove))[0]):
                raise NotFound(f"{remove} is no speaker of {name}; parlance speakers {name} shows who is.")
            return [
                {"person": one.person, "name": one.name, "named_by": one.named_by, "agreed_in_chats": one.agreed}
                for one in await list_speakers(session, assistant.id)
            ]

    found = run(work())
    if json:
        print_json(found)
    elif not found:
        console.print(f"{name} has no speakers; name one with: parlance speakers {name} --add WHO", markup=False)
    else:
        shown = table("person", "agrees in chats", "named by")
        for one in found:
            shown.add_row(_called(one["name"], one["person"]), str(one["agreed_in_chats"]), one["named_by"])
        console.print(shown)


def forget_(
    who: Annotated[str, typer.Argument(help="A key like telegram:123, or a name as chats and exports have it.")],
    yes: Annotated[bool, typer.Option("--yes", help="Do not ask once more.")] = False,
    json: Json = False,
) -> None:
    """Delete all that somebody wrote and all that was answered to them, and mark every version that learnt from it."""

    async def look(place: Workplace) -> tuple[str, str, Counts]:
        async with place.database.session() as session:
            person, called = await _one(session, who)
        return person, called, await counted(place.database, person)

    async def work() -> Forgotten:
        async with workplace() as place:
            person, called, counts = await look(place)
            if not yes:
                if json:
                    raise Refused("Deleting cannot be taken back; say --yes as well.")
                question = f"{_called(called, person)}: delete {counts.sentence('them')} for good?"
                if not typer.confirm(question):
                    raise Refused("Nothing was deleted.")
            return await forget(place.database, place.settings, person)

    done = run(work())
    if json:
        print_json(
            {
                "person": done.person,
                "deleted": {key: getattr(done.counts, key) for key in Counts.__dataclass_fields__},
                "versions": [str(version) for version in done.versions],
                "withdrawn": [str(move.before) for move in done.withdrawn],
                "retraining": list(done.retraining),
                "complete": done.journal and not done.stopping,
            }
        )
        return
    for sentence in done.sentences("them"):
        console.print(sentence, markup=False)
    say_still_there()


async def _one(session: AsyncSession, who: str) -> tuple[str, str]:
    """Key and name of the one that is meant. Raises NotFound, or BadInput where it could be several."""
    found = await who_is(session, who)
    if not found:
        raise NotFound(f"Nobody called “{who[:60]}” is known here; a key like telegram:123 always is.")
    if len(found) > 1:
        listed = ", ".join(_called(name, key) for key, name in sorted(found.items())[:12])
        raise BadInput(f"“{who[:60]}” could be several people; say which by key: {listed}.")
    return next(iter(found.items()))


def _called(name: str | None, key: str) -> str:
    return f"{name} ({key})" if name and name != key else key
