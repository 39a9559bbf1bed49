from __future__ import annotations

import re
from datetime import timedelta

import pytest
from sqlalchemy import func, select, update

from bots.access import ALPHABET, Access
from bots.events import Answer, Card, Done, Heard, Notice, Whisper
from bots.incoming import Incoming
from config.errors import NotFound, Refused
from serving.router import set_route
from store.assistants import add_assistant, find_assistant
from store.columns import now
from store.people import give_role
from store.tables import Admission, Assistant, Channel, Message, Person, RoleGiven, Route

CODE = re.compile(rf"[{ALPHABET}]{{4}}-[{ALPHABET}]{{4}}")
TELEGRAM = {"account": "tg", "platform": "telegram"}
GROUP = TELEGRAM | {"channel": "tg:-100", "private": False, "title": "The harbour crew"}
KEPT = (Message, Person, Channel)


def person(number, name="Ada"):
    return TELEGRAM | {"channel": f"tg:{number}", "author_id": str(number), "author": name}


OWNER = person(1, "Olga")


def sentences(events):
    return [event.text for event in events if isinstance(event, Notice | Whisper)]


def answered(events):
    return any(isinstance(event, Answer) for event in events)


def code_in(events):
    return CODE.search(" ".join(sentences(events)))[0]


async def count(database, *tables):
    async with database.session() as session:
        return [await session.scalar(select(func.count()).select_from(table)) for table in tables]


@pytest.fixture
async def be(database):
    """Sets who may talk with harbour."""

    async def become(access: str) -> None:
        async with database.session() as session:
            await session.execute(update(Assistant).values(access=access))

    async with database.session() as session:
        await give_role(session, "telegram:1", None, "owner", "the test")
    return become


async def test_a_stranger_gets_a_code_and_nothing_they_wrote_is_kept(conversation, ask, be, database, fake_engine):
    await be("pairing")
    events = await ask("A secret", **person(7))
    assert len(sentences(events)) == 1 and code_in(events)
    assert not any(isinstance(event, Heard) for event in events)
    assert fake_engine.requests == [] and await count(database, *KEPT) == [0, 0, 0]
    async with database.session() as session:
        row = (await session.scalars(select(Admission))).one()
        assert (row.subject, row.title, row.state) == ("telegram:7", "Ada", "waiting")
        assert code_in(events).replace("-", "") not in f"{row.code_digest}"
        assert timedelta(minutes=59) < row.expires_at - now() <= timedelta(hours=1)


async def test_a_code_stays_the_same_while_it_is_good_and_is_another_for_everybody(conversation, ask, be):
    await be("pairing")
    first = code_in(await ask("Hello", **person(7)))
    assert code_in(await ask("Hello?", **person(7))) == first
    assert code_in(await ask("Hello", **person(8))) != first


async def test_once_let_in_from_chat_a_person_is_answered_and_what_they_wrote_before_is_not_known(
    ask, be, database, fake_engine
):
    await be("pairing")
    code = code_in(await ask("Before", **person(7)))
    assert sentences(await ask(f"/admit {code.lower()}", **OWNER)) == ["Ada may talk with harbour from now on."]
    assert answered(await ask("After", **person(7)))
    assert [m["content"] for m in fake_engine.requests[-1][1][1:]] == ["After"]
    assert not answered(await ask("Me too", **person(8)))


async def test_who_waits_is_listed_with_buttons_that_let_in_and_refuse(ask, be):
    await be("pairing")
    code = code_in(await ask("Hello", **person(7)))
    await ask("Hello", **person(8, "Ben"))
    card = next(event for event in await ask("/admit", **OWNER) if isinstance(event, Card))
    assert code in card.lines[0] and "telegram:7" in card.lines[0] and "Ben" in card.lines[1]
    commands = [button.command for button in card.buttons]
    await ask(commands[0], **OWNER, pressed=True)
    refused = sentences(await ask(commands[3], **OWNER, pressed=True))
    assert "Ben was refused" in refused[0]
    assert answered(await ask("Hello", **person(7)))
    assert not answered(await ask("Hello", **person(8, "Ben")))
    card = next(event for event in await ask("/admit", **OWNER) if isinstance(event, Card))
    assert card.buttons == ()


