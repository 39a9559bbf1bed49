from __future__ import annotations

import asyncio

import pytest
from fake_engine import FakeEngine, words
from sqlalchemy import delete, select, update
from waiting import until

from bots.answering import BROKEN_OFF
from bots.conversation import Conversation
from bots.events import Answer, Card, Done, Heard, Moved, Notice, Removed, Said
from config.errors import EngineUnavailable, NotFound
from serving.entrance import GOES_ON
from serving.router import Place, resolve
from store.assistants import add_assistant
from store.conversations import find_channel, log_heard
from store.deliveries import mark_delivered
from store.people import give_role, take_roles
from store.tables import Account, Message


def answers(events):
    return [event for event in events if isinstance(event, Answer)]


def notices(events):
    return [event.text for event in events if isinstance(event, Notice)]


async def rows(database):
    async with database.session() as session:
        return list(await session.scalars(select(Message).order_by(Message.id)))


async def collect(conversation, message, into):
    async for event in conversation.handle(message):
        into.append(event)


async def test_a_message_is_logged_answered_in_pieces_and_the_answer_logged_with_its_figures(ask, database):
    events = await ask("Hello")
    assert [type(event) for event in events] == [Heard, Said, Said, Answer, Card, Done]  # the card asks for consent
    assert events[3].text == "Hello there." == "".join(e.text for e in events if isinstance(e, Said))
    question, answer = await rows(database)
    assert (question.text, question.role, question.author) == ("Hello", "user", "Ada")
    assert (answer.text, answer.state, answer.answers) == ("Hello there.", "said", question.id)
    assert (answer.version, answer.prompt_tokens, answer.answer_tokens) == ("base-demo@v0", 7, 2)
    assert answer.seconds == 0.2 and answer.seconds_to_first == 0.1


async def test_the_same_message_delivered_twice_is_answered_once(ask, fake_engine):
    first = await ask("Hello", external_id="same")
    second = await ask("Hello", external_id="same")
    assert answers(first) and second == [Done()]
    assert len(fake_engine.requests) == 1


async def test_the_same_id_in_another_channel_is_another_message(ask, fake_engine):
    await ask("Hello", external_id="same")
    assert answers(await ask("Hello", external_id="same", channel="web:b"))


async def test_the_model_sees_what_was_said_before_with_the_system_prompt_first(ask, fake_engine):
    await ask("Hello")
    await ask("And then?")
    assert fake_engine.requests[1][1] == [
        {"role": "system", "content": "You are the harbour."},
        {"role": "user", "content": "Hello"},
        {"role": "assistant", "content": "Hello there."},
        {"role": "user", "content": "And then?"},
    ]


async def test_messages_of_one_channel_are_answered_one_at_a_time_in_their_order(conversation, fake_engine, incoming):
    gate = asyncio.Event()
    fake_engine.script = [[gate, "first"], ["second"], ["third"]]
    shown = [[], [], []]
    tasks = [
        asyncio.create_task(collect(conversation, incoming(text), into))
        for text, into in zip(("one", "two", "three"), shown, strict=True)
    ]
    await until(lambda: all(into for into in shown) and fake_engine.requests)
    assert len(fake_engine.requests) == 1
    gate.set()
    await asyncio.gather(*tasks)
    assert [answers(into)[0].text for into in shown] == ["first", "second", "third"]
    assert fake_engine.most_running == 1
    assert fake_engine.requests[2][1][-1]["content"] == "three"
    assert fake_engine.requests[2][1][-2]["content"] == "second"


async def test_channels_do_not_wait_for_each_other(conversation, fake_engine, incoming, ask):
    gate = asyncio.Event()
    fake_engine.script = [[gate, "slow"], ["quick"]]
    slow: list[object] = []
    task = asyncio.create_task(collect(conversation, incoming("one"), slow))
    await until(lambda: len(fake_engine.requests) == 1)
    assert answers(await ask("two", channel="web:b"))[0].text == "quick"
    gate.set()
    await task


