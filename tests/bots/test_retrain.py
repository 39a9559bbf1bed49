"""The operator's talk about learning, against the real job and version tables; the job's steps are played."""

from __future__ import annotations

import asyncio

import pytest
from fake_engine import words
from small_platform import SmallPlatform
from sqlalchemy import select, update
from waiting import until

from bots.conversation import Conversation
from bots.events import Answer, Card, Notice
from bots.presenter import Presenter
from bots.report_card import better, report_card, report_lines
from bots.retrain import loss_in_words, overall, time_left
from config.names import VersionName
from store.columns import now
from store.tables import Account, Assistant, Delivery, Job, RoleGiven, Version

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
    progress["notes"] = ["Memory was short, so it learnt in smaller parts."]
    await set_job(database, state="running", step="learning", progress=progress)
    await until(lambda: any(card.bar and card.bar > 0.4 for card in cards(shown)))
    card = cards(shown)[-1]
    assert "About 3 minutes left" in " ".join(card.lines) and "2.50" in " ".join(card.lines)
    assert "Memory was short, so it learnt in smaller parts." in card.lines
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


def test_times_and_losses_are_words_with_the_figure_beside():
    assert time_left("measuring", 40) == "Less than a minute left"
    assert time_left("measuring", 61) == "About 1 minute left"
    assert time_left("learning", 600) == "About 11 minutes left"  # the measuring comes after it
    assert time_left("measuring", 7300) == "About 2 hours left"
    assert loss_in_words(2.5) == "For each next word it wavers between about 12 (loss 2.50, and it should fall)"
    assert "nearly always knows" in loss_in_words(0.2) and "no idea" in loss_in_words(40.0)


async def test_a_rejected_version_is_offered_no_more_and_promoting_it_takes_that_back(operator, database):
    await add_version(database, 1)
    await add_version(database, 2)
    rejected = cards(await operator("/reject 2"))[0]
    assert "harbour@v2 is set aside" in rejected.title and rejected.buttons[0].command == "/promote 2"
    listed = cards(await operator("/versions"))[0]
    assert "rejected" in listed.lines[0] and listed.buttons[0].command == "/promote 1"
    assert "harbour@v1 is in service" in cards(await operator("/promote"))[0].title
    assert "harbour@v2 is in service" in cards(await operator("/promote 2"))[0].title
    async with database.session() as session:
        assert set(await session.scalars(select(Version.state))) == {"passed"}


async def test_what_cannot_be_rejected_is_told_in_one_sentence(operator, database):
    await add_version(database, 1)
    await add_version(database, 2, "failed", REPORT | {"verdict": "fail", "reasons": ["It is worse."]})
    await operator("/promote 1")
    assert "is in service" in notices(await operator("/reject 1"))[0]
    assert "out of service anyway" in notices(await operator("/reject 2"))[0]
    assert "Say which one" in notices(await operator("/reject"))[0]
    assert "/reject 3" in notices(await operator("/reject it"))[0]


async def test_status_says_what_waits_and_what_people_think(operator, ask, database):
    await add_version(database, 1)
    answer = next(event for event in await ask("Hello") if isinstance(event, Answer))
    await ask(answer.buttons[0].command, pressed=True)
    card = cards(await operator("/status"))[0]
    assert "Votes on its answers: 1 good, 0 bad." in card.lines
    assert "harbour@v1 passed its measurements and is ready to serve." in card.lines
    assert [button.command for button in card.buttons] == ["/promote 1"]


async def test_the_pressed_plan_is_settled_where_it_stands(ask, conversation, incoming, database):
    left = cards(await ask("/retrain leave", role="operator", pressed=True))[0]
    assert left.key == "plan-harbour" and not left.buttons
    shown = []

    async def follow():
        async for event in conversation.handle(incoming("/retrain start", role="operator", pressed=True)):
            shown.append(event)

    task = asyncio.create_task(follow())
    await until(lambda: len(cards(shown)) > 1)
    await set_job(database, state="failed", step="done", error="It was too dark; bring a lamp.")
    await task
    assert cards(shown)[0].key == "plan-harbour" and not cards(shown)[0].buttons


async def test_after_a_kill_the_card_goes_on_and_comes_to_its_report(
    conversation, incoming, database, settings, fake_engine
):
    account = "small"
    async with database.session() as session:
        session.add(Account(name=account, platform="telegram", external_id="1", username="bot", token="t"))
    platform = SmallPlatform(limit=4000)
    asked = incoming("/retrain start", role="operator", account=account, channel="small:1", platform="telegram",
                     external_id="5")  # fmt: skip
    presenting = asyncio.create_task(Presenter(database).present(conversation.handle(asked), asked, platform))

    async def card_is_noted():
        async with database.session() as session:
            return await session.scalar(select(Delivery).where(Delivery.external_id.is_not(None)))

    await until(card_is_noted)
    presenting.cancel()
    await asyncio.gather(presenting, return_exceptions=True)
    await conversation.close()

    await add_version(database)
    await set_job(database, state="done", step="done", version=1, ended_at=now())
    async with database.session() as session:
        session.add(RoleGiven(subject="telegram:1", assistant_id=None, role="operator", given_by="owner"))
    anew = Conversation(database, settings, fake_engine, words)
    presenter = Presenter(database)
    for left in await presenter.left_undelivered(account):
        await presenter.redeliver(left, platform)
    for message in await anew.unanswered(account):
        await presenter.present(anew.answer_left(message), message, platform)
    assert [text.splitlines()[0] for text in platform.texts] == [
        "**harbour: learnt and measured**", "**harbour@v1 has learnt, and measures well**"
    ]  # fmt: skip
    assert not await anew.unanswered(account)
    await anew.close()


def test_a_report_says_how_sure_it_is_and_when_it_may_be_chance():
    held_out = REPORT["held_out"] | {
        "in_service": 2.2, "over_base": {"low": 0.8, "high": 1.1}, "over_in_service": {"low": -0.02, "high": 0.1}
    }  # fmt: skip
    recitation = {"recited": 0, "secrets_told": 0}
    first, second, third, *_, last = report_lines("harbour", REPORT | {"held_out": held_out, "recitation": recitation})
    assert first.endswith("31% better than the untuned model (very likely between 26% and 35%).")
    assert second.endswith("2.7% better than that one, which may be chance.")
    assert "20 conversations it had not seen" in third and "3.10 before, 2.14 now" in third
    assert "recited nobody" in last
