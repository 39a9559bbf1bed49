"""`parlance key`: keys of programs that talk to assistants as they talk to OpenAI. A key is shown once, when it is
made."""

from __future__ import annotations

import getpass
from dataclasses import asdict
from enum import StrEnum
from typing import Annotated

import typer
from pydantic import SecretStr

from console.output import console, print_json, table
from console.workplace import run, workplace
from store.keys import KeyRow, add_key, list_keys, revoke_key

A_MINUTE = 60
Json = Annotated[bool, typer.Option("--json", help="Print the result as JSON.")]
group = typer.Typer(help="Keys for other programs: make, list and revoke them.", no_args_is_help=True)


class Prompt(StrEnum):
    """Whose system prompt an answer begins with."""

    assistant = "assistant"
    client = "client"


def register(app: typer.Typer) -> None:
    """Add these commands to the program."""
    app.add_typer(group, name="key")


@group.command()
def add(
    name: Annotated[str, typer.Argument(help="What the key is for, such as open-webui.")],
    assistant: Annotated[
        list[str] | None, typer.Option(help="An assistant that the key may use; may be given several times.")
    ] = None,
    all_: Annotated[bool, typer.Option("--all", help="All assistants, also those yet to come.")] = False,
    per_minute: Annotated[int, typer.Option(help="How many requests it may make in a minute.")] = A_MINUTE,
    prompt: Annotated[
        Prompt,
        typer.Option(
            help="Whose instructions stand: the assistant's, before what the client says, or the client's instead."
        ),
    ] = Prompt.assistant,
    json: Json = False,
) -> None:
    """Make a key. It is shown now and never again."""
    if bool(assistant) == all_:
        raise typer.BadParameter("give --assistant NAME, once or several times, or --all")

    async def work() -> tuple[SecretStr, KeyRow, int]:
        async with workplace() as place:
            async with place.database.session() as session:
                key, row = await add_key(
                    session, name, None if all_ else assistant, a_minute=per_minute, leads=prompt.value,
                    by=getpass.getuser(),
                )  # fmt: skip
            return key, row, place.settings.port

    key, row, port = run(work())
    if json:
        print_json({"key": key.get_secret_value(), **asdict(row)})
        return
    console.print(f"The key “{row.name}”, for {_scope(row)}:", markup=False)
    console.print(key.get_secret_value(), markup=False, soft_wrap=True)
    console.print("It is not shown again; what is kept is enough to know it by, not to make it anew.")
    console.print(f"Address for the client: http://127.0.0.1:{port}/v1  (see docs/gateway.md)", markup=False)


@group.command("list")
def list_(json: Json = False) -> None:
    """List the keys by their first characters, the revoked included."""

    async def work() -> list[KeyRow]:
        async with workplace() as place, place.database.session() as session:
            return await list_keys(session)

    found = run(work())
    if json:
        print_json([asdict(one) for one in found])
    elif not found:
        console.print("There is no key yet. Make one with: parlance key add NAME --assistant ASSISTANT")
    else:
        shown = table("key", "begins with", "assistants", "a minute", "prompt", "state")
        for one in found:
            state = "in use" if one.revoked_at is None else f"revoked {one.revoked_at:%Y-%m-%d %H:%M}"
            shown.add_row(one.name, one.prefix, _scope(one), str(one.a_minute), one.leads, state)
        console.print(shown)


@group.command()
def revoke(
    key: Annotated[str, typer.Argument(help="The key's name, or what it begins with.")], json: Json = False
) -> None:
    """From now on this key opens nothing; a running platform knows it at once."""

    async def work() -> KeyRow:
        async with workplace() as place, place.database.session() as session:
            return await revoke_key(session, key)

    row = run(work())
    if json:
        print_json(asdict(row))
    else:
        console.print(f"The key “{row.name}” ({row.prefix}…) is revoked.", markup=False)


def _scope(row: KeyRow) -> str:
    if row.assistants is None:
        return "all assistants"
    return ", ".join(row.assistants) or "none"
