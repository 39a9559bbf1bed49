from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator

import pytest
from fake_engine import words
from small_platform import Killed, SmallPlatform
from sqlalchemy import select, update

from bots.answering import buttons_of
from bots.conversation import Conversation
from bots.events import Answer, Button, Card, Done, Event, Heard, Moved, Notice, Removed, Said, Sample, Whisper
from bots.incoming import Incoming
from bots.outlet import Part
from bots.presenter import Presenter
from store.conversations import Figures, begin_answer, finish_answer, open_channel
from store.tables import Delivery, Message

BUTTONS = (Button("Again", "/again"),)


class Chat:
    """One channel with its rows, presented on a small platform."""

    def __init__(self, database, *, account="small", private=True, **platform):
        self.database = database
        self.account, self.channel = account, f"{account}:1"
        self.platform = SmallPlatform(**platform)
        self.presenter = Presenter(database)
        self.private = private
        self.ids = iter(range(1, 100))

    async def heard(self, text="Hello", *, command=False, external_id=None) -> tuple[Incoming, Message]:
        external_id = external_id or str(next(self.ids))
        async with self.database.session() as session:
            channel = await open_channel(session, self.channel, self.account, None, None, self.private)
            message = Message(
                channel_id=channel.id, external_id=external_id, role="user", author="Ada", text=text,
                state="command" if command else "said",
            )  # fmt: skip
            session.add(message)
        return self.incoming(text, external_id), message

    def incoming(self, text, external_id, **more):
        return Incoming(self.account, self.channel, "7", "Ada", "member", text, external_id, private=self.private,
                        platform="small", **more)  # fmt: skip

    async def begun(self, question) -> int:
        async with self.database.session() as session:
            return (await begin_answer(session, question, "")).id

    async def settle(self, answer_id, text, state="said"):
        async with self.database.session() as session:
            await finish_answer(session, answer_id, state, text, "harbour@v1", Figures())

    async def present(self, incoming, *events: Event):
        await self.presenter.present(stream(*events), incoming, self.platform)

    async def restarted(self, incoming=None, *events: Event):
        """As a new process: what was left is shown again, then a left message's events."""
        self.presenter = Presenter(self.database)
        for left in await self.presenter.left_undelivered(self.account):
            await self.presenter.redeliver(left, self.platform)
        if incoming is not None:
            await self.present(incoming, *events)

    async def rows(self):
        async with self.database.session() as session:
            return list(await session.scalars(select(Delivery).order_by(Delivery.id)))

    async def delivered(self, message_id) -> bool:
        async with self.database.session() as session:
            return (await session.get_one(Message, message_id)).delivered_at is not None


async def stream(*events: Event) -> AsyncIterator[Event]:
    for event in events:
        yield event


class Live:
    """Events that a test gives one by one."""

    def __init__(self):
        self.queue = asyncio.Queue()

    def __aiter__(self):
        return self

    async def __anext__(self):
        event = await self.queue.get()
        if event is None:
            raise StopAsyncIteration
        return event

    def give(self, *events):
        for event in events:
            self.queue.put_nowait(event)


@pytest.fixture
def chat(database):
    return Chat(database)


async def asked(chat, text="Hello"):
    incoming, question = await chat.heard(text)
    return incoming, question, await chat.begun(question)


async def test_an_answer_that_comes_at_once_is_one_message_with_its_buttons(chat):
    incoming, question, answer = await asked(chat)
    await chat.present(
        incoming, Heard(question.id), Said(answer, "He"), Said(answer, "llo."),
        Answer(answer, question.id, "Hello.", "harbour@v1", buttons=BUTTONS), Done(),
    )  # fmt: skip
    assert chat.platform.texts == ["Hello."]
    assert [message.buttons for message in chat.platform.messages.values()] == [BUTTONS]
    assert "edit" not in chat.platform.calls
    assert await chat.delivered(answer)


async def test_the_row_is_there_before_the_message_and_its_name_after(chat):
    incoming, question, answer = await asked(chat)

    def look(call):
        if call == "send":
            raise Killed

    chat.platform.at = look
    with pytest.raises(Killed):
        await chat.present(incoming, Heard(question.id), Answer(answer, question.id, "Hello.", "h@v1"), Done())
    seen = [(row.key, row.external_id, row.answer_id) for row in await chat.rows()]
    assert seen == [(f"answer:{answer}:0", None, answer)]
    assert not await chat.delivered(answer)


