from __future__ import annotations

import pytest
from sqlalchemy import event, select

from bots.events import Answer, Card, Done, Heard, Notice, Whisper
from store.conversations import find_channel
from store.left_behind import left_unanswered
from store.people import find_person
from store.tables import Channel, Message, Person

GROUP = {"account": "tg", "platform": "telegram", "channel": "tg:-100", "private": False, "title": "The crew"}
OPERATOR = GROUP | {"author_id": "1", "author": "Olga", "role": "operator"}


def answered(events):
    return any(isinstance(one, Answer) for one in events)


def sentences(events):
    return [one.text for one in events if isinstance(one, Notice | Whisper)]


def seen(fake_engine):
    return [message["content"] for message in fake_engine.requests[-1][1][1:]]


async def rows(database, *states):
    async with database.session() as session:
        query = select(Message).where(Message.role == "user").order_by(Message.id)
        return [message for message in await session.scalars(query) if not states or message.state in states]


async def test_unasked_it_answers_and_keeps_only_what_is_said_to_it(ask, database):
    assert await ask("Just chatting", **GROUP) == []
    assert answered(await ask("And you?", **GROUP, mentioned=True))
    assert [message.text for message in await rows(database)] == ["And you?"]


async def test_where_all_is_answered_each_message_is(ask, database, fake_engine):
    await ask("/answer all", **OPERATOR)
    assert answered(await ask("Just chatting", **GROUP, author="Ben"))
    assert answered(await ask("Me too", **GROUP, author="Cleo"))
    assert seen(fake_engine) == ["Ben: Just chatting", "Hello there.", "Cleo: Me too"]
    assert [message.state for message in await rows(database, "said", "overheard")] == ["said", "said"]


async def test_where_it_listens_it_answers_nobody_unasked_but_knows_what_was_said(ask, database, fake_engine):
    await ask("/answer listen", **OPERATOR)
    assert await ask("The boat leaves at six", **GROUP, author="Ben") == []
    assert await ask("Make it seven", **GROUP, author="Cleo") == []
    assert fake_engine.requests == []
    assert answered(await ask("When does it leave?", **GROUP, author="Ada", mentioned=True))
    assert seen(fake_engine) == ["Ben: The boat leaves at six\nCleo: Make it seven\nAda: When does it leave?"]
    await ask("Thanks", **GROUP, author="Ben")
    await ask("And back?", **GROUP, author="Ada", mentioned=True)
    assert seen(fake_engine)[1:] == ["Hello there.", "Ben: Thanks\nAda: And back?"]


async def test_what_was_overheard_is_neither_left_unanswered_nor_undone_nor_answered_again(ask, database, fake_engine):
    await ask("/answer listen", **OPERATOR)
    await ask("Question", **GROUP, mentioned=True)
    await ask("Overheard", **GROUP)
    async with database.session() as session:
        assert await left_unanswered(session, "tg") == []
    await ask("/again", **GROUP)
    assert seen(fake_engine)[-1].endswith("Question")
    await ask("/undo", **GROUP)
    assert [message.text for message in await rows(database, "undone")] == ["Question"]
    assert [message.text for message in await rows(database, "overheard")] == ["Overheard"]
    assert "nothing to take back" in sentences(await ask("/undo", **GROUP))[0]


async def test_after_reset_what_was_overheard_before_is_not_seen(ask, fake_engine):
    await ask("/answer listen", **OPERATOR)
    await ask("Before", **GROUP)
    await ask("/reset", **GROUP)
    await ask("After", **GROUP, mentioned=True)
    assert seen(fake_engine) == ["Ada: After"]


async def test_a_message_that_is_overheard_twice_is_kept_once(ask, database):
    await ask("/answer listen", **OPERATOR)
    for _ in range(2):
        await ask("Just chatting", **GROUP, external_id="same")
    assert len(await rows(database, "overheard")) == 1


@pytest.mark.parametrize("mode", ["mentions", "all", "listen"])
async def test_commands_of_other_bots_are_left_to_them(ask, mode, fake_engine):
    await ask(f"/answer {mode}", **OPERATOR)
    assert await ask("/weather Hamburg", **GROUP) == []
    assert any(isinstance(one, Card) for one in await ask("/help", **GROUP))
    assert "I don’t know /weather" in sentences(await ask("/weather", **GROUP, mentioned=True))[0]
    assert fake_engine.requests == []


async def test_where_all_is_answered_a_picture_without_words_is_no_reason_to_complain(ask, database):
    await ask("/answer all", **OPERATOR)
    assert await ask("", **GROUP) == []
    assert await ask("x" * 9000, **GROUP) != [] and len((await rows(database))[-1].text) == 8000


