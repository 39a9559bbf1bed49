"""`parlance account …`: the bots through which assistants are reached. A token is never an argument, never printed."""

from __future__ import annotations

import getpass
import os
import sys
from collections.abc import Awaitable, Callable
from dataclasses import asdict
from typing import Annotated, Any

import typer
from pydantic import SecretStr

from bots.accounts import AccountRow, Accounts, Added
from bots.platforms import PLATFORMS
from config.errors import BadInput
from console.output import console, print_json, table
from console.workplace import run, workplace

TOKEN_VARIABLE = "PARLANCE_BOT_TOKEN"  # noqa: S105 (the name of a variable)
LONGEST_LINE = 4096

Name = Annotated[str, typer.Argument(help="The account's name, as parlance account list shows it.")]
Json = Annotated[bool, typer.Option("--json", help="Print the result as JSON.")]
group = typer.Typer(help="Connect, list, pause and remove bots on Telegram and Discord.", no_args_is_help=True)


def register(app: typer.Typer) -> None:
    """Add these commands to the program."""
    app.add_typer(group, name="account")


@group.command()
def add(
    misplaced: Annotated[str | None, typer.Argument(hidden=True)] = None,
    platform: Annotated[
        str | None, typer.Option(help=f"{' or '.join(PLATFORMS)}; without it the token's shape tells.")
    ] = None,
    name: Annotated[str | None, typer.Option(help="A name for it here; without one, the bot's own.")] = None,
    api_base: Annotated[
        str | None, typer.Option(help="Another server than the platform's own, such as a local Bot API server.")
    ] = None,
    token_stdin: Annotated[
        bool, typer.Option("--token-stdin", help="Read the token from standard input instead of asking for it.")
    ] = False,
    json: Json = False,
) -> None:
    """Connect a bot. Its token is asked for, without showing it; a running platform begins to answer at once.

    For scripts: the token comes on standard input with --token-stdin, or in the variable PARLANCE_BOT_TOKEN.
    """
    if misplaced is not None:
        raise BadInput(
            "A token is no argument, for others on this machine can read arguments: run parlance account add, and "
            "give it when it is asked for."
        )
    token = _token(token_stdin)

    async def work() -> Added:
        async with workplace() as place:
            accounts = Accounts(place.database)
            return await accounts.add(platform, token, api_base=api_base, name=name, by=getpass.getuser())

    added = run(work())
    view, identity = added.view, added.identity
    if json:
        print_json(
            {
                "name": view.name, "platform": view.platform, "username": view.username, "bot": identity.name,
                "renewed": added.renewed, "invite": identity.invite, "hints": identity.hints,
                "api_base": view.api_base,
            }
        )  # fmt: skip
        return
    what = "goes on with its new token" if added.renewed else "is connected"
    console.print(f"@{view.username} on {PLATFORMS[view.platform].title} {what}, as “{view.name}”.", markup=False)
    if identity.invite is not None:
        console.print(_INVITE[view.platform], identity.invite, markup=False, soft_wrap=True)
    for hint in identity.hints:
        console.print(hint, markup=False, soft_wrap=True)
    console.print(f"Who answers there: parlance route {view.name} ASSISTANT --account", markup=False, soft_wrap=True)
    console.print("It answers while the platform runs: parlance up", markup=False)


_INVITE = {
    "telegram": "Talk with it, or add it to a group:",
    "discord": "Bring it to your server with this link:",
}


def _token(from_stdin: bool) -> SecretStr:
    """From standard input, the environment, or a hidden prompt."""
    if from_stdin:
        return SecretStr(sys.stdin.readline(LONGEST_LINE))
    given = os.environ.get(TOKEN_VARIABLE)
    if given:
        return SecretStr(given)
    if not sys.stdin.isatty():
        raise BadInput("There is nobody to ask for the token; give it on standard input and add --token-stdin.")
    return SecretStr(getpass.getpass("The bot's token (it is not shown): "))


@group.command("list")
def list_(json: Json = False) -> None:
    """List the accounts and what is wrong with them, if anything."""

    async def work() -> list[AccountRow]:
        async with workplace() as place:
            return list(await Accounts(place.database).list())

    found = run(work())
    if json:
        print_json([asdict(one) for one in found])
    elif not found:
        console.print("No bot is connected yet. Connect one with: parlance account add")
    else:
        shown = table("account", "platform", "bot", "state", "channels", "")
        for one in found:
            shown.add_row(
                one.name, one.platform, f"@{one.username}", one.state, str(one.channels), one.trouble or ""
            )  # fmt: skip
        console.print(shown)


@group.command()
def pause(name: Name, json: Json = False) -> None:
    """Let it be silent until it is resumed. What is written to it meanwhile is answered then, as far as the platform
    still has it."""
    _change(lambda accounts: accounts.pause(name, getpass.getuser()), name, f"{name} is paused.", json)


@group.command()
def resume(name: Name, json: Json = False) -> None:
    """Let it answer again, after a pause or after it had stopped."""
    _change(lambda accounts: accounts.resume(name, getpass.getuser()), name, f"{name} is on again.", json)


@group.command()
def remove(name: Name, json: Json = False) -> None:
    """Forget its token. What was said in its chats is kept, and found again when the same bot is added once more."""
    sentence = f"{name} is removed and its token forgotten; what was said in its chats is kept."
    _change(lambda accounts: accounts.remove(name, getpass.getuser()), name, sentence, json)


@group.command()
def permission(
    name: Name,
    reference: Annotated[
        str | None, typer.Argument(help="Where the platform's permission can be read: a ticket, a letter, a link.")
    ] = None,
    withdraw: Annotated[bool, typer.Option("--withdraw", help="It no longer holds.")] = False,
    json: Json = False,
) -> None:
    """Record that the platform allows learning from this account's channels. Discord's terms ask for its express
    permission; without one, nothing that is written there is learnt from."""
    if (reference is None) != withdraw:
        raise typer.BadParameter("give the reference, or --withdraw")
    sentence = f"{name}: the permission is withdrawn." if withdraw else f"{name}: the permission is recorded."
    _change(lambda accounts: accounts.permission(name, reference, getpass.getuser()), name, sentence, json)


def _change(change: Callable[[Accounts], Awaitable[None]], name: str, sentence: str, json: bool) -> None:
    async def work() -> dict[str, Any]:
        async with workplace() as place:
            accounts = Accounts(place.database)
            await change(accounts)
            after = [asdict(one) for one in await accounts.list() if one.name == name]
            return after[0] if after else {"name": name, "state": "removed"}

    after = run(work())
    if json:
        print_json(after)
    else:
        console.print(sentence, markup=False)
