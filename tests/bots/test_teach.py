"""/teach: from a message, from a reply to an answer, listed, taken back."""

from __future__ import annotations

import pytest
from sqlalchemy import select

from bots.events import Answer, Card, Notice
from store.columns import now
from store.consents import decide
from store.tables import Account, Delivery, Message, Vote
from tuning.teaching import taught_pairs

GROUP = {"channel": "tg:-5", "account": "tg", "platform": "telegram", "private": False}


def card_in(events):
    return next(event for event in events if isinstance(event, Card))


def notices(events):
    return [event.text for event in events if isinstance(event, Notice)]


async def pairs(database):
    return [(pair.question, pair.answer) for pair in await taught_pairs(database, "harbour")]


@pytest.fixture
def teach(ask):
    async def say(text, **more):
        return await ask(text, role="operator", **more)

    return say


@pytest.fixture
async def corrected(ask, database):
    """An answer to Mara's question in a group, shown as message 900."""
    async with database.session() as session:
        session.add(Account(name="tg", platform="telegram", external_id="1", username="bot", token="t"))
    events = await ask("Is the gate open?", author_id="7", author="Mara", mentioned=True, **GROUP)
    answer = next(event for event in events if isinstance(event, Answer))
    async with database.session() as session:
        channel = (await session.get_one(Message, answer.message_id)).channel_id
        session.add(Delivery(channel_id=channel, key=f"answer:{answer.message_id}:0", external_id="900",
                             answer_id=answer.message_id))  # fmt: skip
    return answer


@pytest.mark.parametrize("text", ["/teach When do you open? => At six.", "/teach When do you open?\nAt six."])
async def test_a_pair_is_taught_and_its_card_takes_it_back(teach, database, text):
    card = card_in(await teach(text))
    assert "“When do you open?” – “At six.”" in card.lines[0] and "/retrain" in card.lines[-1]
    assert await pairs(database) == [("When do you open?", "At six.")]
    back = card_in(await teach(card.buttons[0].command, pressed=True))
    assert back.key == card.key and back.title == "Taken back" and not back.buttons
    assert await pairs(database) == []
    assert "not among the taught answers" in str(await teach(card.buttons[0].command))


async def test_line_breaks_and_the_bots_name_are_no_part_of_what_is_taught(teach, database):
    await teach("/teach@harbour_bot  When? => At six.\n\n- and at ten\n- and at noon ")
    assert await pairs(database) == [("When?", "At six.\n\n- and at ten\n- and at noon")]


async def test_without_words_the_newest_are_listed_each_with_a_button(teach):
    assert "not been taught any answers yet" in card_in(await teach("/teach")).title
    for number in range(7):
        await teach(f"/teach Where is pier {number}? => Left of crane {number}.")
    card = card_in(await teach("/teach"))
    assert card.title == "harbour was taught 7 answers; the newest 5"
    assert card.lines[0] == "1. “Where is pier 6?” – “Left of crane 6.”"
    assert [button.label for button in card.buttons] == [f"Take back {place}" for place in range(1, 6)]
    await teach(card.buttons[1].command)
    assert all("pier 5" not in line for line in card_in(await teach("/teach")).lines)


async def test_who_leaves_half_of_it_out_is_told_how(teach, database):
    for text in ("/teach When do you open?", "/teach => At six.", "/teach ="):
        assert "/teach When do you open? => At six." in notices(await teach(text))[0]
    assert await pairs(database) == []


async def test_members_cannot_teach(ask, database):
    assert "those who look after" in str(await ask("/teach When? => Never."))
    assert "those who look after" in str(await ask("/unteach 1"))


async def test_a_reply_teaches_the_better_answer_and_counts_as_a_vote_against_the_old(teach, corrected, database):
    async with database.session() as session:
        await decide(session, "telegram:7", "tg:-5", "in", "May I?")
        asked = await session.get_one(Message, corrected.answers)
        asked.created_at = now()
    card = card_in(await teach("/teach Since six, => friend.\nCome in.", reply_to="900", author_id="9", **GROUP))
    assert "your vote as bad" in " ".join(card.lines)
    assert await pairs(database) == [("Is the gate open?", "Since six, => friend.\nCome in.")]
    async with database.session() as session:
        vote = (await session.scalars(select(Vote))).one()
    assert (vote.message_id, vote.voter, vote.value) == (corrected.message_id, "telegram:9", -1)
    await teach("/teach Since seven.", reply_to="900", author_id="9", **GROUP)
    async with database.session() as session:
        assert (await session.scalars(select(Vote))).one().value == -1


async def test_the_words_of_somebody_who_has_not_agreed_are_not_taught(teach, corrected, database):
    sentence = notices(await teach("/teach Since six.", reply_to="900", author_id="9", **GROUP))[0]
    assert "Mara has not agreed" in sentence and "/teach question => answer" in sentence
    assert await pairs(database) == []
    async with database.session() as session:
        assert (await session.scalars(select(Vote))).all() == []


async def test_ones_own_question_may_be_corrected_without_being_asked(teach, corrected, database):
    await teach("/teach Since six.", reply_to="900", author_id="7", author="Mara", **GROUP)
    assert await pairs(database) == [("Is the gate open?", "Since six.")]


async def test_a_reply_to_anything_else_is_a_pair_like_any_other(teach, corrected, database):
    await teach("/teach When? => At six.", reply_to="901", author_id="9", **GROUP)
    assert await pairs(database) == [("When?", "At six.")]
    assert "better answer after /teach" in str(await teach("/teach", reply_to="900", author_id="9", **GROUP))


async def test_long_pairs_are_shortened_on_their_card(teach):
    card = card_in(await teach(f"/teach {'Why? ' * 100}=> {'Because. ' * 100}"))
    assert len(card.lines[0]) < 400