async def test_somebody_who_was_refused_is_told_once_and_then_nothing(ask, be):
    await be("pairing")
    code = code_in(await ask("Hello", **person(7)))
    await ask(f"/admit {code} refuse", **OWNER)
    assert "asked not to talk here" in sentences(await ask("Hello", **person(7)))[0]
    assert await ask("Hello?", **person(7)) == [Done()]


async def test_a_code_is_good_for_an_hour_and_its_request_is_gone_after_that(ask, be, database):
    await be("pairing")
    old = code_in(await ask("Hello", **person(7)))
    async with database.session() as session:
        await session.execute(update(Admission).values(expires_at=now() - timedelta(seconds=1)))
    assert "Nobody is waiting" in sentences(await ask(f"/admit {old}", **OWNER))[0]
    card = next(event for event in await ask("/admit", **OWNER) if isinstance(event, Card))
    assert "Nobody" in card.title
    assert await count(database, Admission) == [0]
    assert code_in(await ask("Hello", **person(7))) != old


async def test_three_may_wait_at_most_for_an_assistant(ask, be, database):
    await be("pairing")
    for number in (7, 8, 9):
        assert code_in(await ask("Hello", **person(number)))
    events = await ask("Hello", **person(10))
    assert "try again in an hour" in sentences(events)[0] and not CODE.search(sentences(events)[0])
    assert await count(database, Admission, *KEPT) == [3, 0, 0, 0]
    async with database.session() as session:
        await add_assistant(session, "garden", "You are the garden.", "demo")
        await session.execute(update(Assistant).values(access="pairing"))
        await set_route(session, "channel", "tg:10", "garden")
    assert code_in(await ask("Hello", **person(10)))


async def test_in_a_group_the_chat_is_let_in_with_all_its_topics(ask, be, database):
    await be("pairing")
    events = await ask("Hello", **GROUP, author_id="7", mentioned=True)
    async with database.session() as session:
        row = (await session.scalars(select(Admission))).one()
        assert (row.subject, row.title) == ("tg:-100", "The harbour crew")
    assert await count(database, *KEPT) == [0, 0, 0]
    await ask(f"/admit {code_in(events)}", **OWNER)
    assert answered(await ask("Hello", **GROUP, author_id="8", mentioned=True))
    topic = GROUP | {"channel": "tg:-100/5", "parent": "tg:-100"}
    assert answered(await ask("Hello", **topic, author_id="9", mentioned=True))
    assert not answered(await ask("Hello", **person(8)))  # in private they are somebody new


async def test_what_is_not_said_to_it_in_a_group_that_waits_is_not_answered_with_codes(ask, be, database):
    await be("pairing")
    assert await ask("Just chatting", **GROUP, author_id="7") == []
    assert await count(database, Admission, *KEPT) == [0, 0, 0, 0]


@pytest.mark.parametrize("mode", ["all", "listen"])
async def test_a_group_that_was_not_let_in_is_not_even_read_along(ask, be, database, mode):
    async with database.session() as session:
        session.add(Channel(key="tg:-100", account="tg", private=False, answers=mode))
    await be("pairing")
    assert await ask("Just chatting", **GROUP, author_id="7") == []
    assert await count(database, Message, Person, Admission) == [0, 0, 0]


async def test_commands_of_a_stranger_get_the_code_too(ask, be, database):
    await be("pairing")
    for command in ("/start", "/help", "/reset", "/nonsense", "/retrain start"):
        assert code_in(await ask(command, **person(7)))
    assert await count(database, *KEPT) == [0, 0, 0]


async def test_a_stranger_can_ask_what_is_kept_and_be_forgotten(ask, be, database):
    await be("pairing")
    events = await ask("/privacy", **person(7))
    assert "Nothing that you write here is kept" in sentences(events)[0] and code_in(events)
    card = next(event for event in await ask("/forgetme", **person(7)) if isinstance(event, Card))
    assert card.buttons
    assert await count(database, *KEPT) == [0, 0, 0]


async def test_who_wrote_while_it_was_open_can_see_what_is_kept_when_it_is_closed(ask, be, database):
    await ask("Hello", **person(7))
    await be("closed")
    card = next(event for event in await ask("/privacy", **person(7)) if isinstance(event, Card))
    assert any("What is kept" in line for line in card.lines)
    assert "Nothing that you write here is learnt from" in sentences(await ask("/optout", **person(7)))[0]
    assert await count(database, Message) == [2]