async def test_a_long_wait_shows_typing_and_the_answer_ends_it(chat, monkeypatch):
    monkeypatch.setattr("bots.showing.TYPING_EVERY", 0.0)
    monkeypatch.setattr("bots.showing.HOLD", 0.0)
    incoming, question, answer = await asked(chat)
    live = Live()
    presenting = asyncio.create_task(chat.presenter.present(live, incoming, chat.platform))
    live.give(Heard(question.id))
    await chat.platform.until(lambda: chat.platform.calls.count("typing") > 3)
    live.give(Said(answer, "Now "))
    await chat.platform.until(lambda: chat.platform.messages)
    typed = chat.platform.calls.count("typing")
    live.give(Said(answer, "then."), Answer(answer, question.id, "Now then.", "h@v1"), Done(), None)
    await presenting
    assert chat.platform.calls.count("typing") == typed


async def test_an_answer_grows_in_one_message_plain_until_it_is_whole(chat, monkeypatch):
    monkeypatch.setattr("bots.showing.HOLD", 0.0)
    incoming, question, answer = await asked(chat)
    live = Live()
    presenting = asyncio.create_task(chat.presenter.present(live, incoming, chat.platform))
    live.give(Heard(question.id), Said(answer, "**Bo"))
    await chat.platform.until(lambda: chat.platform.texts == ["**Bo"])
    live.give(Said(answer, "ld** and"))
    await chat.platform.until(lambda: chat.platform.texts == ["**Bold** and"])
    live.give(Answer(answer, question.id, "**Bold** and so on", "h@v1", buttons=BUTTONS), Done(), None)
    await presenting
    (message,) = chat.platform.messages.values()
    assert [part.plain for part in message.history] == [True, True, False]
    assert message.text == "**Bold** and so on" and message.buttons == BUTTONS


async def test_edits_keep_the_pace_and_none_is_made_without_a_change(chat, monkeypatch):
    monkeypatch.setattr("bots.showing.HOLD", 0.0)
    chat.platform.pace = 3600.0
    incoming, question, answer = await asked(chat)
    live = Live()
    presenting = asyncio.create_task(chat.presenter.present(live, incoming, chat.platform))
    live.give(Heard(question.id), Said(answer, "One "))
    await chat.platform.until(lambda: chat.platform.messages)
    for word in ("two ", "three ", "four "):
        live.give(Said(answer, word))
        await asyncio.sleep(0)
    live.give(Answer(answer, question.id, "One two three four", "h@v1"), Done(), None)
    await presenting
    (message,) = chat.platform.messages.values()
    assert [part.text for part in message.history] == ["One", "One two three four"]


async def test_what_outgrows_a_message_goes_on_in_the_next_and_buttons_stand_under_the_last(chat, monkeypatch):
    monkeypatch.setattr("bots.showing.HOLD", 0.0)
    incoming, question, answer = await asked(chat)
    words = [f"word{number} " for number in range(60)]
    live = Live()
    presenting = asyncio.create_task(chat.presenter.present(live, incoming, chat.platform))
    live.give(Heard(question.id))
    for word in words:
        live.give(Said(answer, word))
        await asyncio.sleep(0)
    await chat.platform.until(lambda: len(chat.platform.messages) > 1)
    live.give(Answer(answer, question.id, "".join(words), "h@v1", buttons=BUTTONS), Done(), None)
    await presenting
    assert " ".join(chat.platform.texts) == "".join(words).strip()
    assert [bool(message.buttons) for message in chat.platform.messages.values()] == [False, False, True]
    assert [row.key for row in await chat.rows()] == [f"answer:{answer}:{number}" for number in range(3)]


async def test_an_answer_that_becomes_shorter_leaves_no_message_behind(chat, monkeypatch):
    monkeypatch.setattr("bots.showing.HOLD", 0.0)
    incoming, question, answer = await asked(chat)
    live = Live()
    presenting = asyncio.create_task(chat.presenter.present(live, incoming, chat.platform))
    live.give(Heard(question.id), Said(answer, "word " * 100))
    await chat.platform.until(lambda: len(chat.platform.messages) == 3)
    live.give(Notice("It broke.", "warning", message_id=answer), Done(), None)
    await presenting
    assert chat.platform.texts == ["It broke."]
    assert len(await chat.rows()) == 1 and await chat.delivered(answer)


async def test_formatting_that_is_refused_goes_plain(chat):
    chat.platform.refuses = lambda text: "**" in text
    incoming, question, answer = await asked(chat)
    await chat.present(
        incoming, Heard(question.id), Answer(answer, question.id, "**Hello**", "h@v1", buttons=BUTTONS), Done()
    )
    (message,) = chat.platform.messages.values()
    assert message.part == Part("**Hello**", plain=True) and message.buttons == BUTTONS


