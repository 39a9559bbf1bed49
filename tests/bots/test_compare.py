"""/compare: two versions side by side, hidden until somebody has chosen, beside the conversation."""

from __future__ import annotations

import asyncio

import pytest
from sqlalchemy import select
from waiting import until

from bots.compare import CHOSEN, NOT_HERE
from bots.events import Answer, Card, Notice, Whisper
from config.errors import EngineUnavailable, NotFound
from store.tables import Assistant, Comparison, Message, Version
from tuning.contest import contest
from tuning.forgetting import forget

QUESTION = "When do you open?"


def cards(events):
    return [event for event in events if isinstance(event, Card)]


def notices(events):
    return [event.text for event in events if isinstance(event, Notice)]


def whispers(events):
    return [event.text for event in events if isinstance(event, Whisper)]


async def add_version(database, number, state="passed", *, in_service=False):
    report = {"samples": [{"question": "Is the gate open?", "base": "", "in_service": None, "version": ""}]}
    async with database.session() as session:
        session.add(Version(assistant_id=1, number=number, state=state, digest="d", base_model="demo",
                            system_prompt=f"You are number {number}.", report=report))  # fmt: skip
        if in_service:
            (await session.get_one(Assistant, 1)).in_service = number


def unload(fake_engine, name):
    """From now on the engine has no version of this name, as where its files are gone."""
    plain = fake_engine.stream

    async def stream(version, messages, sampling):
        if str(version) == name:
            raise NotFound(f"There is no version {version}.")
        async for event in plain(version, messages, sampling):
            yield event

    fake_engine.stream = stream


@pytest.fixture
def operator(ask):
    async def say(text, **more):
        return await ask(text, role="operator", **more)

    return say


@pytest.fixture
async def two(database):
    await add_version(database, 1, in_service=True)
    await add_version(database, 2)


def commands(card):
    return [button.command for button in card.buttons]


async def test_both_answer_with_their_own_prompt_and_neither_is_named(operator, two, fake_engine):
    fake_engine.script = [["At", " six."], ["At", " seven."]]
    card = cards(await operator(f"/compare {QUESTION}"))[-1]
    assert card.title == "Which answer is better?" and card.samples[0].question == QUESTION
    assert {text for _, text in card.samples[0].answers} == {"At six.", "At seven."}
    assert [name for name, _ in card.samples[0].answers] == ["A", "B"] and "harbour@" not in str(card)
    assert {str(version): messages for version, messages in fake_engine.requests} == {
        f"harbour@v{number}": [
            {"role": "system", "content": f"You are number {number}."}, {"role": "user", "content": QUESTION}
        ]
        for number in (1, 2)
    }  # fmt: skip


async def test_the_choice_reveals_the_names_and_counts(operator, two, database, fake_engine):
    for number in range(3):
        card = cards(await operator(f"/compare {QUESTION}"))[-1]
        async with database.session() as session:
            row = (await session.scalars(select(Comparison).order_by(Comparison.id.desc()))).first()
        better = "a" if row.first == "harbour@v2" else "b"
        shown = cards(await operator(f"/prefer {better if number else 'none'} {row.id}", pressed=True))[-1]
        assert shown.key == card.key
    assert shown.title == "harbour@v2 was preferred"
    assert {name for name, _ in shown.samples[0].answers} == {f"A, {row.first}", f"B, {row.second}"}
    assert shown.lines == ("So far: harbour@v2 was preferred twice, harbour@v1 never; no difference once.",)
    assert commands(shown)[0] == "/promote 2"


async def test_one_choice_counts_and_a_second_is_told_so(operator, two, database):
    card = cards(await operator("/compare Why?"))[-1]
    await operator(commands(card)[0], pressed=True)
    events = await operator(commands(card)[1], pressed=True)
    assert whispers(events) == [CHOSEN] and "preferred" in cards(events)[-1].title
    async with database.session() as session:
        assert (await session.get_one(Comparison, 1)).choice == "a"


async def test_a_tampered_button_reveals_nothing(operator, ask, two):
    card = cards(await operator("/compare Why?", channel="web:other"))[-1]
    for text in (commands(card)[0], "/prefer c 1", "/prefer a", "/prefer a x", "/prefer a 99"):
        events = await operator(text, pressed=True)
        assert whispers(events) == [NOT_HERE] and not cards(events), text
    assert not cards(await ask(commands(card)[0], channel="web:other"))


