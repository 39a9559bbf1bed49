from __future__ import annotations

import asyncio

from sqlalchemy import select
from waiting import until

from bots.events import Answer
from serving.router import list_routes, set_route
from store.assistants import add_assistant, find_assistant
from store.columns import now
from store.consents import decide
from store.tables import Admission, Assistant, Channel, Consent, Delivery, Message

GROUP = {"account": "tg", "platform": "telegram", "channel": "tg:-5", "private": False}
MOVED = GROUP | {"channel": "tg:-1005"}


async def rows(database):
    async with database.session() as session:
        return list(await session.scalars(select(Message).order_by(Message.id)))


def answered(events):
    return any(isinstance(one, Answer) for one in events)


def seen(fake_engine):
    return [message["content"] for message in fake_engine.requests[-1][1][1:]]


async def test_an_edited_message_is_remembered_as_it_is_now(conversation, ask, database, fake_engine):
    await ask("I like red", external_id="5")
    await conversation.edited("web:a", "5", "I like blue")
    await ask("What do I like?")
    assert seen(fake_engine) == ["I like blue", "Hello there.", "What do I like?"]
    assert (await rows(database))[0].edited_at is not None


async def test_an_edit_while_the_message_waits_counts(conversation, ask, incoming, fake_engine):
    gate = asyncio.Event()
    fake_engine.script = [[gate, "first"], ["second"]]
    first = asyncio.create_task(ask("One"))
    await until(lambda: fake_engine.running)
    waiting = conversation.handle(incoming("Tow", external_id="2"))
    await anext(waiting)
    await conversation.edited("web:a", "2", "Two")
    gate.set()
    assert answered([one async for one in waiting])
    await first
    assert seen(fake_engine)[-1] == "Two"


async def test_edits_of_what_is_not_kept_or_not_a_message_change_nothing(conversation, ask, database):
    await ask("/help", external_id="1")
    await ask("Hello", external_id="2")
    for channel, external_id, text in (
        ("web:a", "1", "/reset"), ("web:a", "9", "x"), ("web:b", "2", "x"), ("web:a", "2", "  "),
    ):  # fmt: skip
        await conversation.edited(channel, external_id, text)
    assert [row.text for row in await rows(database)] == ["/help", "Hello", "Hello there."]


async def test_an_edit_cannot_bring_in_more_than_a_message_may_have(conversation, ask, database):
    await ask("Hello", external_id="1")
    await conversation.edited("web:a", "1", "\ud800" + "x" * 100_000)
    assert len((await rows(database))[0].text) == 8000


async def test_a_deleted_message_is_erased_and_its_answer_no_longer_remembered(
    conversation, ask, database, fake_engine
):
    await ask("A secret", external_id="5")
    await ask("Something else")
    await conversation.deleted("web:a", ["5", "77"])
    await conversation.deleted("web:a", ["5"])
    question, answer, *_ = await rows(database)
    assert (question.text, question.state, answer.state) == ("", "undone", "undone")
    await ask("What did I say?")
    assert seen(fake_engine) == ["Something else", "Hello there.", "What did I say?"]


async def test_a_message_that_is_deleted_while_it_waits_is_not_answered(conversation, ask, incoming, fake_engine):
    gate = asyncio.Event()
    fake_engine.script = [[gate, "first"], ["second"]]
    first = asyncio.create_task(ask("One"))
    await until(lambda: fake_engine.running)
    waiting = conversation.handle(incoming("Two", external_id="2"))
    await anext(waiting)
    await conversation.deleted("web:a", ["2"])
    gate.set()
    assert not answered([one async for one in waiting])
    await first
    assert len(fake_engine.requests) == 1


async def test_an_answer_whose_question_is_deleted_meanwhile_is_not_remembered(conversation, ask, fake_engine):
    gate = asyncio.Event()
    fake_engine.script = [["So", gate, " be it"], ["Fine"]]
    answering = asyncio.create_task(ask("A secret", external_id="1"))
    await until(lambda: fake_engine.running)
    await conversation.deleted("web:a", ["1"])
    gate.set()
    await answering
    await ask("Next")
    assert seen(fake_engine) == ["Next"]