async def test_closed_is_said_once_an_hour_to_each_and_never_more(ask, be, database):
    await be("closed")
    assert len(sentences(await ask("Hello", **person(7)))) == 1
    assert await ask("Hello?", **person(7)) == [Done()]
    assert len(sentences(await ask("Hello", **person(8)))) == 1
    assert await count(database, *KEPT, Admission) == [0, 0, 0, 0]


@pytest.mark.parametrize("access", ["open", "pairing", "closed"])
async def test_operators_and_the_owner_are_always_let_in(ask, be, database, access):
    await be(access)
    async with database.session() as session:
        harbour = await find_assistant(session, "harbour")
        await give_role(session, "telegram:7", harbour.id, "operator", "the test")
        await give_role(session, "discord-role:55", harbour.id, "operator", "the test")
    assert answered(await ask("Hello", **OWNER))
    assert answered(await ask("Hello", **person(7)))
    by_server_role = {"account": "dc", "platform": "discord", "channel": "dc:3", "server_roles": ("discord-role:55",)}
    assert answered(await ask("Hello", **by_server_role))
    assert answered(await ask("Hello", channel="web:x", role="operator"))


async def test_a_role_for_one_assistant_is_none_for_another(database, conversation, incoming):
    async with database.session() as session:
        await add_assistant(session, "garden", "You are the garden.", "demo")
        harbour, garden = await find_assistant(session, "harbour"), await find_assistant(session, "garden")
        await give_role(session, "telegram:7", garden.id, "operator", "the test")
        await give_role(session, "telegram:8", None, "operator", "the test")
    access = Access(database)
    seven, eight = incoming("Hello", **person(7)), incoming("Hello", **person(8))
    assert (await access.role(seven, harbour), await access.role(seven, garden)) == ("member", "operator")
    assert (await access.role(eight, harbour), await access.role(eight, garden)) == ("operator", "operator")
    assert await access.role(incoming("Hello", **person(7), role="owner"), harbour) == "owner"
    assert await access.role(seven, None) == "member"


async def test_an_operator_of_another_assistant_cannot_let_anybody_in(ask, be, database):
    async with database.session() as session:
        garden = await add_assistant(session, "garden", "You are the garden.", "demo")
        await give_role(session, "telegram:20", garden.id, "operator", "the test")
        await set_route(session, "channel", "tg:20", "garden")
    await be("pairing")
    code = code_in(await ask("Hello", **person(7)))
    assert "do not look after" in sentences(await ask(f"/admit {code}", **person(20, "Gus")))[0]
    card = next(event for event in await ask("/admit", **person(20, "Gus")) if isinstance(event, Card))
    assert card.buttons == ()
    assert not answered(await ask("Hello", **person(7)))


async def test_a_member_cannot_let_anybody_in(ask, be):
    assert "look after this assistant" in sentences(await ask("/admit ACDE-FGHJ", **person(7)))[0]


@pytest.mark.parametrize("junk", ["AAAA-AAAA", "0", "999999999999", "'; drop table", "ⅧⅧ", "%", "-", "\u202e"])
async def test_codes_that_nobody_has_are_told_so(ask, be, junk):
    assert "Nobody is waiting" in sentences(await ask(f"/admit {junk}", **OWNER))[0]


async def test_letting_in_twice_changes_nothing(ask, be, database):
    await be("pairing")
    code = code_in(await ask("Hello", **person(7)))
    for _ in range(2):
        assert sentences(await ask(f"/admit {code}", **OWNER)) == ["Ada may talk with harbour from now on."]
    async with database.session() as session:
        row = (await session.scalars(select(Admission))).one()
        assert (row.state, row.decided_by) == ("admitted", "telegram:1")


async def test_an_operator_opens_and_closes_by_command(ask, be, database):
    card = next(event for event in await ask("/access", **OWNER) if isinstance(event, Card))
    assert {button.command for button in card.buttons} == {"/access pairing", "/access closed"}
    await ask("/access closed", **OWNER)
    assert not answered(await ask("Hello", **person(7)))
    await ask("/access open", **OWNER)
    assert answered(await ask("Hello", **person(7)))
    assert "/access open" in sentences(await ask("/access ajar", **OWNER))[0]
    assert "look after" in sentences(await ask("/access closed", **person(7)))[0]


