"""`parlance chat`: the terminal answers as every other door does, also where a version cannot be loaded."""

from __future__ import annotations

import pytest
from fake_engine import FakeEngine

from config.errors import EngineUnavailable, NotFound
from config.names import VersionName
from console import chat_command
from console.chat_command import answer, talk
from console.workplace import Workplace
from store.assistants import add_assistant, find_assistant
from store.tables import Version

HELLO = [{"role": "user", "content": "Hello"}]
GONE = NotFound("There is no version here whose files are as they were made.")


@pytest.fixture
async def place(database, settings):
    async with database.session() as session:
        harbour = await add_assistant(session, "harbour", "You are the harbour.", "demo")
        for number in (1, 2):
            session.add(
                Version(assistant_id=harbour.id, number=number, state="passed", digest="d", base_model="demo",
                        system_prompt=f"You are harbour {number}.", report={})
            )  # fmt: skip
        harbour.in_service = 2
    return Workplace(settings, database)


async def in_service(place):
    async with place.database.session() as session:
        return (await find_assistant(session, "harbour")).in_service


async def test_a_version_that_cannot_be_loaded_costs_no_answer_and_the_terminal_says_so(place, capsys):
    engine = FakeEngine([[GONE], ["Hello."]])
    said = await answer(place, engine, "harbour", HELLO, show=True)
    assert (said["text"], said["version"]) == ("Hello.", "harbour@v1")
    assert engine.requests[-1][1][0]["content"] == "You are harbour 1."
    shown = capsys.readouterr()
    assert shown.out == "Hello.\n"
    assert "harbour@v2 could not be loaded" in shown.err and "harbour@v1 answers from now on" in shown.err
    assert await in_service(place) == 1


async def test_where_no_version_is_good_the_untuned_model_answers(place, settings):
    engine = FakeEngine([[GONE], [GONE], ["Hello."]])
    said = await answer(place, engine, "harbour", HELLO, show=False)
    assert said["version"] == "base-demo@v0" and await in_service(place) is None


async def test_a_version_asked_for_by_its_number_is_answered_for_by_no_other(place):
    with pytest.raises(NotFound):
        await answer(place, FakeEngine([[GONE], ["Hello."]]), "harbour@v2", HELLO, show=False)
    assert await in_service(place) == 2


async def test_a_version_that_is_promoted_meanwhile_answers_what_is_said_next(place):
    engine = FakeEngine()
    assert (await answer(place, engine, "harbour", HELLO, show=False))["version"] == "harbour@v2"
    async with place.database.session() as session:
        (await find_assistant(session, "harbour")).in_service = 1
    assert (await answer(place, engine, "harbour", HELLO, show=False))["version"] == "harbour@v1"


async def test_an_answer_that_breaks_off_ends_neither_the_talk_nor_what_was_said_before(place, capsys, monkeypatch):
    typed = iter(["My name is Ada.", "Who am I?", "Who am I?", ""])
    monkeypatch.setattr(chat_command.console, "input", lambda prompt: next(typed))
    engine = FakeEngine(
        [["Hello ", "Ada."], ["You are", EngineUnavailable("The engine broke off; ask again.")], ["Ada."]]
    )
    await talk(place, engine, "harbour", VersionName("harbour", 2))
    shown = capsys.readouterr()
    assert "You are\n" in shown.out and shown.out.endswith("Ada.\n")
    assert shown.err == "The engine broke off; ask again.\n"
    last = [turn["content"] for turn in engine.requests[-1][1]]
    assert last[1:] == ["My name is Ada.", "Hello Ada.", "Who am I?"]
