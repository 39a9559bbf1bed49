"""Consent as people meet it: asked once, told exactly what holds, believed at once, forgotten on request."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any

import pytest
from sqlalchemy import select, update

from bots.consent import SHOWN
from bots.events import Answer, Card, Event, Notice, Removed, Whisper
from store.database import Database
from store.tables import Account, Admission, Channel, Consent, Message, Person, Vote

Ask = Callable[..., Awaitable[list[Event]]]
GROUP: dict[str, Any] = {
    "account": "post", "channel": "post:-7:3", "parent": "post:-7", "private": False, "mentioned": True,
    "platform": "telegram",
}  # fmt: skip
ON_DISCORD: dict[str, Any] = {
    "account": "crow", "channel": "crow:5", "platform": "discord", "private": False, "mentioned": True,
}  # fmt: skip


async def account(database: Database, name: str, platform: str, permission: str | None = None) -> None:
    async with database.session() as session:
        session.add(
            Account(name=name, platform=platform, external_id=name, username=name, token="t", permission=permission)
        )


def cards(events: list[Event]) -> list[Card]:
    return [event for event in events if isinstance(event, Card)]


def text_of(events: list[Event]) -> str:
    said = [event.text for event in events if isinstance(event, Notice | Whisper)]
    return "\n".join([*said, *(line for card in cards(events) for line in (card.title, *card.lines))])


async def consents(database: Database) -> list[tuple[str, str, str]]:
    async with database.session() as session:
        rows = await session.scalars(select(Consent).order_by(Consent.id))
        return [(row.person, row.chat, row.state) for row in rows]


async def test_everybody_is_asked_once_after_their_first_answer(ask: Ask, database: Database) -> None:
    first = await ask("Hello?")
    assert [type(event) for event in first][-3:-1] == [Answer, Card]
    (card,) = cards(first)
    assert [button.command for button in card.buttons] == ["/optin", "/optout"]
    assert not cards(await ask("And again?"))
    assert await consents(database) == [("web:1", "web:a", "asked")]
    async with database.session() as session:
        row = (await session.scalars(select(Consent))).one()
        assert row.shown == SHOWN == "\n".join((card.title, *card.lines))


async def test_consent_is_each_persons_own_and_holds_in_all_topics_of_one_chat(ask: Ask, database: Database) -> None:
    await account(database, "post", "telegram")
    assert cards(await ask("Hello", **GROUP))
    assert not cards(await ask("Hello", **GROUP | {"channel": "post:-7:4"}))
    assert cards(await ask("Hello", **GROUP, author_id="2", author="Odo"))
    await ask("/optin", **GROUP, pressed=True)
    assert cards(await ask("Hello", **GROUP | {"channel": "post:-8", "parent": None}))
    assert await consents(database) == [
        ("telegram:1", "post:-7", "in"), ("telegram:2", "post:-7", "asked"), ("telegram:1", "post:-8", "asked"),
    ]  # fmt: skip


async def test_nobody_is_asked_where_nothing_could_be_learnt(ask: Ask, database: Database) -> None:
    await account(database, "crow", "discord")
    assert not cards(await ask("Hello", **ON_DISCORD))
    assert not cards(await ask("Hello", **GROUP))  # of an account that nobody knows
    await ask("/learning off", role="operator")
    assert not cards(await ask("Hello"))
    assert await consents(database) == []
    assert "switched off" in text_of(await ask("/optin"))
    await ask("/learning on", role="operator")
    assert cards(await ask("Hello"))


async def test_discord_is_learnt_from_only_with_the_platforms_permission(ask: Ask, database: Database) -> None:
    await account(database, "crow", "discord")
    for command in ("/optin", "/learning on", "/privacy"):
        shown = text_of(await ask(command, **ON_DISCORD, role="operator"))
        assert "Discord’s express permission" in shown, command
        assert 'parlance account permission crow "reference"' in shown, command
    assert await consents(database) == []
    async with database.session() as session:
        await session.execute(update(Account).values(permission="case 12"))
    assert cards(await ask("Hello", **ON_DISCORD))
    assert "may be learnt from" in text_of(await ask("/learning on", **ON_DISCORD, role="operator"))


async def test_a_chat_that_is_off_switches_its_topics_off(ask: Ask, database: Database) -> None:
    await account(database, "post", "telegram")
    await ask("/learning off", **GROUP | {"channel": "post:-7", "parent": None}, role="operator")
    assert not cards(await ask("Hello", **GROUP))
    assert "as a whole" in text_of(await ask("/learning on", **GROUP, role="operator"))


async def test_saying_yes_twice_keeps_the_time_at_which_it_was_given(ask: Ask, database: Database) -> None:
    async def decided() -> Any:
        async with database.session() as session:
            row = (await session.scalars(select(Consent))).one()
            return row.state, row.decided_at, row.shown

    typed = text_of(await ask("/optin"))
    state, first, shown = await decided()
    assert state == "in" and shown in typed
    assert "already" in text_of(await ask("/optin"))
    assert await decided() == ("in", first, shown)
    no = text_of(await ask("/optout"))
    assert "Versions that have learnt already are not changed" in no and "/forgetme" in no
    assert (await decided())[0] == "out"
    await ask("/optin")
    assert (await decided())[1] > first


async def test_a_pressed_button_puts_the_answer_where_the_question_stood(ask: Ask) -> None:
    (asked,) = cards(await ask("Hello"))
    (answer,) = cards(await ask("/optout", pressed=True))
    assert answer.key == asked.key and not answer.buttons
    assert "/optin" in answer.lines[0]


@pytest.mark.parametrize(
    ("mode", "kept"),
    [("mentions", "The rest I neither keep"), ("all", "everything that is written"), ("listen", "read along")],
)
async def test_privacy_says_what_holds_in_this_very_channel(ask: Ask, database: Database, mode: str, kept: str) -> None:
    await account(database, "post", "telegram")
    await ask("Hello", **GROUP)
    async with database.session() as session:
        await session.execute(update(Channel).values(answers=mode))
    shown = text_of(await ask("/privacy", **GROUP))
    assert kept in shown and "you were asked on" in shown and "/forgetme" in shown
    await ask("/optin", **GROUP)
    assert "you agreed on" in text_of(await ask("/privacy", **GROUP))
    await ask("/learning off", **GROUP, role="operator")
    assert "switched off" in text_of(await ask("/privacy", **GROUP))


async def test_forgetme_asks_first_and_its_button_is_the_askers_alone(ask: Ask, database: Database) -> None:
    await account(database, "post", "telegram")
    await ask("My boat is called Petrel", **GROUP)
    await ask("Mine is the Gannet", **GROUP, author_id="2", author="Odo")
    (card,) = cards(await ask("/forgetme", **GROUP))
    delete, keep = (button.command for button in card.buttons)
    assert "1 message and 1 answer" in card.lines[0]
    assert "somebody else’s" in text_of(await ask(delete, **GROUP, author_id="2", author="Odo", pressed=True))
    await ask(keep, **GROUP, pressed=True)
    async with database.session() as session:
        assert {row.text for row in await session.scalars(select(Message))} >= {"My boat is called Petrel"}


async def test_forgetme_deletes_one_person_in_every_chat_and_nobody_else(ask: Ask, database: Database) -> None:
    await account(database, "post", "telegram")
    told = await ask("My boat is called Petrel", **GROUP)
    await ask("/optin", **GROUP)
    await ask("Privately, it leaks", **GROUP | {"channel": "post:1", "parent": None, "private": True})
    await ask("Mine is the Gannet", **GROUP, author_id="2", author="Odo")
    answer = next(event.message_id for event in told if isinstance(event, Answer))
    async with database.session() as session:
        assistant = 1
        session.add_all(
            [
                Vote(message_id=answer, voter="telegram:2", value=1),
                Admission(assistant_id=assistant, subject="telegram:1", title="Ada"),
            ]
        )
    (card,) = cards(await ask("/forgetme", **GROUP))
    done = await ask(card.buttons[0].command, **GROUP, pressed=True)
    assert "2 messages" in text_of(done) and "2 answers" in text_of(done) and "No version" in text_of(done)
    assert not [event for event in done if isinstance(event, Removed)]
    async with database.session() as session:
        rows = list(await session.scalars(select(Message).order_by(Message.id)))
        assert {row.author_key for row in rows} == {"telegram:2", None}
        assert [row.text for row in rows if row.author_key] == ["Mine is the Gannet"]
        assert [row.text for row in rows if row.role == "assistant"] == ["Hello there."]
        assert not any(row.text or row.author for row in rows if row.author_key is None and row.role == "user")
        for table in (Vote, Admission):
            assert not list(await session.scalars(select(table)))
        assert [person.key for person in await session.scalars(select(Person))] == ["telegram:2"]
    assert await consents(database) == [("telegram:2", "post:-7", "asked")]
    assert cards(await ask("I am new here", **GROUP)), "who comes back is asked again"


async def test_after_a_forgetting_in_private_the_whole_page_is_emptied(ask: Ask) -> None:
    await ask("Hello")
    (card,) = cards(await ask("/forgetme"))
    assert Removed((), everything=True) in await ask(card.buttons[0].command)


async def test_an_operator_names_a_speaker_by_a_reply(ask: Ask, database: Database) -> None:
    await account(database, "post", "telegram")
    await ask("Hello", **GROUP, author_id="2", author="Odo")
    named = text_of(await ask("/speaker", **GROUP, role="operator", reply_person="telegram:2"))
    assert "have not agreed yet" in named
    await ask("/optin", **GROUP, author_id="2", author="Odo")
    assert "Odo: agrees in 1 chat" in text_of(await ask("/speaker", **GROUP, role="operator"))
    assert "for those who look after" in text_of(await ask("/speaker", **GROUP, reply_person="telegram:2"))
    await ask("/speaker remove", **GROUP, role="operator", reply_person="telegram:2")
    assert "Nobody is named" in text_of(await ask("/speaker", **GROUP, role="operator"))


async def test_what_was_forwarded_is_kept_as_such(ask: Ask, database: Database) -> None:
    await ask("Somebody else’s words", forwarded=True, reply_to="id-9")
    async with database.session() as session:
        row = (await session.scalars(select(Message).where(Message.role == "user"))).one()
        assert (row.forwarded, row.reply_to) == (True, "id-9")