async def test_stop_ends_the_answer_and_keeps_what_was_said(conversation, fake_engine, incoming, ask, database):
    fake_engine.script = [["So far", asyncio.Event(), " never said"], ["Next"]]
    shown: list[object] = []
    task = asyncio.create_task(collect(conversation, incoming("Tell me"), shown))
    await until(lambda: any(isinstance(event, Said) for event in shown))
    assert notices(await ask("/stop")) == []
    await task
    assert answers(shown)[0].text == "So far" and answers(shown)[0].cut
    assert fake_engine.running == 0
    assert [row.state for row in await rows(database) if row.role == "assistant"] == ["cut"]
    await ask("Go on")
    assert {"role": "assistant", "content": "So far"} in fake_engine.requests[1][1]


async def test_stop_without_an_answer_under_way_says_so(ask):
    assert notices(await ask("/stop")) == ["I am not saying anything at the moment."]


async def test_while_the_engine_warms_the_person_is_told_and_then_answered(conversation, fake_engine, incoming):
    fake_engine.be("warming", "The engine is warming up. It takes about 20 more seconds.")
    shown: list[object] = []
    task = asyncio.create_task(collect(conversation, incoming("Hello"), shown))
    await until(lambda: notices(shown))
    assert "20 more seconds" in notices(shown)[0] and "as soon as it is ready" in notices(shown)[0]
    fake_engine.be("ready", "The engine is ready.")
    await task
    assert answers(shown)[0].text == "Hello there."


async def test_waiting_for_a_warming_engine_can_be_stopped(conversation, fake_engine, incoming, ask):
    fake_engine.be("warming", "The engine is warming up.")
    shown: list[object] = []
    task = asyncio.create_task(collect(conversation, incoming("Hello"), shown))
    await until(lambda: notices(shown))
    await ask("/stop")
    await task
    assert answers(shown)[0].cut and fake_engine.requests == []


async def test_an_engine_that_dies_before_the_first_word_is_asked_once_more(ask, fake_engine):
    fake_engine.script = [[EngineUnavailable("gone")], ["Here", " I am."]]
    events = await ask("Hello")
    assert answers(events)[0].text == "Here I am." and not notices(events)


async def test_an_engine_that_dies_twice_is_told_in_one_sentence(ask, fake_engine, database):
    fake_engine.script = [[EngineUnavailable("The engine is not there; ask again in a minute.")]]
    events = await ask("Hello")
    assert notices(events) == ["The engine is not there; ask again in a minute."]
    assert len(fake_engine.requests) == 2
    assert (await rows(database))[1].state == "failed"


async def test_an_engine_that_dies_in_the_middle_is_told_once_and_the_answer_goes_on(ask, fake_engine, database):
    fake_engine.script = [["So far", EngineUnavailable("gone")], [" and", " on."], ["Next."]]
    events = await ask("Hello")
    assert [e.text for e in events if isinstance(e, Said | Notice)] == ["So far", GOES_ON, " and", " on."]
    [whole] = answers(events)
    assert (whole.text, whole.cut) == ("So far and on.", False)
    assert [e for e in events if isinstance(e, Notice)] == [Notice(GOES_ON, passing=True)]
    row = (await rows(database))[1]
    assert (row.state, row.text, row.version) == ("said", "So far and on.", "base-demo@v0")
    assert row.answer_tokens == 4 and row.seconds >= row.seconds_to_first
    await ask("And then?")
    assert fake_engine.requests[2][1][-3:] == [
        {"role": "user", "content": "Hello"},
        {"role": "assistant", "content": "So far and on."},
        {"role": "user", "content": "And then?"},
    ]


async def test_an_engine_that_dies_again_cuts_the_answer_and_that_is_told(ask, fake_engine, database):
    fake_engine.script = [
        ["So far", EngineUnavailable("gone")],
        [" and on", EngineUnavailable("gone")],
        ["Never asked."],
    ]
    events = await ask("Hello")
    assert answers(events)[0].text == "So far and on" and answers(events)[0].cut
    assert len(fake_engine.requests) == 2 and notices(events) == [GOES_ON, BROKEN_OFF]
    assert (await rows(database))[1].state == "cut"


