"""`parlance account`, `channels` and `route` against a Bot API server and a Discord on loopback."""

from __future__ import annotations

import asyncio
import json
import os
import subprocess
import sys
from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from bot_api_server import BotApiServer
from discord_server import DiscordServer
from structlog.testing import capture_logs
from typer.testing import CliRunner

from bots.accounts import Accounts, note_trouble
from config.errors import ParlanceError
from console.cli import app
from store.database import Database
from store.tables import Channel

ROOT = Path(__file__).resolve().parents[2]
TOKEN = "123456:AAharbour-harbour-harbour-harbour-1"
TOKEN_OF_DISCORD = "MTIzNDU2Nzg5MDEyMzQ1Njc4.GabcDE.abcdefghijklmnopqrstuvwxyz0123456789AB"


@pytest.fixture
async def telegram() -> AsyncIterator[BotApiServer]:
    async with BotApiServer() as server:
        server.add_bot("harbour_bot", TOKEN)
        yield server


@dataclass
class Done:
    """How a command ended."""

    code: int
    out: str
    err: str


async def parlance(*words: str, given: str = "", variables: dict[str, str] | None = None) -> Done:
    """A command, run within this process."""
    environment = {"COLUMNS": "200"} | (variables or {})
    with capture_logs() as logged:
        done = await asyncio.to_thread(CliRunner().invoke, app, words, input=given, env=environment)
    assert TOKEN not in str(logged)
    if isinstance(done.exception, ParlanceError):
        return Done(1, done.stdout, str(done.exception))
    assert done.exception is None or isinstance(done.exception, SystemExit), done.exception
    return Done(done.exit_code, done.stdout, done.stderr)


async def in_a_process(home: Path, *words: str, given: str = "") -> Done:
    """A command as a person runs it."""
    environment = dict(os.environ) | {"PARLANCE_HOME": str(home), "COLUMNS": "200"}
    done = await asyncio.to_thread(
        subprocess.run, [sys.executable, "-m", "console.cli", *words],
        input=given, capture_output=True, text=True, env=environment, cwd=ROOT, timeout=120,
    )  # fmt: skip
    return Done(done.returncode, done.stdout, done.stderr)


async def result(*words: str, given: str = "") -> Any:
    done = await parlance(*words, "--json", given=given)
    assert done.code == 0, done.err
    return json.loads(done.out)


def written(home: Path) -> list[bytes]:
    return [file.read_bytes() for file in home.rglob("*") if file.is_file()]


async def test_an_account_is_added_listed_paused_resumed_and_removed(home: Path, telegram: BotApiServer) -> None:
    where = ("--api-base", telegram.url)
    done = await parlance("account", "add", "--token-stdin", *where, given=f"{TOKEN}\n")
    assert done.code == 0, done.err
    assert "https://t.me/harbour_bot" in done.out
    assert "/setprivacy" in done.out
    assert "parlance route harbour_bot ASSISTANT --account" in done.out

    refused = await parlance("account", "add", "--token-stdin", *where, given=f"{TOKEN}\n")
    assert (refused.code, "“harbour_bot”" in refused.err) == (1, True)

    (listed,) = await result("account", "list")
    assert (listed["name"], listed["platform"], listed["state"]) == ("harbour_bot", "telegram", "on")
    assert (await result("account", "pause", "harbour_bot"))["state"] == "paused"
    assert (await result("account", "resume", "harbour_bot"))["state"] == "on"
    recorded = await result("account", "permission", "harbour_bot", "Ticket 17")
    assert recorded["permission"] == "Ticket 17"
    assert (await result("account", "permission", "harbour_bot", "--withdraw"))["permission"] is None
    assert (await result("account", "remove", "harbour_bot"))["state"] == "removed"
    assert await result("account", "list") == []
    nothing = await parlance("account", "pause", "harbour_bot")
    assert (nothing.code, nothing.out, "no account" in nothing.err) == (1, "", True)

    assert not any(b"harbour-harbour" in content for content in written(home))


async def test_a_discord_bot_comes_with_a_link_that_is_ready_to_click(home: Path) -> None:
    async with DiscordServer() as discord:
        bot = discord.bot("Harbour", TOKEN_OF_DISCORD)
        added = await result("account", "add", "--token-stdin", "--api-base", discord.api_base, given=TOKEN_OF_DISCORD)
    assert added["platform"] == "discord"
    assert f"client_id={bot.application_id}" in added["invite"]
    assert "applications.commands" in added["invite"]


