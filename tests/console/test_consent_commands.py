"""`parlance consent`, `speakers` and `forget`, as a person and as a script meet them."""

from __future__ import annotations

import asyncio
import json

import pytest
from typer.testing import CliRunner, Result

from config.errors import BadInput, NotFound, ParlanceError, Refused
from config.settings import Settings, load_settings
from console.cli import app
from serving.router import set_route
from store.assistants import add_assistant
from store.consents import decide
from store.database import open_database
from store.people import note_person
from store.tables import Channel, Message


def parlance(*words: str, answer: str = "") -> Result:
    return CliRunner().invoke(app, list(words), input=answer)


def sentence(done: Result) -> ParlanceError:
    assert isinstance(done.exception, ParlanceError), done.output
    return done.exception


@pytest.fixture
def town(settings: Settings) -> None:
    """Ada and another Ada, of whom the first agreed in a group where harbour answers."""

    async def fill() -> None:
        database = await open_database(load_settings())
        async with database.session() as session:
            await add_assistant(session, "harbour", "", "demo")
            await add_assistant(session, "garden", "", "demo")
            await set_route(session, "default", "", "harbour")
            session.add(Channel(key="post:-7", account="post", private=False, title="Quay"))
            await session.flush()
            await note_person(session, "telegram:1", "Ada", "ada_l")
            await note_person(session, "discord:5", "Ada", None)
            session.add(Message(channel_id=1, role="user", author_key="telegram:1", author="Ada", text="Hello"))
            await decide(session, "telegram:1", "post:-7", "in", "May I?")
        await database.close()

    asyncio.run(fill())


def test_who_agreed_is_shown_with_what_they_were_shown(town: None) -> None:
    (one,) = json.loads(parlance("consent", "--json").stdout)
    assert (one["person"], one["chat"], one["state"], one["shown"]) == ("telegram:1", "post:-7", "in", "May I?")
    assert "Ada (telegram:1)" in parlance("consent", "harbour").stdout
    assert json.loads(parlance("consent", "garden", "--json").stdout) == []


def test_speakers_are_named_and_taken_back_by_key_or_name(town: None) -> None:
    (one,) = json.loads(parlance("speakers", "harbour", "--add", "@ada_l", "--json").stdout)
    assert (one["person"], one["agreed_in_chats"]) == ("telegram:1", 1)
    assert len(json.loads(parlance("speakers", "harbour", "--add", "telegram:1", "--json").stdout)) == 1
    assert "no speaker" in str(sentence(parlance("speakers", "garden", "--remove", "telegram:1")))
    assert json.loads(parlance("speakers", "harbour", "--remove", "telegram:1", "--json").stdout) == []


def test_forgetting_asks_and_takes_no_for_an_answer(town: None) -> None:
    assert isinstance(sentence(parlance("forget", "telegram:1", answer="n\n")), Refused)
    assert isinstance(sentence(parlance("forget", "telegram:1", "--json")), Refused)
    several = sentence(parlance("forget", "ada", "--yes"))
    assert isinstance(several, BadInput) and "telegram:1" in str(several) and "discord:5" in str(several)
    assert isinstance(sentence(parlance("forget", "Nobody", "--yes")), NotFound)
    assert len(json.loads(parlance("consent", "--json").stdout)) == 1


def test_forgetting_says_what_was_deleted(town: None) -> None:
    done = json.loads(parlance("forget", "ada_l", "--yes", "--json").stdout.splitlines()[-1])  # after the log
    assert (done["person"], done["deleted"]["messages"]) == ("telegram:1", 1)
    assert (done["versions"], done["complete"]) == ([], True)
    assert json.loads(parlance("consent", "--json").stdout) == []
    told = parlance("forget", "discord:5", answer="y\n").stdout
    assert "1 record about them" in told and "No version had learnt from their words." in told


def test_what_becomes_of_versions_after_a_forgetting_is_the_assistants_policy(town: None) -> None:
    assert json.loads(parlance("assistant", "show", "harbour", "--json").stdout)["on_forget"] == "mark"
    assert parlance("assistant", "set", "harbour", "--on-forget", "withdraw").exit_code == 0
    assert json.loads(parlance("assistant", "show", "harbour", "--json").stdout)["on_forget"] == "withdraw"
    assert parlance("assistant", "set", "harbour", "--on-forget", "burn").exit_code == 2