async def test_a_version_that_is_gone_when_the_engine_is_back_cuts_the_answer_and_nobody_says_it_anew(ask, fake_engine):
    fake_engine.script = [["So far", EngineUnavailable("gone")], [NotFound("Its files are gone.")], ["Never asked."]]
    events = await ask("Hello")
    assert answers(events)[0].text == "So far" and answers(events)[0].cut
    assert len(fake_engine.requests) == 2 and notices(events) == [GOES_ON, BROKEN_OFF]


async def test_stop_while_it_waits_to_go_on_ends_the_answer_as_it_is(
    conversation, fake_engine, incoming, ask, database
):
    gate = asyncio.Event()
    fake_engine.script = [["So far", gate, EngineUnavailable("gone")], ["Never asked."]]
    shown: list[object] = []
    task = asyncio.create_task(collect(conversation, incoming("Hello"), shown))
    await until(lambda: any(isinstance(event, Said) for event in shown))
    fake_engine.be("restarting", "The engine is being started again.")
    gate.set()
    await until(lambda: notices(shown))
    await ask("/stop")
    await task
    assert answers(shown)[0].text == "So far" and answers(shown)[0].cut
    assert len(fake_engine.requests) == 1 and notices(shown) == [GOES_ON]
    assert (await rows(database))[1].state == "cut"


async def test_an_unforeseen_error_is_one_sentence_and_the_channel_goes_on(ask, fake_engine):
    fake_engine.script = [[ValueError("private detail")], ["Fine"]]
    events = await ask("Hello")
    assert len(notices(events)) == 1 and "private detail" not in notices(events)[0]
    assert answers(await ask("Again?"))[0].text == "Fine"


async def test_an_answer_without_words_is_told_not_shown_empty(ask, fake_engine):
    fake_engine.script = [[" "]]
    events = await ask("Hello")
    assert not answers(events) and "no words" in notices(events)[0]


async def test_an_answer_is_finished_and_logged_when_its_reader_has_gone(conversation, fake_engine, incoming, database):
    gate = asyncio.Event()
    fake_engine.script = [["Some", gate, " more"]]
    reading = conversation.handle(incoming("Hello"))
    async for event in reading:
        if isinstance(event, Said):
            break
    await reading.aclose()
    gate.set()

    async def whole():
        stored = await rows(database)
        return stored if stored[-1].state != "open" else None

    stored = await until(whole)
    assert (stored[-1].text, stored[-1].state) == ("Some more", "said")


async def test_what_a_killed_process_left_is_answered_after_a_restart_and_only_then(
    conversation, database, settings, fake_engine, incoming, ask
):
    await ask("Answered")
    fake_engine.script = [[asyncio.Event()]]
    shown: list[object] = []
    task = asyncio.create_task(collect(conversation, incoming("Left"), shown))
    await until(lambda: len(fake_engine.requests) == 2)
    await conversation.close()
    await task
    again = Conversation(database, settings, FakeEngine([["Late, but here."]]), words)
    left = await again.unanswered("web")
    assert [message.text for message in left] == ["Left"]
    events = [event async for event in again.answer_left(left[0])]
    assert answers(events)[0].text == "Late, but here."
    assert await again.unanswered("web") == []
    assert await Conversation(database, settings, FakeEngine(), words).unanswered("web") == []
    assert [row.state for row in await rows(database)] == ["said", "said", "said", "said"]


async def test_a_message_that_was_left_twice_is_given_up_with_a_sentence(
    conversation, database, settings, fake_engine, incoming
):
    fake_engine.script = [[asyncio.Event()]]
    shown: list[object] = []
    task = asyncio.create_task(collect(conversation, incoming("Left"), shown))
    await until(lambda: len(fake_engine.requests) == 1)
    await conversation.close()
    await task
    second, third = (Conversation(database, settings, fake_engine, words) for _ in range(2))
    assert len(await second.unanswered("web")) == 1  # and this process dies as well
    assert await third.unanswered("web") == []
    answer = (await rows(database))[-1]
    assert answer.state == "failed" and "ask again" in answer.text