async def test_a_message_that_is_gone_is_sent_anew_though_its_nonce_is_remembered(chat, monkeypatch):
    monkeypatch.setattr("bots.showing.HOLD", 0.0)
    incoming, question, answer = await asked(chat)
    live = Live()
    presenting = asyncio.create_task(chat.presenter.present(live, incoming, chat.platform))
    live.give(Heard(question.id), Said(answer, "Hel"))
    await chat.platform.until(lambda: chat.platform.messages)
    (gone,) = chat.platform.messages
    lost = chat.platform.messages.pop(gone)
    live.give(Answer(answer, question.id, "Hello", "h@v1"), Done(), None)
    await presenting
    assert chat.platform.texts == ["Hello"]
    ((external_id, message),) = chat.platform.messages.items()
    assert message.nonce != lost.nonce
    assert [row.external_id for row in await chat.rows()] == [external_id]


async def test_a_channel_that_is_gone_ends_the_showing_quietly(chat):
    incoming, question, answer = await asked(chat)
    chat.platform.gone = True
    await chat.present(incoming, Heard(question.id), Answer(answer, question.id, "Hello", "h@v1"), Done())
    assert not await chat.delivered(answer)


async def test_what_an_outlet_cannot_explain_is_raised(chat):
    def fail(call):
        raise RuntimeError("out of order")

    chat.platform.at = fail
    incoming, question, answer = await asked(chat)
    with pytest.raises(RuntimeError):
        await chat.present(incoming, Heard(question.id), Answer(answer, question.id, "Hello", "h@v1"), Done())


async def test_a_passing_notice_becomes_the_answer(chat):
    incoming, question, answer = await asked(chat)
    await chat.present(
        incoming, Heard(question.id), Notice("The engine is warming.", passing=True),
        Notice("Nearly there.", passing=True), Said(answer, "Hello"),
        Answer(answer, question.id, "Hello", "h@v1", buttons=BUTTONS), Done(),
    )  # fmt: skip
    (message,) = chat.platform.messages.values()
    assert [part.text for part in message.history] == ["The engine is warming.", "Nearly there.", "Hello"]
    assert [(row.key, row.answer_id) for row in await chat.rows()] == [(f"answer:{answer}:0", answer)]


async def test_a_lasting_notice_stays_above_the_answer(chat):
    incoming, question, answer = await asked(chat)
    await chat.present(
        incoming, Heard(question.id), Notice("Passing.", passing=True), Notice("I read half of it."),
        Answer(answer, question.id, "Hello", "h@v1"), Done(),
    )  # fmt: skip
    assert chat.platform.texts == ["I read half of it.", "Hello"]


async def test_our_own_sentences_show_every_character_they_hold(chat):
    incoming, question = await chat.heard("/x", command=True)
    await chat.present(incoming, Heard(question.id, command=True), Notice("Use /a_b_c or *that*."), Done())
    assert chat.platform.texts == [r"Use /a\_b\_c or \*that\*."]
    assert await chat.delivered(question.id)


async def test_a_whisper_is_for_one_and_a_message_where_that_cannot_be(chat):
    incoming, question = await chat.heard("/vote good 1", command=True)
    await chat.present(incoming, Heard(question.id, command=True), Whisper("Noted."), Done())
    chat.platform.whispers = False
    incoming, question = await chat.heard("/vote bad 1", command=True)
    await chat.present(incoming, Heard(question.id, command=True), Whisper("Noted, too."), Done())
    assert (chat.platform.whispered, chat.platform.texts) == (["Noted."], ["Noted, too."])


async def test_what_was_refused_before_it_was_logged_is_answered_without_a_row(chat):
    await chat.present(chat.incoming("?", "9"), Notice("You are a stranger here.", "warning"), Done())
    assert chat.platform.texts == ["You are a stranger here."] and not await chat.rows()


async def test_an_answer_to_nobody_shows_nothing(chat):
    await chat.present(chat.incoming("among themselves", "9"))
    assert not chat.platform.calls


async def test_in_groups_the_question_is_replied_to_and_in_private_not(database):
    for private in (True, False):
        chat = Chat(database, account=f"private-{private}", private=private)
        incoming, question, answer = await asked(chat)
        text = "word " * 60
        await chat.present(incoming, Heard(question.id), Answer(answer, question.id, text, "h@v1"), Done())
        replies = [message.reply_to for message in chat.platform.messages.values()]
        assert replies == ([None, None] if private else [incoming.external_id, None])


