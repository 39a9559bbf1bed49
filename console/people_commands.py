"""`parlance operator …` and `parlance admit`: who looks after assistants, and who is let in to talk with them."""

from __future__ import annotations

import getpass
import re
from typing import Annotated, Any

import typer
from sqlalchemy.ext.asyncio import AsyncSession

from bots.access import Access, Waiting, shown
from config.errors import BadInput, NotFound
from console.output import console, print_json, table
from console.workplace import run, workplace
from store.assistants import find_assistant
from store.people import Given, find_person, give_role, list_roles, named, take_roles

KEY = re.compile(r"(?:telegram|discord|discord-role|web):[A-Za-z0-9_-]{1,40}")

Json = Annotated[bool, typer.Option("--json", help="Print the result as JSON.")]
Who = Annotated[
    str, typer.Argument(help="telegram:ID, discord:ID, discord-role:ID, or the name of somebody who has written.")
]
ForOne = Annotated[str | None, typer.Option("--assistant", help="Only for this assistant; else for all of them.")]

group = typer.Typer(help="Say who looks after assistants in their chats.", no_args_is_help=True)


def register(app: typer.Typer) -> None:
    """Add these commands to the program."""
    app.add_typer(group, name="operator")
    app.command()(admit)


@group.command()
def add(
    who: Who,
    assistant: ForOne = None,
    owner: Annotated[bool, typer.Option("--owner", help="May also say who else looks after it.")] = False,
    json: Json = False,
) -> None:
    """Let somebody look after an assistant: teach, retrain, promote, let people in."""

    async def work() -> dict[str, Any]:
        async with workplace() as place, place.database.session() as session:
            subject, name = await _whom(session, who)
            which = None if assistant is None else (await find_assistant(session, assistant)).id
            role = "owner" if owner else "operator"
            changed = await give_role(session, subject, which, role, getpass.getuser())
            return {"subject": subject, "name": name, "assistant": assistant, "role": role, "changed": changed}

    done = run(work())
    if json:
        print_json(done)
    else:
        called, what = done["name"] or done["subject"], done["assistant"] or "every assistant"
        since = "from now on" if done["changed"] else "already"
        console.print(f"{called} is {done['role']} of {what} {since}.", markup=False)


@group.command("list")
def list_(assistant: ForOne = None, json: Json = False) -> None:
    """List who looks after what."""

    async def work() -> list[Given]:
        async with workplace() as place, place.database.session() as session:
            which = None if assistant is None else (await find_assistant(session, assistant)).id
            return await list_roles(session, which)

    found = run(work())
    if json:
        print_json(
            [{"subject": one.subject, "name": one.name, "assistant": one.assistant, "role": one.role} for one in found]
        )
    elif not found:
        console.print("Nobody looks after an assistant yet. Try: parlance operator add telegram:ID --owner")
    else:
        listed = table("who", "name", "role", "assistant")
        for one in found:
            listed.add_row(one.subject, one.name or "", one.role, one.assistant or "all")
        console.print(listed)


@group.command()
def remove(who: Who, assistant: ForOne = None, json: Json = False) -> None:
    """Take from somebody what they look after: of one assistant and of all, or, without --assistant, everything."""

    async def work() -> dict[str, Any]:
        async with workplace() as place, place.database.session() as session:
            subject, name = await _whom(session, who)
            which = None if assistant is None else (await find_assistant(session, assistant)).id
            taken = await take_roles(session, subject, which)
            if not taken:
                raise NotFound(f"{name or subject} looks after nothing there; parlance operator list shows who does.")
            return {"subject": subject, "name": name, "removed": taken}

    done = run(work())
    if json:
        print_json(done)
    else:
        console.print(f"{done['name'] or done['subject']} no longer looks after that.", markup=False)


def admit(
    code: Annotated[str | None, typer.Argument(help="The code they were given; without it, list who waits.")] = None,
    refuse: Annotated[bool, typer.Option("--refuse", help="Do not let them in.")] = False,
    json: Json = False,
) -> None:
    """Let somebody in who waits with a code, or refuse them; without a code, show who waits."""
    if code is None and refuse:
        raise typer.BadParameter("name the code as well: parlance admit CODE --refuse")

    async def listed() -> list[Waiting]:
        async with workplace() as place:
            return await Access(place.database).all_waiting()

    async def decided(word: str) -> dict[str, Any]:
        async with workplace() as place:
            done = await Access(place.database).decide(word, not refuse, getpass.getuser())
            return {
                "subject": done.subject, "title": done.title, "assistant": done.assistant, "admitted": done.admitted,
                "changed": done.changed, "sentence": done.sentence,
            }  # fmt: skip

    if code is not None:
        done = run(decided(code))
        if json:
            print_json(done)
        else:
            console.print(done["sentence"], markup=False)
        return
    waiting = run(listed())
    if json:
        print_json([_view(one) for one in waiting])
    elif not waiting:
        console.print("Nobody is waiting to be let in.")
    else:
        rows = table("code", "who", "", "assistant", "good for")
        for one in waiting:
            asked = one.request
            rows.add_row(shown(one.code), asked.title, asked.subject, asked.assistant, f"{one.minutes_left} min")
        console.print(rows)
        console.print("Let one in with: parlance admit CODE")


def _view(one: Waiting) -> dict[str, Any]:
    return {
        "code": shown(one.code), "subject": one.request.subject, "title": one.request.title,
        "assistant": one.request.assistant, "expires_at": one.request.expires_at,
    }  # fmt: skip


async def _whom(session: AsyncSession, who: str) -> tuple[str, str | None]:
    """Their key, and their name where it is known. Raises NotFound, and BadInput where several are called so."""
    if KEY.fullmatch(who):
        person = await find_person(session, who)
        return who, None if person is None else person.name
    people = await named(session, None, who)
    if not people:
        raise NotFound(f"Nobody called “{who[:60]}” has written yet; name them by platform and ID: telegram:123456.")
    if len(people) > 1:
        keys = ", ".join(one.key for one in people[:5])
        raise BadInput(f"Several people are called “{who[:60]}”; name the right one: {keys}.")
    return people[0].key, people[0].name