async def test_undo_takes_back_the_last_exchange(ask, fake_engine):
    await ask("One")
    await ask("Two")
    events = await ask("/undo")
    assert [len(event.message_ids) for event in events if isinstance(event, Removed)] == [2]
    await ask("Three")
    assert [m["content"] for m in fake_engine.requests[-1][1][1:]] == ["One", "Hello there.", "Three"]
    for _ in range(2):
        await ask("/undo")
    assert notices(await ask("/undo")) == ["There is nothing to take back yet."]


async def test_again_replaces_the_answer(ask, fake_engine, database):
    fake_engine.script = [["First"], ["Second"]]
    first = answers(await ask("Question"))[0]
    events = await ask("/again")
    second = answers(events)[0]
    assert second.text == "Second" and second.answers == first.answers
    assert Removed((first.message_id,)) in events
    assert fake_engine.requests[0][1] == fake_engine.requests[1][1]
    await ask("Next")
    assert "First" not in [m["content"] for m in fake_engine.requests[-1][1]]


async def test_again_in_the_middle_of_an_answer_stops_it_and_begins_afresh(conversation, fake_engine, incoming, ask):
    fake_engine.script = [["Half", asyncio.Event()], ["Whole"]]
    shown: list[object] = []
    task = asyncio.create_task(collect(conversation, incoming("Question"), shown))
    await until(lambda: any(isinstance(event, Said) for event in shown))
    assert answers(await ask("/again"))[0].text == "Whole"
    await task


async def test_after_reset_nothing_from_before_is_seen(ask, fake_engine):
    await ask("Before")
    await ask("/reset")
    await ask("After")
    assert [m["content"] for m in fake_engine.requests[-1][1]] == ["You are the harbour.", "After"]
    await ask("/undo")
    assert notices(await ask("/undo")) == ["There is nothing to take back yet."]


async def test_a_message_of_9000_characters_is_refused_kindly_and_not_kept(ask, database):
    events = await ask("x" * 9000)
    assert "9,000" in notices(events)[0] and "8,000" in notices(events)[0]
    assert await rows(database) == []


async def test_a_message_too_long_for_the_model_is_read_in_part_and_the_person_told(ask, fake_engine):
    events = await ask(" ".join(f"w{i}" for i in range(500)))
    assert "beginning and its end" in notices(events)[0] and answers(events)
    sent = fake_engine.requests[0][1][-1]["content"].split()
    assert sent[0] == "w0" and sent[-1] == "w499" and len(sent) < 60


async def test_lone_surrogates_and_right_to_left_text_are_taken(ask, fake_engine):
    assert answers(await ask("\ud800 שלום 👩‍👩‍👧"))
    assert "שלום 👩‍👩‍👧" in fake_engine.requests[0][1][-1]["content"]


async def test_an_empty_message_is_told_so(ask):
    assert "nothing in that message" in notices(await ask("   "))[0]


async def test_in_groups_only_what_is_meant_for_us_is_heard_and_speakers_are_named(ask, fake_engine, database):
    assert await ask("Just chatting", private=False) == []
    assert await rows(database) == []
    await ask("Hi all", private=False, mentioned=True, author="Ada Lovelace")
    await ask("And me?", private=False, mentioned=True, author="Ben")
    assert [m["content"] for m in fake_engine.requests[-1][1][1:]] == ["Ada: Hi all", "Hello there.", "Ben: And me?"]


async def test_help_shows_members_only_what_they_may_use(ask):
    card = next(event for event in await ask("/help") if isinstance(event, Card))
    text = "\n".join(card.lines)
    assert "/undo" in text and "/retrain" not in text
    card = next(event for event in await ask("/help", role="operator") if isinstance(event, Card))
    assert "/retrain" in "\n".join(card.lines)


async def test_a_member_cannot_use_an_operators_command(ask):
    assert "look after this assistant" in notices(await ask("/promote 1"))[0]


