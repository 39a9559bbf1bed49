"""What people see while others come first, when too many ask, and when a version cannot be loaded."""

from __future__ import annotations

import asyncio

import pytest
from fake_engine import words
from waiting import until

from bots.conversation import Conversation
from bots.events import Answer, Card, Notice, Said
from config.errors import EngineUnavailable, NotFound, Refused
from serving.entrance import Entrance
from serving.router import set_route
from store.assistants import add_assistant, find_assistant, find_version
from store.tables import Promotion, Version
from tuning.versions import history, promote


@pytest.fixture
async def small(database, settings, fake_engine, conversation):
    """The same conversation with an engine of one place, and room for two to wait."""
    made = Conversation(database, settings, fake_engine, words, entrance=Entrance(fake_engine, 1, longest=2))
    yield made
    await made.close()


@pytest.fixture
def say(small, incoming):
    """Says something and gives what is shown, as it grows, and the task that reads it."""
    tasks = []

    def begin(text, **more):
        shown = []

        async def read():
            async for event in small.handle(incoming(text, **more)):
                shown.append(event)

        tasks.append(asyncio.create_task(read()))
        return shown, tasks[-1]

    return begin


def notices(shown, passing=None):
    return [e.text for e in shown if isinstance(e, Notice) and (passing is None or e.passing is passing)]


def answers(shown):
    return [e.text for e in shown if isinstance(e, Answer)]


def troubles(shown):
    return [e for e in shown if isinstance(e, Card) and e.key.startswith("trouble-")]


async def version(database, number, **more):
    async with database.session() as session:
        harbour = await find_assistant(session, "harbour")
        row = Version(
            assistant_id=harbour.id, number=number, state="passed", digest="0" * 64,
            system_prompt=f"You are harbour {number}.", base_model="demo", report={"sentence": "Good."}, **more,
        )  # fmt: skip
        session.add(row)
        session.add(Promotion(assistant_id=harbour.id, action="promote", before=None, after=number, asked_by="Ada"))
        harbour.in_service = number


async def test_who_has_to_wait_is_told_how_long_and_then_answered(small, fake_engine, say):
    gate = asyncio.Event()
    fake_engine.script = [[gate, "first"], ["second"]]
    small._entrance.line.took(20.0)
    _, first = say("One", channel="web:a")
    await until(lambda: fake_engine.running)
    shown, second = say("Two", channel="web:b", author_id="2")
    await until(lambda: notices(shown, passing=True))
    assert "about 10 seconds" in notices(shown)[0]
    assert not any(isinstance(event, Said) for event in shown)
    gate.set()
    await asyncio.gather(first, second)
    assert answers(shown) == ["second"] and fake_engine.most_running == 1


async def test_beyond_the_bound_one_is_told_when_to_try_again(small, fake_engine, say, database):
    gate = asyncio.Event()
    fake_engine.script = [[gate, "answered"]]
    small._entrance.line.took(20.0)
    begun = [say("Hello", channel=f"web:{n}", author_id=str(n)) for n in range(3)]
    await until(lambda: small._entrance.line.waiting == 2)
    shown, late = say("Me too", channel="web:late", author_id="9")
    await late
    assert "try again in about 50 seconds" in notices(shown)[-1] and not answers(shown)
    gate.set()
    await asyncio.gather(*(task for _, task in begun))
    assert all(answers(others) == ["answered"] for others, _ in begun)


async def test_stop_frees_the_place_of_who_waits_and_of_who_is_answered(small, fake_engine, say, incoming):
    fake_engine.script = [["So", asyncio.Event()], ["Next"]]
    shown, first = say("One", channel="web:a")
    await until(lambda: any(isinstance(event, Said) for event in shown))
    _, second = say("Two", channel="web:b", author_id="2")
    await until(lambda: small._entrance.line.waiting == 1)
    _, stopping = say("/stop", channel="web:b", author_id="2")
    await asyncio.gather(second, stopping)
    assert small._entrance.line.waiting == 0 and small._entrance.line.taken == 1
    _, stopping = say("/stop", channel="web:a")
    await asyncio.gather(first, stopping)
    assert small._entrance.line.taken == 0 and fake_engine.running == 0
    third, task = say("Three", channel="web:b", author_id="2")
    await task
    assert answers(third) == ["Next"]


