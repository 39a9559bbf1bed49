from __future__ import annotations

import asyncio

import pytest
from fake_engine import FakeEngine, words
from sqlalchemy import select
from waiting import until

from bots.conversation import Conversation
from bots.events import Answer, Card, Done, Heard, Notice
from bots.pace import AlreadyTold, Limit, Once, Pace
from config.errors import Refused
from store.people import give_role
from store.tables import Message

GROUP = {"account": "tg", "platform": "telegram", "channel": "tg:-100", "private": False}
PRIVATE = {"account": "tg", "platform": "telegram", "channel": "tg:7", "author_id": "7"}


class Clock:
    """Moves when told to."""

    now = 0.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock():
    return Clock()


@pytest.fixture
def pace(clock):
    return Pace(Limit(2, 10.0), Limit(4, 5.0), clock)


@pytest.fixture
def talk(conversation, database, settings, incoming, pace):
    """Says something to an assistant that answers two quick messages of a person, and four in a channel."""
    made = Conversation(database, settings, FakeEngine(), words, pace)

    async def say(text, **more):
        return [event async for event in made.handle(incoming(text, **more))]

    return say


def notices(events):
    return [event.text for event in events if isinstance(event, Notice)]


def answered(events):
    return any(isinstance(event, Answer) for event in events)


def test_a_person_who_is_too_quick_is_told_when_to_try_again_and_may_then(pace, clock):
    pace.check("ada", "a")
    pace.check("ada", "b")
    with pytest.raises(Refused, match=r"^You are quicker than I am; try again in 10 seconds\.$"):
        pace.check("ada", "c")
    clock.now = 9.5
    with pytest.raises(AlreadyTold):
        pace.check("ada", "c")
    clock.now = 10.0
    pace.check("ada", "c")
    pace.check("ben", "c")


def test_it_is_said_once_until_they_have_slowed_down(pace, clock):
    told = 0
    for _ in range(100):
        clock.now += 1.0
        try:
            pace.check("ada", "a")
        except AlreadyTold:
            pass
        except Refused:
            told += 1
    assert told == 1
    clock.now += 60.0
    pace.check("ada", "a")
    pace.check("ada", "a")
    with pytest.raises(Refused, match="again in"):
        pace.check("ada", "a")


def test_a_channel_has_a_limit_of_its_own_and_one_that_is_refused_costs_nobody_anything(pace, clock):
    for person in "abcd":
        pace.check(person, "group")
    with pytest.raises(Refused, match=r"in 5 seconds\.$"):
        pace.check("e", "group")
    pace.check("e", "elsewhere")
    pace.check("e", "elsewhere")
    clock.now = 5.0
    pace.check("f", "group")


def test_a_minute_of_waiting_is_never_said_to_be_none(pace, clock):
    pace.check("ada", "a")
    pace.check("ada", "a")
    clock.now = 9.99
    with pytest.raises(Refused, match="again in 1 second\\."):
        pace.check("ada", "a")


def test_what_is_kept_of_people_who_are_gone_is_bounded(clock):
    pace = Pace(Limit(2, 1.0), Limit(2, 1.0), clock)
    for number in range(25_000):
        clock.now += 0.01
        pace.check(f"p{number}", f"c{number}")
    assert len(pace._people._buckets) <= 10_001


def test_once_is_due_again_after_its_time_and_remembers_no_more_than_it_may(clock):
    once = Once(3600.0, kept=2, clock=clock)
    assert [once.due("a"), once.due("a"), once.due("b")] == [True, False, True]
    clock.now = 3600.0
    assert [once.due("a"), once.due("a")] == [True, False]
    assert once.due("c") and once.due("b")


async def test_a_flood_gets_its_answers_then_one_sentence_then_silence_and_is_not_kept(talk, database):
    events = [await talk(f"message {at}", **PRIVATE) for at in range(6)]
    assert [answered(one) for one in events] == [True, True, False, False, False, False]
    assert len(notices(events[2])) == 1 and events[3:] == [[Done()]] * 3
    async with database.session() as session:
        kept = [m.text for m in await session.scalars(select(Message).where(Message.role == "user"))]
    assert kept == ["message 0", "message 1"]


async def test_a_busy_group_does_not_keep_an_operators_command_away(talk, database):
    async with database.session() as session:
        await give_role(session, "telegram:1", None, "operator", "the test")
    for person in "23456789":
        await talk("Hello", **GROUP, author_id=person, mentioned=True)
    assert await talk("/help", **GROUP, author_id="9") == [Done()]
    assert any(isinstance(event, Card) for event in await talk("/status", **GROUP, author_id="1"))
    assert any(isinstance(event, Card) for event in await talk("/status", **GROUP, author_id="1"))


async def test_whoever_is_too_quick_can_still_stop_an_answer(conversation, database, settings, incoming, pace):
    engine = FakeEngine([["So far", asyncio.Event()]])
    made = Conversation(database, settings, engine, words, pace)
    shown: list[object] = []

    async def show(text):
        shown.extend([event async for event in made.handle(incoming(text, **PRIVATE))])

    answering = asyncio.create_task(show("Tell me"))
    await until(lambda: engine.running)
    await show("/help")
    await show("/help")
    await show("/stop")
    await answering
    assert any(isinstance(event, Answer) and event.cut for event in shown)


async def test_the_page_has_a_pace_of_its_own(talk):
    assert all([answered(await talk(f"message {at}")) for at in range(6)])


async def test_in_a_group_where_all_is_answered_what_comes_too_fast_is_read_along(talk, ask, database):
    await ask("/answer all", **GROUP, role="operator", author_id="99")
    events = [await talk(f"message {at}", **GROUP, author_id=str(at)) for at in range(6)]
    assert [answered(one) for one in events] == [True] * 4 + [False] * 2 and events[4:] == [[], []]
    async with database.session() as session:
        states = list(
            await session.scalars(select(Message.state).where(Message.role == "user").order_by(Message.id.desc()))
        )
    assert states[:3] == ["overheard", "overheard", "said"]


async def test_the_same_message_refused_twice_is_told_once(talk):
    for at in range(2):
        await talk(f"message {at}", **PRIVATE)
    assert notices(await talk("Too fast", **PRIVATE, external_id="same"))
    again = await talk("Too fast", **PRIVATE, external_id="same")
    assert again == [Done()] and not any(isinstance(event, Heard) for event in again)
