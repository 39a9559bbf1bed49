"""Buttons under an answer: what they note, for whom, and what they refuse."""

from __future__ import annotations

import asyncio

import pytest
from sqlalchemy import select
from waiting import until

from bots.commands import allowed
from bots.conversation import Conversation
from bots.events import Answer, Notice, Voted, Whisper
from bots.votes import NOT_HERE, OLDER
from store.tables import Vote


def answer_in(events):
    return next(event for event in events if isinstance(event, Answer))


def command(answer, label):
    return next(button.command for button in answer.buttons if button.label == label)


def whispered(events):
    assert not [event for event in events if isinstance(event, Notice)]
    return [event.text for event in events if isinstance(event, Whisper)]


async def votes_in(database):
    async with database.session() as session:
        return {(vote.voter, vote.value, vote.version) for vote in await session.scalars(select(Vote))}


async def test_a_vote_is_kept_with_its_version_can_be_changed_and_is_taken_back_by_pressing_again(ask, database):
    answer = answer_in(await ask("Hello"))
    events = await ask(command(answer, "Good"), pressed=True)
    assert "Noted: good." in whispered(events)[0]
    assert [(event.message_id, event.value) for event in events if isinstance(event, Voted)] == [(answer.message_id, 1)]
    assert await votes_in(database) == {("web:1", 1, "base-demo@v0")}
    await ask(command(answer, "Bad"), pressed=True)
    assert await votes_in(database) == {("web:1", -1, "base-demo@v0")}
    assert "Taken back" in whispered(await ask(command(answer, "Bad"), pressed=True))[0]
    assert await votes_in(database) == set()


async def test_each_person_in_a_group_has_one_vote(ask, database):
    group = {"channel": "telegram:-5", "private": False, "platform": "telegram", "account": "telegram"}
    answer = answer_in(await ask("Hello", mentioned=True, **group))
    for person, label in (("1", "Good"), ("2", "Bad"), ("1", "Bad")):
        await ask(command(answer, label), author_id=person, pressed=True, **group)
    assert {vote[:2] for vote in await votes_in(database)} == {("telegram:1", -1), ("telegram:2", -1)}


async def test_pressed_twice_at_the_same_moment_leaves_no_error_and_no_second_vote(ask, database):
    answer = answer_in(await ask("Hello"))
    results = await asyncio.gather(*(ask(command(answer, "Good"), pressed=True) for _ in range(4)))
    assert all(whispered(events) for events in results)
    assert len(await votes_in(database)) <= 1


async def test_a_button_works_after_a_restart(ask, conversation, incoming, database, settings, fake_engine):
    answer = answer_in(await ask("Hello"))
    await conversation.close()
    anew = Conversation(database, settings, fake_engine, conversation._tokenizer_source)
    events = [event async for event in anew.handle(incoming(command(answer, "Good"), pressed=True))]
    assert whispered(events) and len(await votes_in(database)) == 1


async def test_a_tampered_button_gets_one_kind_sentence_and_notes_nothing(ask, database):
    elsewhere = answer_in(await ask("Hello", channel="web:b")).message_id
    asked = answer_in(await ask("Hello"))
    for text in (f"/vote good {elsewhere}", f"/vote good {asked.answers}", "/vote good " + "9" * 18, "/vote good",
                 f"/vote splendid {asked.message_id}", "/vote good -1", "/vote good ١", "/vote good " + "9" * 400,
                 f"/again {elsewhere}", "/again x"):  # fmt: skip
        assert whispered(await ask(text, pressed=True)) == [NOT_HERE], text
    assert await votes_in(database) == set()


async def test_again_answers_the_last_question_afresh_and_only_the_last(ask, fake_engine):
    fake_engine.script = [["One"], ["Two"], ["Three"]]
    first = answer_in(await ask("First"))
    second = answer_in(await ask("Second"))
    assert whispered(await ask(command(first, "Again"), pressed=True)) == [OLDER]
    fresh = answer_in(await ask(command(second, "Again"), pressed=True))
    assert fresh.text == "Three" and fresh.answers == second.answers
    assert whispered(await ask(command(second, "Again"), pressed=True)) == [OLDER]


async def test_again_under_an_older_answer_does_not_disturb_the_one_under_way(conversation, incoming, ask, fake_engine):
    gate = asyncio.Event()
    fake_engine.script = [["One"], ["Two", gate, " more"]]
    first = answer_in(await ask("First"))
    shown = []

    async def follow():
        async for event in conversation.handle(incoming("Second")):
            shown.append(event)

    task = asyncio.create_task(follow())
    await until(lambda: fake_engine.running)
    assert whispered(await ask(command(first, "Again"), pressed=True)) == [OLDER]
    gate.set()
    await task
    assert answer_in(shown).text == "Two more" and not answer_in(shown).cut


@pytest.mark.parametrize("role", ["member", "operator", "owner"])
def test_what_buttons_say_is_in_no_list(role):
    assert "vote" not in {command.name for command in allowed(role)}
    assert [command.usage for command in allowed(role) if command.name == "again"] == ["/again"]