async def test_talk_goes_on_meanwhile_and_stop_ends_it(
    conversation, incoming, ask, operator, two, fake_engine, database
):
    gate = asyncio.Event()
    fake_engine.script = [["A little", gate], ["A little", gate], ["Hello there."]]
    shown = []

    async def follow():
        async for event in conversation.handle(incoming("/compare Why?", role="operator")):
            shown.append(event)

    task = asyncio.create_task(follow())
    await until(lambda: fake_engine.running == 2 and cards(shown))
    assert commands(cards(shown)[0]) == ["/stop"]
    assert any(isinstance(event, Answer) for event in await ask("Hello"))
    assert notices(await ask("/stop")) == []
    await task
    assert cards(shown)[-1].title == "The comparison was stopped" and fake_engine.running == 0
    async with database.session() as session:
        assert (await session.scalars(select(Comparison))).all() == []
    assert "not saying anything" in notices(await ask("/stop"))[0]


async def test_it_is_no_part_of_the_conversation(operator, ask, two, database, fake_engine):
    await operator("/compare Why?")
    await ask("Hello")
    assert [message["content"] for message in fake_engine.requests[-1][1]] == ["You are number 1.", "Hello"]
    async with database.session() as session:
        assert "Why?" not in {row.text for row in await session.scalars(select(Message).where(Message.state == "said"))}


async def test_an_engine_that_breaks_off_is_one_sentence_and_leaves_nothing(operator, two, database, fake_engine):
    fake_engine.script = [["At"], [EngineUnavailable("The engine is restarting; please ask again.")]]
    assert notices(await operator("/compare Why?")) == ["The engine is restarting; please ask again."]
    assert fake_engine.running == 0
    async with database.session() as session:
        assert (await session.scalars(select(Comparison))).all() == []


async def test_where_the_version_in_service_cannot_be_loaded_the_last_good_one_is_compared(
    operator, database, fake_engine
):
    for number in (1, 2, 3):
        await add_version(database, number)
    async with database.session() as session:
        (await session.get_one(Assistant, 1)).in_service = 3
    unload(fake_engine, "harbour@v3")
    events = await operator("/compare Why?")
    cards_of_it = [card for card in cards(events) if card.key.startswith("compare-")]
    assert cards_of_it[-1].title == "Which answer is better?" and len({card.key for card in cards_of_it}) == 1
    async with database.session() as session:
        assert (await session.get_one(Assistant, 1)).in_service == 2
        row = (await session.scalars(select(Comparison))).one()
        assert {row.first, row.second} == {"harbour@v2", "harbour@v1"}
    trouble = next(card for card in cards(events) if card.key.startswith("trouble-"))
    assert trouble.title == "harbour@v3 went out of service by itself"


async def test_a_candidate_that_cannot_be_loaded_is_told_and_what_serves_goes_on(operator, two, database, fake_engine):
    unload(fake_engine, "harbour@v2")
    (sentence,) = notices(await operator("/compare Why?"))
    assert "harbour@v2 cannot be loaded" in sentence and "/reject 2" in sentence
    async with database.session() as session:
        assert (await session.get_one(Assistant, 1)).in_service == 1
        assert (await session.scalars(select(Comparison))).all() == []


async def test_without_a_question_one_is_taken_that_was_measured_with(operator, two):
    assert cards(await operator("/compare"))[-1].samples[0].question == "Is the gate open?"


async def test_without_a_candidate_one_sentence_says_what_to_do(operator):
    assert "/retrain makes a version" in notices(await operator("/compare Why?"))[0]


async def test_who_stands_against_whom(operator, database):
    async def sides():
        found = await contest(database, "harbour")
        return str(found.serving.name), str(found.candidate.name)

    await add_version(database, 1)
    assert await sides() == ("base-demo@v0", "harbour@v1")
    await add_version(database, 2, in_service=True)
    assert await sides() == ("harbour@v2", "harbour@v1")
    await add_version(database, 3)
    await add_version(database, 4, "failed")
    assert await sides() == ("harbour@v2", "harbour@v3")
    await operator("/reject 3")
    assert await sides() == ("harbour@v2", "harbour@v1")
    await operator("/reject 1")
    assert await sides() == ("harbour@v2", "base-demo@v0")


async def test_a_forgotten_persons_comparisons_are_gone(operator, two, database, settings):
    await operator("/compare Why?")
    await operator("/compare Where?", author_id="2", channel="web:b")
    await forget(database, settings, "web:1")
    async with database.session() as session:
        assert [row.asked_by for row in await session.scalars(select(Comparison))] == ["web:2"]