async def test_a_pressed_again_replies_to_the_question_not_to_the_press(database):
    chat = Chat(database, private=False)
    _, question, answer = await asked(chat)
    press = chat.incoming("/again", "press-1", pressed=True, reply_to="55")
    await chat.present(press, Heard(question.id, command=True), Answer(answer, question.id, "Hi", "h@v1"), Done())
    assert [message.reply_to for message in chat.platform.messages.values()] == [question.external_id]


async def test_undone_answers_lose_their_buttons_and_keep_their_text(chat):
    incoming, question, answer = await asked(chat)
    text = "word " * 60
    await chat.settle(answer, text)
    await chat.present(incoming, Heard(question.id), Answer(answer, question.id, text, "h@v1", buttons=BUTTONS), Done())
    before = chat.platform.texts
    undo, command = await chat.heard("/undo", command=True)
    await chat.present(
        undo, Heard(command.id, command=True), Removed((question.id, answer)), Notice("Taken back."), Done()
    )
    assert chat.platform.texts == [*before, "Taken back."]
    assert not any(message.buttons for message in chat.platform.messages.values())


async def test_an_answer_undone_while_it_was_shown_gets_no_buttons(chat):
    incoming, question, answer = await asked(chat)
    async with chat.database.session() as session:
        await session.execute(update(Message).where(Message.id == answer).values(state="undone"))
    cut = Answer(answer, question.id, "Hel", "h@v1", cut=True, buttons=BUTTONS)
    await chat.present(incoming, Heard(question.id), cut, Done())
    assert [(m.text, m.buttons) for m in chat.platform.messages.values()] == [("Hel", ())]


async def test_an_answer_cut_before_its_first_word_says_so(chat):
    incoming, question, answer = await asked(chat)
    await chat.present(incoming, Heard(question.id), Answer(answer, question.id, "", "h@v1", cut=True), Done())
    assert chat.platform.texts == ["Stopped."]


async def test_another_assistant_is_announced(chat):
    incoming, question = await chat.heard("/assistant garden", command=True)
    await chat.present(incoming, Heard(question.id, command=True), Moved("garden"), Done())
    assert chat.platform.texts == ["garden answers here from now on."]


async def test_a_card_stays_one_message_and_its_last_state_arrives(chat):
    chat.platform.pace = 3600.0
    incoming, question = await chat.heard("/retrain start", command=True)
    steps = [Card("job-1", "Learning", bar=share / 10) for share in range(10)]
    await chat.present(
        incoming, Heard(question.id, command=True), *steps, Card("job-1", "Done", ("It went well.",)), Done()
    )
    (message,) = chat.platform.messages.values()
    assert message.text == "**Done**\n\nIt went well."
    assert len(message.history) <= 2
    assert [row.key for row in await chat.rows()] == ["card:job-1"]


async def test_a_card_reads_well_as_text(chat):
    chat.platform.limit = 1000
    sample = Sample("Where is the *pier*?", (("Untuned", "I do not know."), ("harbour@v2", "Past the crane,\nleft.")))
    card = Card("report", "harbour@v2 has_learnt", ("31% better.",), bar=0.5, samples=(sample,), buttons=BUTTONS)
    incoming, question = await chat.heard("/x", command=True)
    await chat.present(incoming, Heard(question.id, command=True), card, Done())
    (message,) = chat.platform.messages.values()
    assert message.text == (
        "**harbour@v2 has\\_learnt**\n\n31% better.\n▓▓▓▓▓▓░░░░░░ 50%\n\n"
        "**Where is the \\*pier\\*?**\n> **Untuned:** I do not know.\n> **harbour@v2:** Past the crane,\n> left."
    )
    assert message.buttons == BUTTONS


async def test_a_card_too_long_for_one_message_keeps_its_buttons_under_the_last(chat):
    lines = tuple(f"Line {number} says something of some length." for number in range(12))
    incoming, question = await chat.heard("/help", command=True)
    await chat.present(incoming, Heard(question.id, command=True), Card("help", "Help", lines, buttons=BUTTONS), Done())
    assert len(chat.platform.messages) > 1
    assert [bool(m.buttons) for m in chat.platform.messages.values()][-1] is True
    assert not any(m.buttons for m in list(chat.platform.messages.values())[:-1])