async def test_an_unknown_command_names_the_nearest(ask):
    assert "did you mean /reset?" in notices(await ask("/rest"))[0]
    assert "/help" in notices(await ask("/zzzzzz"))[0]
    assert "/retrain" not in notices(await ask("/retrian"))[0]


async def test_words_that_a_command_cannot_take_are_refused_with_its_usage(ask):
    assert "/promote [N]" in notices(await ask("/promote 1 2", role="operator"))[0]
    assert "/promote 3" in notices(await ask("/promote three", role="operator"))[0]


async def test_a_path_or_a_lone_slash_is_a_message_not_a_command(ask):
    assert answers(await ask("/usr/bin is where?"))
    assert answers(await ask("/ what does that mean"))


async def test_an_operator_moves_the_channel_to_another_assistant(ask, database, fake_engine):
    async with database.session() as session:
        await add_assistant(session, "garden", "You are the garden.", "demo")
    events = await ask("/assistant garden", role="operator")
    assert Moved("garden") in events
    await ask("Hello")
    assert fake_engine.requests[-1][1][0]["content"] == "You are the garden."
    async with database.session() as session:
        assert (await resolve(session, Place("web:other"))).assistant.name == "harbour"
    assert "There is no assistant" in notices(await ask("/assistant nobody", role="operator"))[0]


async def test_commands_are_not_part_of_what_the_model_sees(ask, fake_engine):
    await ask("/help")
    await ask("Hello")
    assert [m["content"] for m in fake_engine.requests[-1][1][1:]] == ["Hello"]


TELEGRAM = {"account": "tg", "platform": "telegram", "channel": "tg:7", "author_id": "7"}


@pytest.fixture
async def account(database):
    async with database.session() as session:
        session.add(Account(name="tg", platform="telegram", external_id="1", username="harbour_bot", token="t"))


async def _left_again(database, settings, fake_engine):
    """What a process finds that is started now, and all that comes of it."""
    made = Conversation(database, settings, fake_engine, words)
    left = await made.unanswered("tg")
    events = [[event async for event in made.answer_left(one)] for one in left]
    return left, events


async def test_a_command_that_was_logged_and_not_carried_out_is_carried_out_once_after_a_restart(
    ask, database, settings, account
):
    for message in ("One", "Two"):
        await ask(message, **TELEGRAM)
    async with database.session() as session:
        channel = await find_channel(session, "tg:7")
        await log_heard(session, channel, "9", "Ada", "/undo", state="command", author_key="telegram:7")
    left, (events,) = await _left_again(database, settings, FakeEngine())
    assert [(one.text, one.author_id, one.author, one.platform) for one in left] == [("/undo", "7", "Ada", "telegram")]
    assert any(isinstance(event, Removed) for event in events)
    assert [row.text for row in await rows(database) if row.state == "undone"] == ["Two", "Hello there."]
    assert (await _left_again(database, settings, FakeEngine()))[0] == []


@pytest.mark.parametrize(
    ("text", "expected"),
    [("/undo", "did not begin it a second time"), ("/reset", "begin anew"), ("/help", None), ("/stop", "")],
)
async def test_a_command_that_was_begun_and_not_shown_is_not_done_twice_where_that_matters(
    ask, database, settings, account, text, expected
):
    for message in ("One", "Two"):
        await ask(message, **TELEGRAM)
    before = await ask(text, **TELEGRAM)
    _, (events,) = await _left_again(database, settings, FakeEngine())
    if expected is None:
        assert [type(event) for event in events] == [type(event) for event in before]
    elif expected:
        assert expected in notices(events)[0]
    else:
        assert [type(event) for event in events] == [Heard, Done]
    assert [row.text for row in await rows(database) if row.state == "undone"] == (
        ["Two", "Hello there."] if text == "/undo" else []
    )
    assert (await _left_again(database, settings, FakeEngine()))[0] == []


async def test_a_command_that_was_shown_is_done_with(ask, database, settings, account):
    await ask("/undo", **TELEGRAM)
    async with database.session() as session:
        await mark_delivered(session, (await rows(database))[0].id)
    assert (await _left_again(database, settings, FakeEngine()))[0] == []