async def test_one_busy_assistant_does_not_keep_another_from_the_engine(small, fake_engine, say, database):
    async with database.session() as session:
        await add_assistant(session, "library", "You are the library.", "demo")
        await set_route(session, "channel", "web:quiet", "library")
    gate = asyncio.Event()
    fake_engine.script = [[gate, "…"], ["ok"]]
    begun = [say("Hello", channel=f"web:{n}", author_id=str(n))[1] for n in range(3)]
    await until(lambda: small._entrance.line.waiting == 2)
    _, quiet = say("Is it open?", channel="web:quiet", author_id="7")
    await until(lambda: "library" in small._entrance.line._waiting)
    gate.set()
    await asyncio.gather(*begun, quiet)
    prompts = [messages[0]["content"] for _, messages in fake_engine.requests]
    assert prompts[1] == "You are the library."
    assert len(prompts) == 3  # the last of the busy one's was asked to come back


async def test_who_waits_in_line_waits_through_a_restart_and_is_answered(small, fake_engine, say):
    fake_engine.script = [[EngineUnavailable("gone")], ["first"], ["second"]]
    fake_engine.be("restarting", "The engine is being started again.")
    shown, first = say("One", channel="web:a")
    other, second = say("Two", channel="web:b", author_id="2")
    await until(lambda: notices(shown) and notices(other))
    assert not fake_engine.requests
    fake_engine.be("ready", "The engine is ready.")
    await asyncio.gather(first, second)
    assert sorted([*answers(shown), *answers(other)]) == ["first", "second"]


@pytest.mark.parametrize("why", [NotFound("There is no version."), Refused("The engine cannot load it.")])
async def test_a_version_that_cannot_be_loaded_costs_no_answer_and_members_are_told_nothing(
    ask, fake_engine, database, why
):
    await version(database, 1)
    await version(database, 2)
    fake_engine.script = [[why], ["Hello."]]
    member = await ask("Hello")
    assert answers(member) == ["Hello."] and not troubles(member)
    assert [str(name) for name, _ in fake_engine.requests] == ["harbour@v2", "harbour@v1"]
    assert fake_engine.requests[1][1][0]["content"] == "You are harbour 1."
    (card,) = troubles(await ask("Hello", role="operator", channel="web:op"))
    assert card.title == "harbour@v2 went out of service by itself" and "harbour@v1 answers now" in card.lines[0]
    status = next(e for e in await ask("/status", role="operator") if isinstance(e, Card))
    assert any("harbour@v2 is out of service" in line for line in status.lines)
    views = {view.name.number: view for view in await history(database, "harbour")}
    assert views[1].in_service and views[2].trouble


async def test_where_no_version_is_good_the_untuned_model_answers(ask, fake_engine, database):
    await version(database, 1)
    await version(database, 2)
    fake_engine.script = [[NotFound("gone")], [NotFound("gone")], ["Hello."]]
    assert answers(await ask("Hello")) == ["Hello."]
    assert [str(name) for name, _ in fake_engine.requests] == ["harbour@v2", "harbour@v1", "base-demo@v0"]


async def test_an_untuned_model_that_cannot_be_loaded_is_told_in_a_sentence(ask, fake_engine):
    fake_engine.script = [[NotFound("The untuned model is gone.")]]
    assert notices(await ask("Hello")) == ["The untuned model is gone."]
    assert len(fake_engine.requests) == 1


async def test_promoting_it_again_takes_the_note_back(ask, fake_engine, database):
    await version(database, 1)
    fake_engine.script = [[NotFound("gone")], ["Hello."]]
    await ask("Hello")
    await promote(database, fake_engine, "harbour", 1, "Ada")
    async with database.session() as session:
        row = await find_version(session, await find_assistant(session, "harbour"), 1)
        assert row.trouble is None
