"""`parlance key`, as a person and as a script meet it."""

from __future__ import annotations

import asyncio
import json
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner, Result

from config.errors import BadInput, NotFound, ParlanceError
from config.settings import load_settings
from console.cli import app
from store.assistants import add_assistant
from store.database import open_database
from store.keys import KnownKey, known_key


def parlance(*words: str) -> Result:
    return CliRunner().invoke(app, list(words), env={"COLUMNS": "200"})


def read(*words: str) -> Any:
    done = parlance(*words, "--json")
    assert done.exit_code == 0, done.output
    return json.loads(done.stdout)


def sentence(done: Result, kind: type[ParlanceError]) -> str:
    assert isinstance(done.exception, kind), done.output
    return str(done.exception)


def known(key: str) -> KnownKey | None:
    async def look() -> KnownKey | None:
        database = await open_database(load_settings())
        found = await known_key(database, key)
        await database.close()
        return found

    return asyncio.run(look())


@pytest.fixture(autouse=True)
def assistants(home: Path) -> None:
    async def fill() -> None:
        database = await open_database(load_settings())
        async with database.session() as session:
            for name in ("harbour", "garden", "library"):
                await add_assistant(session, name, "", "demo")
        await database.close()

    asyncio.run(fill())


def test_a_key_is_shown_once_and_kept_nowhere(home: Path) -> None:
    done = parlance("key", "add", "open-webui", "--assistant", "harbour")
    assert done.exit_code == 0, done.output
    (key,) = [line for line in done.stdout.splitlines() if line.startswith("plc-")]
    assert len(key) == len("plc-12345678-") + 43
    listed = parlance("key", "list").stdout
    assert key[:12] in listed and key not in listed and "harbour" in listed and "in use" in listed
    for file in home.rglob("*"):
        assert not file.is_file() or key[13:].encode() not in file.read_bytes()


def test_a_key_is_for_what_it_was_made_for() -> None:
    some = read(
        "key", "add", "openclaw", "--assistant", "harbour", "--assistant", "garden", "--per-minute", "20",
        "--prompt", "client",
    )  # fmt: skip
    assert (some["assistants"], some["a_minute"], some["leads"]) == (["harbour", "garden"], 20, "client")
    found = known(some["key"])
    assert found is not None and found.assistants == {1, 2}
    assert (found.name, found.a_minute, found.leads) == ("openclaw", 20, "client")
    everything = read("key", "add", "notebook", "--all")
    assert everything["assistants"] is None and everything["a_minute"] == 60 and everything["leads"] == "assistant"
    assert known(everything["key"]) is not None and known(everything["key"]).assistants is None  # type: ignore[union-attr]
    assert known(everything["key"][:-1] + ("A" if everything["key"][-1] != "A" else "B")) is None


def test_a_revoked_key_opens_nothing_and_its_name_is_free() -> None:
    first = read("key", "add", "llmcord", "--all")
    assert read("key", "revoke", "llmcord")["revoked_at"]
    assert known(first["key"]) is None
    second = read("key", "add", "llmcord", "--assistant", "garden")
    done = parlance("key", "revoke", second["prefix"])
    assert done.exit_code == 0 and "llmcord" in done.stdout
    assert known(second["key"]) is None
    listed = read("key", "list")
    assert [one["name"] for one in listed] == ["llmcord", "llmcord"]
    assert all(one["revoked_at"] and "key" not in one and "digest" not in one for one in listed)


def test_what_cannot_be_done_is_one_sentence() -> None:
    read("key", "add", "openclaw", "--all")
    assert "already" in sentence(parlance("key", "add", "openclaw", "--all"), BadInput)
    assert "name" in sentence(parlance("key", "add", "Open Claw", "--all"), BadInput)
    assert "name" in sentence(parlance("key", "add", "plc-1", "--all"), BadInput)
    assert "requests" in sentence(parlance("key", "add", "other", "--all", "--per-minute", "0"), BadInput)
    assert "harbour" in sentence(parlance("key", "add", "other", "--assistant", "nobody"), NotFound)
    assert "openclaw" in sentence(parlance("key", "revoke", "nothing"), NotFound)
    for words in (("key", "add", "other"), ("key", "add", "other", "--all", "--assistant", "garden")):
        assert parlance(*words).exit_code == 2
    assert [one["name"] for one in read("key", "list")] == ["openclaw"]