async def test_commands_of_the_page_are_not_said_again(ask, database, settings, account):
    await ask("/undo")
    made = Conversation(database, settings, FakeEngine(), words)
    assert await made.unanswered("web") == []


async def test_who_asked_an_operators_command_that_was_left_is_still_an_operator(
    conversation, ask, incoming, fake_engine, database, settings, account
):
    async with database.session() as session:
        await give_role(session, "telegram:7", None, "operator", "the test")
    await ask("/status", **TELEGRAM)
    _, (events,) = await _left_again(database, settings, FakeEngine())
    assert [event.title for event in events if isinstance(event, Card)] == ["How things are"]
    async with database.session() as session:
        await take_roles(session, "telegram:7", None)
        await session.execute(update(Message).values(state="command", delivered_at=None))
    _, (events,) = await _left_again(database, settings, FakeEngine())
    assert "look after this assistant" in notices(events)[0]


async def test_what_was_left_is_given_to_a_connector_that_starts_twice_until_it_is_taken_up(
    conversation, incoming, fake_engine, database, settings, account
):
    fake_engine.script = [[asyncio.Event()]]
    work = asyncio.create_task(collect(conversation, incoming("Left", **TELEGRAM), []))
    await until(lambda: fake_engine.running)
    await conversation.close()
    await work
    made = Conversation(database, settings, FakeEngine(), words)
    (left,) = await made.unanswered("tg")
    assert await made.unanswered("tg") == [left]
    assert answers([event async for event in made.answer_left(left)])
    assert await made.unanswered("tg") == []


async def test_nobody_is_answered_in_a_chat_that_the_assistant_was_removed_from(
    conversation, incoming, fake_engine, database, settings, account
):
    fake_engine.script = [[asyncio.Event()]]
    work = asyncio.create_task(collect(conversation, incoming("Left", **TELEGRAM), []))
    await until(lambda: fake_engine.running)
    await conversation.close()
    await work
    await conversation.left("tg:7")
    assert (await _left_again(database, settings, FakeEngine()))[0] == []


async def test_a_message_of_somebody_who_was_forgotten_while_it_waited_is_let_be(
    conversation, ask, incoming, fake_engine, database
):
    gate = asyncio.Event()
    fake_engine.script = [[gate, "first"], ["second"]]
    first = asyncio.create_task(ask("One"))
    await until(lambda: fake_engine.running)
    waiting = conversation.handle(incoming("Two"))
    await anext(waiting)
    async with database.session() as session:
        await session.execute(delete(Message).where(Message.external_id.is_not(None)))
    gate.set()
    assert [type(event) async for event in waiting] == [Done]
    await first


async def test_whoever_waits_to_be_heard_keeps_their_place_when_the_one_before_leaves(
    conversation, fake_engine, incoming, ask
):
    gate = asyncio.Event()
    fake_engine.script = [[gate, "first"], ["second"]]
    shown: list[list[object]] = [[], [], []]
    tasks = [
        asyncio.create_task(collect(conversation, incoming(text), into))
        for text, into in zip(("/help", "one", "two"), shown, strict=True)
    ]
    await tasks[0]
    await until(lambda: fake_engine.running)
    late: list[object] = []
    tasks.append(asyncio.create_task(collect(conversation, incoming("three"), late)))
    await until(lambda: late and all(shown))
    assert answers(await ask("elsewhere", channel="web:b"))  # meanwhile nobody here has gone ahead
    assert [request[1][-1]["content"] for request in fake_engine.requests] == ["one", "elsewhere"]
    gate.set()
    await asyncio.gather(*tasks)
    assert conversation._lines == {}


async def test_nobody_waits_for_what_was_stopped_before_it_began(conversation, incoming):
    waiting = [asyncio.create_task(collect(conversation, incoming("Hello"), [])) for _ in range(3)]
    await asyncio.sleep(0)  # their work is there now, and has not begun
    await conversation.close()
    async with asyncio.timeout(20):
        await asyncio.gather(*waiting)