ADA = person(7, "Ada Lovelace") | {"username": "countess"}


@pytest.mark.parametrize("words", ["7", "@countess", "@Countess", "Ada Lovelace", "telegram:7"])
async def test_the_owner_makes_an_operator_by_id_or_name_and_takes_it_back(ask, be, words):
    await ask("Hello", **ADA)
    assert "Ada Lovelace looks after harbour from now on" in sentences(await ask(f"/operator {words}", **OWNER))[0]
    assert not sentences(await ask("/access", **ADA))
    assert "Ada Lovelace no longer" in sentences(await ask(f"/operator {words} remove", **OWNER))[0]
    assert "look after" in sentences(await ask("/access", **ADA))[0]
    assert "not an operator" in sentences(await ask(f"/operator {words} remove", **OWNER))[0]


async def test_the_owner_makes_an_operator_by_answering_them_and_sees_who_there_is(ask, be):
    await ask("Hello", **ADA)
    reply = {"reply_to": "55", "reply_person": "telegram:7"}
    assert "Ada Lovelace looks after" in sentences(await ask("/operator", **OWNER, **reply))[0]
    assert "already" in sentences(await ask("/operator", **OWNER, **reply))[0]
    card = next(event for event in await ask("/operator", **OWNER) if isinstance(event, Card))
    assert any("Ada Lovelace (telegram:7): operator" in line for line in card.lines)
    assert [button.command for button in card.buttons] == ["/operator telegram:7 remove"]


async def test_mentions_on_discord_name_people_and_server_roles(ask, be, database):
    here = {"account": "dc", "platform": "discord", "channel": "dc:1", "role": "owner"}
    await ask("/operator <@!7>", **here)
    await ask("/operator <@&55>", **here)
    async with database.session() as session:
        subjects = set(await session.scalars(select(RoleGiven.subject).where(RoleGiven.role == "operator")))
    assert subjects == {"discord:7", "discord-role:55"}


async def test_names_that_are_nobodys_or_several_peoples_are_told(ask, be):
    await ask("Hello", **person(7))
    await ask("Hello", **person(8))
    assert "nobody called @nemo" in sentences(await ask("/operator @nemo", **OWNER))[0]
    assert "7, 8" in sentences(await ask("/operator Ada", **OWNER))[0]
    assert "cannot tell who wrote" in sentences(await ask("/operator", **OWNER, reply_to="9"))[0]


async def test_an_operator_cannot_make_operators(ask, database):
    async with database.session() as session:
        await give_role(session, "telegram:7", None, "operator", "the test")
    assert "look after" in sentences(await ask("/operator 8", **person(7)))[0]


async def test_a_button_that_was_tampered_with_does_nothing_and_is_told_its_presser_alone(ask, database):
    for text in ("Hello", "x" * 9000, "/nonsense", ""):
        events = await ask(text, **person(7), pressed=True)
        assert [type(event) for event in events] == [Whisper, Done]
    refused = await ask("/access closed", **GROUP, author_id="7", pressed=True)
    assert [type(event) for event in refused] == [Heard, Whisper, Done]
    assert await count(database, Message) == [1]


async def test_where_nobody_is_routed_nothing_is_kept(conversation, database, ask):
    async with database.session() as session:
        for route in await session.scalars(select(Route)):
            await session.delete(route)
    assert "No assistant answers here" in sentences(await ask("Hello", **person(7)))[0]
    assert await count(database, *KEPT) == [0, 0, 0]


async def test_who_decides_is_asked_of_the_connector_and_the_record_not_of_the_channel(
    conversation, database, be, incoming
):
    await be("pairing")
    access = Access(database)
    async with database.session() as session:
        harbour = await find_assistant(session, "harbour")
    stranger: Incoming = incoming("Hello", **person(7))
    with pytest.raises(Refused):
        await access.admit(stranger, harbour)
    code = (await access.all_waiting())[0].code
    with pytest.raises(Refused):
        await access.decide(code, True, "x", incoming("/admit", **person(9)))
    with pytest.raises(NotFound):
        await access.decide("AAAAAAAA", True, "x")
    assert (await access.decide(code, True, "the command line")).changed
    await access.admit(stranger, harbour)