async def test_a_token_comes_from_the_environment_as_well(home: Path, telegram: BotApiServer) -> None:
    words = ("account", "add", "--api-base", telegram.url, "--name", "quay", "--json")
    done = await parlance(*words, variables={"PARLANCE_BOT_TOKEN": TOKEN})
    assert json.loads(done.out)["name"] == "quay"


@pytest.mark.parametrize(
    ("words", "given", "says"),
    [
        ((TOKEN,), "", "is no argument"),
        ((), "", "--token-stdin"),
        (("--token-stdin",), "999999:AAnobody-nobody-nobody-nobody-nobody", "does not know that token"),
        (("--token-stdin",), "nonsense", "--platform"),
        (("--token-stdin",), "", "no token"),
        (("--token-stdin", "--platform", "irc"), TOKEN, "telegram, discord"),
        (("--token-stdin", "--name", "Web!"), TOKEN, "name"),
    ],
)
async def test_what_cannot_be_added_is_one_sentence_without_the_token(
    home: Path, telegram: BotApiServer, words: tuple[str, ...], given: str, says: str
) -> None:
    done = await parlance("account", "add", *words, "--api-base", telegram.url, given=given)
    assert (done.code, done.out) == (1, "")
    assert says in done.err
    assert not given or given not in done.err
    assert TOKEN not in done.err


async def test_a_misplaced_token_is_one_sentence_and_in_no_file(home: Path) -> None:
    done = await in_a_process(home, "account", "add", TOKEN)
    assert (done.code, done.out, len(done.err.strip().splitlines())) == (1, "", 1)
    assert TOKEN not in done.err
    assert not any(b"harbour-harbour" in content for content in written(home))


async def test_an_account_in_trouble_is_told_of_by_the_list_and_the_doctor(
    home: Path, telegram: BotApiServer, database: Database
) -> None:
    await parlance("account", "add", "--token-stdin", "--api-base", telegram.url, given=TOKEN)
    await note_trouble(database, "harbour_bot", "Another program is using this bot's token.")
    assert "Another program" in (await parlance("account", "list")).out
    findings = json.loads((await parlance("doctor", "--json")).out)
    (finding,) = [one for one in findings if one["check"] == "Account"]
    assert finding["level"] == "warning"
    assert "Another program" in finding["found"]
    await Accounts(database).pause("harbour_bot", "ada")
    findings = json.loads((await parlance("doctor", "--json")).out)
    assert [one["level"] for one in findings if one["check"] == "Account"] == ["ok"]


async def test_channels_are_listed_with_who_answers_there_by_the_most_exact_route(
    home: Path, database: Database, telegram: BotApiServer
) -> None:
    assert await result("channels") == []
    await parlance("account", "add", "--token-stdin", "--api-base", telegram.url, "--name", "quay", given=TOKEN)
    async with database.session() as session:
        session.add_all(
            [
                Channel(key="quay:1", account="quay", private=True, title="Ada"),
                Channel(key="quay:-5:7", account="quay", private=False, parent_key="quay:-5", title="Tides",
                        answers="listen"),
                Channel(key="web:x", account="web"),
            ]
        )  # fmt: skip
    for name in ("harbour", "garden", "tide", "quiet"):
        await parlance("assistant", "add", name)
    assert {one["assistant"] for one in await result("channels")} == {None}
    await result("route", "default", "harbour")
    await result("route", "quay", "garden", "--account")
    found = {one["key"]: one for one in await result("channels")}
    assert {key: one["assistant"] for key, one in found.items()} == {
        "quay:1": "garden", "quay:-5:7": "garden", "web:x": "harbour",
    }  # fmt: skip
    assert (found["quay:-5:7"]["title"], found["quay:-5:7"]["platform"]) == ("Tides", "telegram")
    assert (found["quay:-5:7"]["answers"], found["quay:1"]["answers"]) == ("listen", "all")
    await result("route", "quay:-5", "tide", "--parent")
    await result("route", "quay:1", "quiet")
    found = {one["key"]: one["assistant"] for one in await result("channels", "--account", "quay")}
    assert found == {"quay:1": "quiet", "quay:-5:7": "tide"}
    assert "Tides" in (await parlance("channels")).out
    refused = await parlance("route", "pier", "tide", "--account")
    assert (refused.code, "no account “pier”" in refused.err) == (1, True)


@pytest.mark.parametrize(
    "line",
    ["account", "account pause", "account permission x", "account permission x y --withdraw", "channels extra",
     "route default x --account", "route k x --account --server", "route quay --account"],
)  # fmt: skip
async def test_wrong_usage_of_these_is_exit_code_2(home: Path, line: str) -> None:
    assert (await parlance(*line.split())).code == 2
