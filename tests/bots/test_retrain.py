"""The operator's talk about learning, against the real job and version tables; the job's steps are played."""

from __future__ import annotations

import asyncio

import pytest
from sqlalchemy import select, update
from waiting import until

from bots.events import Card, Notice
from bots.report_card import better, report_card
from bots.retrain import overall
from config.names import VersionName
from store.tables import Assistant, Job, Version

REPORT = {
    "held_out": {"base": 3.1, "in_service": None, "version": 2.14, "conversations": 20, "tokens": 900},
    "general": {"base": 2.5, "version": 2.49, "exchanges": 150, "tokens": 3000, "limit": 0.02},
    "parity": {}, "degenerate": {},
    "samples": [{"question": "Is the gate open?", "base": "Yes.", "in_service": None, "version": "Since six, friend."}],
    "verdict": "pass", "reasons": [], "sentence": "It predicts better.",
}  # fmt: skip


def cards(events):
    return [event for event in events if isinstance(event, Card)]


def notices(events):
    return [event.text for event in events if isinstance(event, Notice)]


async def set_job(database, **values):
    async with database.session() as session:
        await session.execute(update(Job).values(**values))


async def add_version(database, number=1, state="passed", report=REPORT):
    async with database.session() as session:
        session.add(
            Version(assistant_id=1, number=number, state=state, digest="d", system_prompt="You are the harbour.",
                    base_model="demo", report=report)
        )  # fmt: skip


@pytest.fixture
def operator(ask):
    async def say(text):
        return await ask(text, role="operator")

    return say


async def test_too_little_to_learn_from_is_told_and_nothing_starts(operator, database):
    card = cards(await operator("/retrain"))[0]
    assert "too little" in card.title and not card.buttons
    async with database.session() as session:
        assert await session.scalar(select(Job)) is None


async def test_progress_is_one_card_that_changes_and_ends_in_a_report_with_a_choice(conversation, incoming, database):
    shown = []

    async def follow():
        async for event in conversation.handle(incoming("/retrain start", role="operator")):
            shown.append(event)

    task = asyncio.create_task(follow())
    await until(lambda: cards(shown))
    progress = {"fraction": 0.5, "loss": 2.5, "seconds_left": 150, "sentence": "Learning"}
    await set_job(database, state="running", step="learning", progress=progress)
    await until(lambda: any(card.bar and card.bar > 0.4 for card in cards(shown)))
    card = cards(shown)[-1]
    assert "About 3 minutes left" in " ".join(card.lines) and "2.50" in " ".join(card.lines)
    assert card.buttons[0].command == "/cancel"
    await add_version(database)
    await set_job(database, state="done", step="done", version=1)
    await task
    *before, ended, last = cards(shown)
    assert {card.key for card in before} == {ended.key} != {last.key}
    assert ended.bar == 1 and not ended.buttons and "learnt and measured" in ended.title
    assert last.bar is None
    assert [button.command for button in last.buttons] == ["/promote 1", "/compare", "/reject 1"]
    assert "31% better than the untuned model" in last.lines[0]
    assert last.samples[0].answers == (("Untuned", "Yes."), ("harbour@v1", "Since six, friend."))


async def test_two_who_ask_share_one_job(conversation, incoming, database):
    shown = [[], []]

    async def follow(at):
        message = incoming("/retrain start", role="operator", channel=f"web:{at}")
        async for event in conversation.handle(message):
            shown[at].append(event)

    tasks = [asyncio.create_task(follow(at)) for at in range(2)]
    await until(lambda: cards(shown[0]) and cards(shown[1]))
    async with database.session() as session:
        assert len(list(await session.scalars(select(Job)))) == 1
    assert sum("learning already" in text for events in shown for text in notices(events)) == 1
    await set_job(database, state="failed", step="done", error="It was too dark; bring a lamp.")
    await asyncio.gather(*tasks)
    for events in shown:
        assert cards(events)[-1].lines == ("It was too dark; bring a lamp.",)


async def test_talk_goes_on_while_it_learns_and_cancel_stops_it(conversation, incoming, ask, operator, database):
    shown = []

    async def follow():
        async for event in conversation.handle(incoming("/retrain start", role="operator")):
            shown.append(event)

    task = asyncio.create_task(follow())
    await until(lambda: cards(shown))
    assert any(type(event).__name__ == "Answer" for event in await ask("Hello"))
    status = cards(await operator("/status"))[0]
    assert any("A retrain is under way: waiting for its turn, 0% done." in line for line in status.lines)
    assert "Stopping" in notices(await operator("/cancel"))[0]
    await task
    assert cards(shown)[-1].title == "Learning was stopped"
    assert "nothing to stop" in notices(await operator("/cancel"))[0]


async def test_promote_and_roll_back_move_the_version_that_answers(operator, ask, database, fake_engine):
    await add_version(database, 1)
    await add_version(database, 2)
    listed = cards(await operator("/versions"))[0]
    assert len(listed.lines) == 3 and "harbour@v2" in listed.lines[0] and "31% better" in listed.lines[0]
    assert listed.lines[-1] == "The untuned model answers now."
    assert "harbour@v1 is in service" in cards(await operator("/promote v1"))[0].title
    await ask("Hello")
    assert str(fake_engine.requests[-1][0]) == "harbour@v1"
    await operator("/promote")
    assert [str(version) for version in fake_engine.warmed] == ["harbour@v1", "harbour@v2"]
    assert "in service" in cards(await operator("/versions"))[0].lines[0]
    await operator("/rollback")
    async with database.session() as session:
        assert (await session.get_one(Assistant, 1)).in_service == 1


async def test_what_cannot_be_promoted_is_told_in_one_sentence(operator, database):
    assert "no version that passed" in notices(await operator("/promote"))[0]
    assert "no version harbour@v9" in notices(await operator("/promote 9"))[0]
    assert "another assistant" in notices(await operator("/promote garden@v1"))[0]
    assert "no version in service" in notices(await operator("/rollback"))[0]
    assert "/retrain makes the first" in cards(await operator("/versions"))[0].lines[0]


def test_a_report_that_failed_says_why_first_and_offers_no_promotion():
    report = REPORT | {"verdict": "fail", "reasons": ["It has forgotten some of its general ability."]}
    card = report_card("job-1", VersionName("harbour", 3), report)
    assert card.lines[0].endswith("It has forgotten some of its general ability.") and not card.buttons


def test_losses_become_plain_words():
    assert better(3.1, 2.14, "before") == "31% better than before"
    assert better(2.0, 2.1, "before") == "5.0% worse than before"
    assert better(2.0, 2.0, "before") == "as well as before"


def test_the_bar_only_ever_moves_forward():
    steps = [("waiting", 0), ("reading", 0), ("reading", 1), ("learning", 0), ("learning", 1), ("measuring", 0.5),
             ("done", None)]  # fmt: skip
    bars = [overall(step, fraction) for step, fraction in steps]
    assert bars == sorted(bars) and bars[0] == 0 and bars[-1] == 1
