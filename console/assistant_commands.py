"""`parlance assistant …`: who answers."""

from __future__ import annotations

from enum import StrEnum
from typing import Annotated, Any

import typer

from config.catalogue import find_model
from config.names import VersionName
from console.output import console, print_json, table
from console.workplace import run, workplace
from store.assistants import add_assistant, find_assistant, list_assistants, set_persona
from store.tables import Assistant

DEFAULT_PROMPT = "You are a member of this chat. Answer the way people here do."

Json = Annotated[bool, typer.Option("--json", help="Print the result as JSON.")]


class OnForget(StrEnum):
    """Kept in service with the mark, taken out of service at once, or learnt afresh."""

    MARK = "mark"
    WITHDRAW = "withdraw"
    RETRAIN = "retrain"


class Access(StrEnum):
    """Everybody, whoever an operator lets in, or nobody but those who look after it."""

    OPEN = "open"
    PAIRING = "pairing"
    CLOSED = "closed"


group = typer.Typer(help="Add, list, show and change assistants.", no_args_is_help=True)


def register(app: typer.Typer) -> None:
    """Add these commands to the program."""
    app.add_typer(group, name="assistant")


def _view(assistant: Assistant) -> dict[str, Any]:
    serving = assistant.in_service
    return {
        "name": assistant.name,
        "base_model": assistant.base_model,
        "in_service": str(VersionName(assistant.name, serving)) if serving is not None else None,
        "system_prompt": assistant.system_prompt,
        "auto_promote": assistant.auto_promote,
        "on_forget": assistant.on_forget,
        "access": assistant.access,
    }


@group.command()
def add(
    name: Annotated[str, typer.Argument(help="Small letters, digits, - and _; for example harbour.")],
    persona: Annotated[str, typer.Option(help="The system prompt: who the assistant is.")] = DEFAULT_PROMPT,
    base_model: Annotated[str | None, typer.Option(help="A base model's name, hub id or folder.")] = None,
    json: Json = False,
) -> None:
    """Add an assistant. It answers with the untuned model until a version of its own is promoted."""

    async def work() -> dict[str, Any]:
        async with workplace() as place, place.database.session() as session:
            model = base_model or place.settings.base_model
            find_model(model)
            return _view(await add_assistant(session, name, persona, model))

    made = run(work())
    if json:
        print_json(made)
    else:
        console.print(f"Added {made['name']}. Next: parlance import FILE --assistant {made['name']}", markup=False)


@group.command("list")
def list_(json: Json = False) -> None:
    """List the assistants."""

    async def work() -> list[dict[str, Any]]:
        async with workplace() as place, place.database.session() as session:
            return [_view(assistant) for assistant in await list_assistants(session)]

    found = run(work())
    if json:
        print_json(found)
    elif not found:
        console.print("There is no assistant yet. Make one with: parlance assistant add NAME")
    else:
        shown = table("assistant", "in service", "base model")
        for one in found:
            shown.add_row(one["name"], one["in_service"] or "untuned", one["base_model"])
        console.print(shown)


@group.command()
def show(name: str, json: Json = False) -> None:
    """Show one assistant."""

    async def work() -> dict[str, Any]:
        async with workplace() as place, place.database.session() as session:
            return _view(await find_assistant(session, name))

    found = run(work())
    if json:
        print_json(found)
    else:
        for key, value in found.items():
            console.print(f"{key.replace('_', ' '):<14} {'untuned' if value is None else value}", markup=False)


@group.command("set")
def set_(
    name: str,
    persona: Annotated[
        str | None, typer.Option(help="A new system prompt: at once while untuned, else from the next version on.")
    ] = None,
    auto_promote: Annotated[
        bool | None, typer.Option(help="Put a version into service by itself when it passes its gate.")
    ] = None,
    on_forget: Annotated[
        OnForget | None,
        typer.Option(help="What becomes of versions that learnt from somebody who is forgotten since."),
    ] = None,
    access: Annotated[
        Access | None, typer.Option(help="Who may talk with it: everybody, whoever is let in, or its operators alone.")
    ] = None,
    json: Json = False,
) -> None:
    """Change an assistant."""

    async def work() -> dict[str, Any]:
        async with workplace() as place, place.database.session() as session:
            assistant = await find_assistant(session, name)
            if persona is not None:
                await set_persona(session, assistant, persona)
            if auto_promote is not None:
                assistant.auto_promote = auto_promote
            if on_forget is not None:
                assistant.on_forget = on_forget.value
            if access is not None:
                assistant.access = access.value
            return _view(assistant)

    changed = run(work())
    if json:
        print_json(changed)
    else:
        console.print(f"Changed {changed['name']}.", markup=False)