async def test_a_card_asked_for_again_moves_down_and_leaves_nothing_above(chat):
    for _ in range(2):
        incoming, question = await chat.heard("/help", command=True)
        lines = tuple(f"Line {number} says something of some length." for number in range(12))
        await chat.present(
            incoming, Heard(question.id, command=True), Notice("Here:"), Card("help", "Help", lines), Done()
        )
    notices = [n for n, text in enumerate(chat.platform.texts) if text == "Here:"]
    assert notices == [0, 1]
    assert len([row for row in await chat.rows() if row.key.startswith("card")]) == len(chat.platform.messages) - 2


async def test_a_pressed_button_changes_the_card_it_stands_under(chat):
    incoming, question = await chat.heard("/compare", command=True)
    await chat.present(incoming, Heard(question.id, command=True), Card("compare-1", "Which?", buttons=BUTTONS), Done())
    (external_id,) = chat.platform.messages
    _, press = await chat.heard("/compare 1 left", command=True, external_id="press-1")
    pressed = chat.incoming("/compare 1 left", "press-1", pressed=True, reply_to=external_id)
    await chat.present(pressed, Heard(press.id, command=True), Card("compare-1", "Left was harbour@v2"), Done())
    (message,) = chat.platform.messages.values()
    assert message.text == "**Left was harbour@v2**" and not message.buttons


async def test_two_who_follow_one_card_see_one_message_that_the_later_one_keeps(chat):
    first, one = await chat.heard("/retrain", command=True)
    second, two = await chat.heard("/retrain", command=True)
    live, later = Live(), Live()
    following = asyncio.create_task(chat.presenter.present(live, first, chat.platform))
    live.give(Heard(one.id, command=True), Card("job-1", "Learning", bar=0.1))
    await chat.platform.until(lambda: chat.platform.messages)
    joining = asyncio.create_task(chat.presenter.present(later, second, chat.platform))
    later.give(Heard(two.id, command=True), Notice("It is learning already."), Card("job-1", "Learning", bar=0.2))
    await chat.platform.until(lambda: "delete" in chat.platform.calls)
    for events in (live, later):
        events.give(Card("job-1", "Learnt"), Done(), None)
    await asyncio.gather(following, joining)
    assert chat.platform.texts == ["It is learning already.", "**Learnt**"]
    assert await chat.delivered(one.id) and await chat.delivered(two.id)


@pytest.mark.parametrize("tells", ["by nonce", "by looking"])
@pytest.mark.parametrize("call", ["at", "after"])
async def test_a_process_killed_at_any_send_leaves_each_part_once(database, call, tells):
    text = "word " * 100
    for kill in range(1, 4):
        chat = Chat(database, account=f"killed-{kill}")
        incoming, question, answer = await asked(chat)
        await chat.settle(answer, text)
        sends = 0

        def killed(name, chat=chat, kill=kill):
            nonlocal sends
            sends += name == "send"
            if name == "send" and sends == kill:
                raise Killed

        setattr(chat.platform, call, killed)
        with pytest.raises(Killed):
            await chat.present(
                incoming, Heard(question.id), Answer(answer, question.id, text, "h@v1", buttons=BUTTONS), Done()
            )
        setattr(chat.platform, call, lambda name: None)
        chat.platform.remembers_nonces = tells == "by nonce"
        chat.platform.finds = tells == "by looking"
        await chat.restarted()
        assert " ".join(chat.platform.texts) == text.strip()
        assert [bool(m.buttons) for m in chat.platform.messages.values()] == [False, False, True]
        assert await chat.delivered(answer)
        await chat.restarted()
        assert len(chat.platform.messages) == 3


async def test_what_was_delivered_is_not_shown_again(chat):
    incoming, question, answer = await asked(chat)
    await chat.settle(answer, "Hello")
    await chat.present(incoming, Heard(question.id), Answer(answer, question.id, "Hello", "h@v1"), Done())
    assert not await chat.presenter.left_undelivered("small")


async def test_an_answer_given_up_is_told_after_the_restart_and_old_ones_are_not(chat):
    _, _, answer = await asked(chat)
    await chat.settle(answer, "I let it be; please *ask* again.", "failed")
    await chat.restarted()
    assert chat.platform.texts == [r"I let it be; please \*ask\* again."]
    _, _, answer = await asked(chat, "long ago")
    await chat.settle(answer, "Old news")
    async with chat.database.session() as session:
        old = (await session.get_one(Message, answer)).created_at.replace(year=2020)
        await session.execute(update(Message).where(Message.id == answer).values(created_at=old))
    assert not await chat.presenter.left_undelivered("small")