async def test_the_mode_is_shown_and_chosen_with_buttons_by_operators_alone(ask):
    card = next(one for one in await ask("/answer", **OPERATOR) if isinstance(one, Card))
    assert {button.command for button in card.buttons} == {"/answer all", "/answer listen"}
    card = next(one for one in await ask("/answer all", **OPERATOR, pressed=True) if isinstance(one, Card))
    assert {button.command for button in card.buttons} == {"/answer mentions", "/answer listen"}
    assert "look after" in sentences(await ask("/answer listen", **GROUP, author_id="7"))[0]
    assert "/answer mentions" in sentences(await ask("/answer sometimes", **OPERATOR))[0]
    assert "alone" in sentences(await ask("/answer all", role="operator"))[0]


async def test_a_mode_is_its_channels_and_a_new_thread_begins_with_its_parents(ask, conversation, database):
    await ask("/answer all", **OPERATOR)
    assert await ask("Hello", **(GROUP | {"channel": "tg:-200"})) == []
    thread = GROUP | {"channel": "tg:-100/5", "parent": "tg:-100"}
    assert answered(await ask("Hello", **thread))
    await ask("/answer mentions", **OPERATOR)
    assert await ask("Hello", **GROUP) == []
    assert answered(await ask("Hello", **thread))


async def test_a_busy_group_that_is_not_for_us_costs_no_query(ask, database):
    await ask("First", **GROUP)
    asked: list[str] = []

    def note(connection, cursor, statement, parameters, context, many):
        asked.append(statement)

    for engine in (database.engine.sync_engine, database._quick.sync_engine, database._reader):
        event.listen(engine, "before_cursor_execute", note)
    for at in range(50):
        assert await ask(f"Chatting {at}", **GROUP) == []
    assert asked == []
    await ask("Hello", **GROUP, mentioned=True)
    assert asked  # or this test would see nothing at all


async def test_who_wrote_and_where_is_kept_with_what_they_wrote(ask, database):
    await ask("Hello", **GROUP, author_id="7", author="Ada", username="countess", mentioned=True)
    (message,) = await rows(database)
    async with database.session() as session:
        channel = await find_channel(session, "tg:-100")
        ada = await find_person(session, "telegram:7")
    assert message.author_key == "telegram:7" and channel.title == "The crew"
    assert (ada.name, ada.username) == ("Ada", "countess")
    await ask("Hello", **(GROUP | {"title": "The old crew"}), author_id="7", author="Ada L.", mentioned=True)
    await ask("Hello", **(GROUP | {"title": None}), author_id="7", author="Ada L.", mentioned=True)
    async with database.session() as session:
        assert (await find_channel(session, "tg:-100")).title == "The old crew"
        (ada,) = list(await session.scalars(select(Person)))
    assert (ada.name, ada.username) == ("Ada L.", "countess")


async def test_the_first_event_comes_when_the_message_is_committed(conversation, incoming, database):
    async for one in conversation.handle(incoming("Hello", **GROUP, mentioned=True)):
        assert isinstance(one, Heard)
        assert [message.text for message in await rows(database)] == ["Hello"]
        break


async def test_what_is_overheard_is_committed_when_the_iteration_ends(conversation, incoming, database, ask):
    await ask("/answer listen", **OPERATOR)
    assert await anext(conversation.handle(incoming("Hello", **GROUP)), None) is None
    assert [message.text for message in await rows(database, "overheard")] == ["Hello"]


async def test_when_it_is_added_it_says_who_it_is_and_how_to_address_it_once(conversation, incoming, database):
    added = incoming("", **GROUP, external_id="added-1")
    events = [one async for one in conversation.greeting(added)]
    assert "I am harbour" in sentences(events)[0] and "reply to me" in sentences(events)[0]
    assert [one async for one in conversation.greeting(added)] == [Done()]
    await conversation.left("tg:-100")
    async with database.session() as session:
        assert not (await find_channel(session, "tg:-100")).present
    assert sentences([one async for one in conversation.greeting(incoming("", **GROUP, external_id="added-2"))])
    async with database.session() as session:
        assert (await find_channel(session, "tg:-100")).present


async def test_a_link_that_begins_with_a_word_begins_all_the_same(ask):
    assert "I am harbour" in sentences(await ask("/start from-the-website"))[0]


async def test_leaving_a_server_leaves_all_its_channels(conversation, database):
    async with database.session() as session:
        for key, parent in (("dc:1", None), ("dc:2", "dc:1")):
            session.add(Channel(key=key, account="dc", server_key="dc:9", parent_key=parent, private=False))
        session.add(Channel(key="dc:3", account="dc", private=False))
    await conversation.left("dc:9")
    async with database.session() as session:
        present = dict((await session.execute(select(Channel.key, Channel.present))).tuples().all())
    assert present == {"dc:1": False, "dc:2": False, "dc:3": True}
