"""`parlance channels` and `parlance route`: where people chat, and who answers there."""

from __future__ import annotations

from typing import Annotated, Any

import typer
from sqlalchemy import select

from console.output import console, print_json, table
from console.workplace import run, workplace
from serving.router import Place, list_routes, set_route
from store.accounts import find_account
from store.tables import Account, Channel

Json = Annotated[bool, typer.Option("--json", help="Print the result as JSON.")]


def register(app: typer.Typer) -> None:
    """Add these commands to the program."""
    app.command()(channels)
    app.command()(route)


def channels(
    account: Annotated[str | None, typer.Option(help="Only those of this account; web for the pages'.")] = None,
    json: Json = False,
) -> None:
    """List the channels in which somebody has written, and who answers there."""

    async def work() -> list[dict[str, Any]]:
        async with workplace() as place, place.database.session() as session:
            routes = {(scope, key): name for scope, key, name in await list_routes(session)}
            platforms = {one.name: one.platform for one in await session.execute(_PLATFORMS)}
            query = select(Channel).order_by(Channel.account, Channel.key)
            if account is not None:
                query = query.where(Channel.account == account)
            return [_view(channel, routes, platforms) for channel in await session.scalars(query)]

    found = run(work())
    if json:
        print_json(found)
    elif not found:
        console.print("Nobody has written anywhere yet.")
    else:
        shown = table("channel", "title", "platform", "assistant", "answers")
        for one in found:
            gone = "" if one["present"] else " (it is no longer there)"
            shown.add_row(
                one["key"], one["title"] or "", one["platform"], one["assistant"] or "nobody", one["answers"] + gone
            )
        console.print(shown)


_PLATFORMS = select(Account.name, Account.platform)


def _view(channel: Channel, routes: dict[tuple[str, str], str], platforms: dict[str, str]) -> dict[str, Any]:
    place = Place(channel.key, channel.parent_key, channel.server_key, channel.account)
    exact_first = [(scope, key) for scope, key in place.keys().items() if key is not None]
    return {
        "key": channel.key,
        "title": channel.title,
        "platform": platforms.get(channel.account, channel.account),
        "account": channel.account,
        "parent": channel.parent_key,
        "server": channel.server_key,
        "assistant": next((routes[one] for one in exact_first if one in routes), None),
        "answers": "all" if channel.private else channel.answers,
        "learning": channel.learning,
        "present": channel.present,
    }


def route(
    place: Annotated[
        str | None, typer.Argument(help="A channel's key, as parlance channels shows it; default for everywhere else.")
    ] = None,
    assistant: Annotated[str | None, typer.Argument(help="The assistant that answers there.")] = None,
    account: Annotated[bool, typer.Option("--account", help="PLACE is an account: all of its channels.")] = False,
    server: Annotated[bool, typer.Option("--server", help="PLACE is a server's key: all of its channels.")] = False,
    parent: Annotated[
        bool, typer.Option("--parent", help="PLACE is a channel with topics or threads: all of them.")
    ] = False,
    json: Json = False,
) -> None:
    """Say which assistant answers where; without arguments, list the routes. `parlance route default NAME` sets the
    one that answers wherever nothing more exact is said."""
    scopes = [name for name, chosen in (("account", account), ("server", server), ("parent", parent)) if chosen]
    if place is not None and assistant is None:
        raise typer.BadParameter("name the assistant as well: parlance route PLACE NAME")
    if len(scopes) > 1 or (scopes and place in (None, "default")):
        raise typer.BadParameter("one of --account, --server and --parent, with a place")

    async def work() -> list[dict[str, Any]]:
        async with workplace() as here, here.database.session() as session:
            if place is not None and assistant is not None:
                if account:
                    await find_account(session, place)
                scope, key = ("default", "") if place == "default" else ((scopes or ["channel"])[0], place)
                await set_route(session, scope, key, assistant)
            listed = await list_routes(session)
            return [{"scope": kind, "key": key, "assistant": name} for kind, key, name in listed]

    routes = run(work())
    if json:
        print_json(routes)
    elif not routes:
        console.print("Nothing is routed yet. Try: parlance route default NAME")
    else:
        shown = table("where", "key", "assistant")
        for one in routes:
            shown.add_row(one["scope"], one["key"], one["assistant"])
        console.print(shown)
