"""`parlance operator` and `parlance admit`, as a person and as a script meet them."""

from __future__ import annotations

import asyncio
import json

import pytest
from typer.testing import CliRunner, Result

from bots.access import Access
from bots.incoming import Incoming
from config.errors import BadInput, NotFound, ParlanceError, Refused
from config.settings import Settings, load_settings
from console.cli import app
from store.assistants import add_assistant, find_assistant
from store.database import open_database
from store.people import note_person

STRANGER = Incoming("tg", "tg:9", "9", "Cleo", "member", "Hello", "1", platform="telegram")


def parlance(*words: str) -> Result:
    return CliRunner().invoke(app, list(words))


def read(*words: str) -> object:
    done = parlance(*words, "--json")
    assert done.exit_code == 0, done.output
    return json.loads(done.stdout)


def sentence(done: Result, kind: type[ParlanceError]) -> str:
    assert isinstance(done.exception, kind), done.output
    return str(done.exception)


@pytest.fixture
def code(settings: Settings) -> str:
    """Of Cleo, who waits to talk with harbour, where Ada and two Bens have written."""

    async def fill() -> str:
        database = await open_database(load_settings())
        async with database.session() as session:
            (await add_assistant(session, "harbour", "", "demo")).access = "pairing"
            await add_assistant(session, "garden", "", "demo")
            await note_person(session, "telegram:7", "Ada", "countess")
            await note_person(session, "telegram:8", "Ben", None)
            await note_person(session, "discord:8", "Ben", "ben")
            harbour = await find_assistant(session, "harbour")
        access = Access(database)
        with pytest.raises(Refused):
            await access.admit(STRANGER, harbour)
        waiting = await access.all_waiting()
        await database.close()
        return waiting[0].code

    return asyncio.run(fill())


def test_operators_are_added_by_key_or_name_listed_and_removed(code):
    assert read("operator", "add", "@countess", "--assistant", "harbour") == {
        "subject": "telegram:7", "name": "Ada", "assistant": "harbour", "role": "operator", "changed": True,
    }  # fmt: skip
    assert read("operator", "add", "discord-role:55", "--owner")["assistant"] is None
    assert "already" in parlance("operator", "add", "Ada", "--assistant", "harbour").stdout
    found = read("operator", "list")
    assert [(one["subject"], one["role"], one["assistant"]) for one in found] == [
        ("discord-role:55", "owner", None), ("telegram:7", "operator", "harbour")
    ]  # fmt: skip
    assert [one["subject"] for one in read("operator", "list", "--assistant", "garden")] == ["discord-role:55"]
    assert "Ada" in parlance("operator", "list").stdout
    assert read("operator", "remove", "telegram:7")["removed"] == 1
    assert "looks after nothing" in sentence(parlance("operator", "remove", "telegram:7"), NotFound)


def test_names_that_are_nobodys_or_several_peoples_are_told(code):
    assert "telegram:123456" in sentence(parlance("operator", "add", "Nemo"), NotFound)
    assert "telegram:8, discord:8" in sentence(parlance("operator", "add", "ben"), BadInput)


def test_who_waits_is_shown_and_let_in_or_refused(code):
    (waiting,) = read("admit")
    assert (waiting["title"], waiting["subject"], waiting["assistant"]) == ("Cleo", "telegram:9", "harbour")
    assert waiting["code"].replace("-", "") == code
    assert code[:4] in parlance("admit").stdout
    assert read("admit", waiting["code"], "--refuse")["admitted"] is False
    assert "Cleo may talk with harbour" in parlance("admit", code.lower()).stdout
    assert read("admit") == []
    assert "Nobody is waiting" in sentence(parlance("admit", "AAAA-AAAA"), NotFound)
    assert parlance("admit", "--refuse").exit_code == 2


def test_an_assistant_is_opened_and_closed_from_the_command_line(code):
    assert read("assistant", "set", "harbour", "--access", "closed")["access"] == "closed"
    assert read("assistant", "show", "harbour")["access"] == "closed"
    assert parlance("assistant", "set", "harbour", "--access", "ajar").exit_code == 2