async def test_undo_and_reset_leave_alone_what_came_after_them(conversation, ask, incoming, fake_engine, database):
    await ask("Old")
    gate = asyncio.Event()
    fake_engine.script = [[gate, "late"], ["New answer"]]
    slow = asyncio.create_task(ask("Slow"))
    await until(lambda: fake_engine.running)
    undoing, resetting = (conversation.handle(incoming(text)) for text in ("/undo", "/reset"))
    asking = conversation.handle(incoming("New"))
    for one in (undoing, resetting, asking):
        await anext(one)
    for one in (undoing, resetting):
        assert [event async for event in one]
    assert answered([event async for event in asking])
    await slow
    assert seen(fake_engine) == ["New"]


async def test_a_chat_that_moved_goes_on_with_all_that_was_known_of_it(conversation, ask, database, fake_engine):
    async with database.session() as session:
        await add_assistant(session, "garden", "You are the garden.", "demo")
        await set_route(session, "channel", "tg:-5", "garden")
        await set_route(session, "parent", "tg:-5", "harbour")
    await ask("Before", **GROUP, external_id="1", mentioned=True)
    await ask("/answer all", **GROUP, role="operator", external_id="2")
    async with database.session() as session:
        (row,) = list(await session.scalars(select(Channel)))
        session.add(Channel(key="tg:-5/7", parent_key="tg:-5", account="tg", private=False))
        session.add(Delivery(channel_id=row.id, key="answer:2:0", external_id="3", answer_id=2))
        garden = await find_assistant(session, "garden")
        garden.access = "pairing"
        session.add(Admission(assistant_id=garden.id, subject="tg:-5", title="Us", state="admitted", decided_at=now()))
        await decide(session, "telegram:1", "tg:-5", "in", "the notice")
    await conversation.moved("tg:-5", "tg:-1005")
    await conversation.moved("tg:-5", "tg:-1005")
    assert answered(await ask("After", **MOVED, external_id="1"))  # the new chat counts its messages anew
    assert [text.partition(": ")[2] or text for text in seen(fake_engine)] == ["Before", "Hello there.", "After"]
    assert fake_engine.requests[-1][1][0]["content"] == "You are the garden."
    async with database.session() as session:
        keys = {(one.key, one.parent_key) for one in await session.scalars(select(Channel))}
        assert keys == {("tg:-1005", None), ("tg:-1005/7", "tg:-1005")}
        assert [one.chat for one in await session.scalars(select(Consent))] == ["tg:-1005"]
        assert [one.subject for one in await session.scalars(select(Admission))] == ["tg:-1005"]
        assert (await session.scalars(select(Delivery))).one().external_id == "before:3"
        routes = await list_routes(session)
    assert ("channel", "tg:-1005", "garden") in routes and ("parent", "tg:-1005", "harbour") in routes
    assert all("tg:-5" not in key for _, key, _ in routes)


async def test_what_was_said_in_the_new_chat_before_the_move_was_known_becomes_part_of_it(
    conversation, ask, database, fake_engine
):
    await ask("Before", **GROUP, external_id="1", mentioned=True)
    await ask("Already there", **MOVED, external_id="1", mentioned=True)
    async with database.session() as session:
        await decide(session, "telegram:1", "tg:-5", "in", "the notice")
        await decide(session, "telegram:1", "tg:-1005", "out", "the notice")
        await decide(session, "telegram:2", "tg:-5", "out", "the notice")
    await conversation.moved("tg:-5", "tg:-1005")
    await ask("After", **MOVED, external_id="2", mentioned=True)
    assert seen(fake_engine)[0].endswith("Before") and seen(fake_engine)[2].endswith("Already there")
    async with database.session() as session:
        assert [one.key for one in await session.scalars(select(Channel))] == ["tg:-1005"]
        said = {(one.person, one.chat): one.state for one in await session.scalars(select(Consent))}
    assert said == {("telegram:1", "tg:-1005"): "out", ("telegram:2", "tg:-1005"): "out"}


async def test_moving_what_nobody_knows_changes_nothing(conversation, database):
    await conversation.moved("tg:-5", "tg:-1005")
    await conversation.deleted("tg:-5", ["1"])
    await conversation.left("tg:-5")
    async with database.session() as session:
        assert list(await session.scalars(select(Channel))) == []
        assert len(list(await session.scalars(select(Assistant)))) == 1


async def test_a_chat_with_a_name_that_begins_alike_is_another_chat(conversation, ask, database):
    await ask("Hello", **(GROUP | {"channel": "tg:-55"}), mentioned=True)
    await conversation.moved("tg:-5", "tg:-1005")
    async with database.session() as session:
        assert [one.key for one in await session.scalars(select(Channel))] == ["tg:-55"]