async def test_a_redelivered_answer_has_the_buttons_of_any_answer(chat):
    _, _, answer = await asked(chat)
    await chat.settle(answer, "Hello")
    await chat.restarted()
    assert [m.buttons for m in chat.platform.messages.values()] == [buttons_of(answer)]


async def test_an_answer_begun_before_a_kill_goes_on_in_its_message(
    conversation, database, settings, fake_engine, incoming, monkeypatch
):
    monkeypatch.setattr("bots.showing.HOLD", 0.0)
    gate = asyncio.Event()
    fake_engine.script = [["The crane ", gate], ["The crane is red."]]
    platform = SmallPlatform()
    message = incoming("Which?", account="small", channel="small:1")
    presenting = asyncio.create_task(Presenter(database).present(conversation.handle(message), message, platform))
    await platform.until(lambda: platform.texts == ["The crane"])
    presenting.cancel()
    await asyncio.gather(presenting, return_exceptions=True)
    await conversation.close()

    again = Conversation(database, settings, fake_engine, words)
    (left,) = await again.unanswered("small")
    await Presenter(database).present(again.answer_left(left), left, platform)
    await again.close()
    assert platform.texts == ["The crane is red."]
    assert platform.calls.count("send") == 1


async def test_many_messages_at_once_keep_apart(database):
    chat = Chat(database)
    asked_ones = [await asked(chat, f"question {number}") for number in range(20)]
    await asyncio.gather(*(
        chat.present(incoming, Heard(q.id), Said(a, "so "), Answer(a, q.id, f"answer {q.text}", "h@v1"), Done())
        for incoming, q, a in asked_ones
    ))  # fmt: skip
    assert sorted(chat.platform.texts) == sorted(f"answer question {number}" for number in range(20))


class HeldUp(SmallPlatform):
    """The first message that holds `word` waits for `let_go`."""

    def __init__(self, word: str) -> None:
        super().__init__()
        self.word = word
        self.reached, self.let_go = asyncio.Event(), asyncio.Event()

    async def send(self, part, **more):
        if self.word in part.text:
            self.reached.set()
            await self.let_go.wait()
        return await super().send(part, **more)


async def two_answers(chat: Chat) -> list[tuple[Incoming, int]]:
    made = []
    for text in ("first", "second"):
        incoming, question = await chat.heard(text)
        made.append((incoming, await chat.begun(question)))
        await chat.settle(made[-1][1], text)
    return made


async def test_an_answer_that_is_long_in_being_shown_is_still_above_the_next_one(database):
    chat = Chat(database)
    chat.platform = HeldUp("first")
    (one, first), (two, second) = await two_answers(chat)
    holding = asyncio.create_task(
        chat.present(one, Said(first, "first"), Answer(first, 1, "first", "v1", buttons=BUTTONS), Done())
    )
    await asyncio.wait_for(chat.platform.reached.wait(), 10)
    waiting = asyncio.create_task(chat.present(two, Answer(second, 2, "second", "v1", buttons=BUTTONS), Done()))
    command, _ = await chat.heard("/status", command=True)
    await chat.present(command, Card("status", "All is well", ()), Done())
    assert [text.strip("*") for text in chat.platform.texts] == ["All is well"], "what is no answer waits for none"
    other = Chat(database)
    other.channel, other.presenter = "small:2", chat.presenter
    elsewhere, question = await other.heard("elsewhere")
    await other.present(elsewhere, Answer(await other.begun(question), 3, "elsewhere", "v1", buttons=BUTTONS), Done())
    assert other.platform.texts == ["elsewhere"]
    assert not waiting.done()
    chat.platform.let_go.set()
    await asyncio.wait_for(asyncio.gather(holding, waiting), 10)
    assert chat.platform.texts[1:] == ["first", "second"]


async def test_an_answer_that_cannot_be_shown_holds_up_no_other(database):
    chat = Chat(database)
    chat.platform = HeldUp("first")
    (one, first), (two, second) = await two_answers(chat)
    holding = asyncio.create_task(chat.present(one, Answer(first, 1, "first", "v1", buttons=BUTTONS), Done()))
    await asyncio.wait_for(chat.platform.reached.wait(), 10)
    waiting = asyncio.create_task(chat.present(two, Answer(second, 2, "second", "v1", buttons=BUTTONS), Done()))
    await asyncio.sleep(0.05)
    assert not waiting.done()
    holding.cancel()
    await asyncio.wait_for(waiting, 10)
    assert chat.platform.texts == ["second"]
