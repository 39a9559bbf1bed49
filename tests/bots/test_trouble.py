"""Operators are told of a version that went out of service by itself: each chat once, asked or not; members never."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable

import pytest
from bot_api_server import BotApiServer, Chat, Person, Rates
from discord_running import add_account, hurry, running
from discord_server import DiscordServer
from telegram_account import at_work, keep_account
from waiting import until
from web_server import Browser, Site

from bots import trouble
from bots.conversation import Conversation
from bots.events import Card, Event
from bots.trouble import note_told
from config.errors import NotFound
from config.names import VersionName
from serving.fallback import fall_back
from serving.router import set_route
from store.assistants import add_assistant, find_assistant
from store.conversations import find_channel
from store.database import Database
from store.people import give_role
from store.tables import Channel, Promotion, Version

ADA, BEN = Person(11, "Ada"), Person(12, "Ben")
TITLE = "harbour@v2 went out of service by itself"
REPORT = {"sentence": "Good.", "held_out": {"base": 4.0, "version": 3.0, "in_service": None}}
Ask = Callable[..., Awaitable[list[Event]]]


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(trouble, "LOOK_SECONDS", 0.05)


async def break_down(database: Database, number: int = 2) -> None:
    """That version is in service, and the engine cannot load it."""
    async with database.session() as session:
        harbour = await find_assistant(session, "harbour")
        harbour.in_service = number
        session.add(Promotion(assistant_id=harbour.id, action="promote", before=None, after=number, asked_by="Ada"))
    await fall_back(database, VersionName("harbour", number), NotFound("Its files are gone."))


@pytest.fixture
async def versions(conversation: Conversation, database: Database) -> None:
    async with database.session() as session:
        harbour = await find_assistant(session, "harbour")
        for number in (1, 2):
            row = Version(
                assistant_id=harbour.id, number=number, state="passed", digest="0" * 64, base_model="demo",
                system_prompt="You are harbour.", report=REPORT,
            )  # fmt: skip
            session.add(row)


@pytest.fixture
async def broken(versions: None, database: Database) -> None:
    await break_down(database)


async def operator(database: Database, person: str, assistant: str | None = None) -> None:
    async with database.session() as session:
        found = await find_assistant(session, assistant) if assistant else None
        await give_role(session, person, found.id if found else None, "operator", "Ada")


async def channel(database: Database, key: str) -> Channel:
    async with database.session() as session:
        found = await find_channel(session, key)
    assert found is not None
    return found


def cards(events: list[Event]) -> list[Card]:
    return [event for event in events if isinstance(event, Card) and event.key.startswith("trouble-")]


@pytest.mark.parametrize("said", ["Hello", "/versions", "/status", "/help"])
async def test_an_operator_is_told_after_a_question_and_after_a_command(broken: None, ask: Ask, said: str) -> None:
    events = await ask(said, role="operator")
    (card,) = cards(events)
    assert card.title == TITLE and "harbour@v1 answers now" in card.lines[0]
    assert events.index(card) == len(events) - 2  # last, before Done
    assert not cards(await ask(said, channel="web:member"))


async def test_what_did_not_arrive_is_told_again_and_what_did_is_not(
    broken: None, ask: Ask, database: Database
) -> None:
    (first,), (second,) = [cards(await ask("Hello", role="operator")) for _ in range(2)]
    assert first == second
    await note_told(database, await channel(database, "web:a"), first)
    assert not cards(await ask("Hello", role="operator"))
    assert cards(await ask("Hello", role="operator", channel="web:b"))  # each channel once


async def test_a_version_that_breaks_again_is_told_again(broken: None, ask: Ask, database: Database) -> None:
    (first,) = cards(await ask("Hello", role="operator"))
    await note_told(database, await channel(database, "web:a"), first)
    await break_down(database)
    (second,) = cards(await ask("Hello", role="operator"))
    assert second.title == first.title and second.key != first.key


async def test_what_an_operator_has_dealt_with_is_told_no_more(broken: None, ask: Ask, database: Database) -> None:
    async with database.session() as session:
        harbour = await find_assistant(session, "harbour")
        session.add(Promotion(assistant_id=harbour.id, action="promote", before=1, after=1, asked_by="Ada"))
    assert not cards(await ask("Hello", role="operator"))


async def test_another_assistants_chat_is_told_nothing(broken: None, ask: Ask, database: Database) -> None:
    async with database.session() as session:
        await add_assistant(session, "library", "You are the library.", "demo")
        await set_route(session, "channel", "web:b", "library")
    assert not cards(await ask("Hello", role="operator", channel="web:b"))


async def test_whose_private_chats_are_told_is_who_looks_after_the_assistant(
    broken: None, ask: Ask, database: Database
) -> None:
    async with database.session() as session:
        await add_assistant(session, "library", "You are the library.", "demo")
    for person in "12345":
        await ask("Hello", channel=f"web:{person}", author_id=person)
    await ask("Hello", channel="web:group", author_id="1", private=False, mentioned=True)
    await operator(database, "web:1", "harbour")
    await operator(database, "web:2", "library")
    await operator(database, "web:3")
    await operator(database, "web:3", "harbour")
    shown: list[tuple[str, str]] = []
    told_all = asyncio.Event()

    async def show(place: Channel, card: Card) -> bool:
        shown.append((place.key, card.title))
        await note_told(database, place, card)
        if len(shown) == 2:
            told_all.set()
        return True

    telling = asyncio.create_task(trouble.tell_operators(database, "web", lambda _: False, show))
    async with asyncio.timeout(30):
        await told_all.wait()
    await asyncio.sleep(0.3)
    telling.cancel()
    assert sorted(shown) == [("web:1", TITLE), ("web:3", TITLE)]


@pytest.fixture
async def server() -> AsyncIterator[BotApiServer]:
    async with BotApiServer(Rates().times(20)) as running_server:
        yield running_server


def told(chat: Chat) -> list[str]:
    return [message.text for message in chat.shown if TITLE in message.text]


async def test_an_operator_on_telegram_is_told_without_asking_once_and_nobody_else_is(
    versions: None, server: BotApiServer, conversation: Conversation, database: Database
) -> None:
    bot = server.add_bot("harbour_bot")
    await keep_account(database, server, bot)
    await operator(database, "telegram:11", "harbour")
    async with at_work(server, bot, conversation, database):
        ada, ben, group = bot.private(ADA), bot.private(BEN), bot.supergroup("Quay")
        for chat, person in ((ada, ADA), (ben, BEN)):
            chat.says(person, "Hello")
            await bot.until(lambda chat=chat: chat.shown)
        group.says(ADA, "@harbour_bot hello")
        await bot.until(lambda: group.shown)
        await until(lambda: not any(map(conversation.busy, (f"harbour:{ADA.id}", f"harbour:{group.id}"))))
        await break_down(database)
        await bot.until(lambda: told(ada))
    assert "Put harbour@v2 back into service" in [button["text"] for button in ada.shown[-1].buttons]
    async with at_work(server, bot, conversation, database):  # also after a restart
        await asyncio.sleep(0.5)
        group.says(ADA, "@harbour_bot hello again")
        await bot.until(lambda: told(group))
    assert (len(told(ada)), len(told(ben)), len(told(group))) == (1, 0, 1)


async def test_an_operator_who_cannot_be_written_to_keeps_no_other_from_being_told(
    versions: None, server: BotApiServer, conversation: Conversation, database: Database
) -> None:
    bot = server.add_bot("harbour_bot")
    await keep_account(database, server, bot)
    for number in (11, 12):
        await operator(database, f"telegram:{number}")
    ada, ben = bot.private(ADA), bot.private(BEN)
    async with at_work(server, bot, conversation, database):
        for chat, person in ((ada, ADA), (ben, BEN)):
            chat.says(person, "Hello")
            await bot.until(lambda chat=chat: chat.shown)
        await until(lambda: not any(map(conversation.busy, ("harbour:11", "harbour:12"))))
        ada.forbidden = "Forbidden: bot was blocked by the user"
        await break_down(database)
        await bot.until(lambda: told(ben))
        tried = len(bot.called("sendMessage"))
        await asyncio.sleep(0.5)
        assert len(bot.called("sendMessage")) == tried  # nor is it tried for ever
    assert not told(ada)


async def test_an_operator_on_discord_is_told_without_asking_once(
    versions: None, conversation: Conversation, database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    hurry(monkeypatch)
    async with DiscordServer() as discord:
        bot, ada = discord.bot("Harbour"), discord.user("Ada")
        await add_account(database, discord, bot)
        await operator(database, f"discord:{ada['id']}")
        direct = discord.direct(bot, ada)
        async with running(database, conversation, discord, bot):
            await discord.say(direct, ada, "hello")
            await until(lambda: discord.said(direct, bot))
            await break_down(database)
            await until(lambda: any(TITLE in text for text in discord.said(direct, bot)))
            await asyncio.sleep(0.3)
        assert len([text for text in discord.said(direct, bot) if TITLE in text]) == 1


async def test_an_operator_who_has_the_page_open_is_told_without_asking_and_a_member_is_not(
    versions: None, site: Site, browser: Browser, database: Database
) -> None:
    other = Browser(site.address)
    for one in (browser, other):
        await one.open()
        start = (await one.history())["cursor"]
        await one.say("Hello")
        await one.read_until("done", start)
    code = site.app.state.codes.operator_code()
    assert (await browser.http.post("/api/operator", json={"code": code})).status_code == 200
    feeds = site.app.state.hub.feeds
    await until(lambda: not any(feed.readers for feed in feeds._feeds.values()))
    cursor = (await browser.history())["cursor"]
    await break_down(database)
    await asyncio.sleep(0.3)
    assert (await browser.history())["cursor"] == cursor  # nobody looks, so it has not arrived
    (card,) = await browser.read_until("card", cursor)
    assert card["title"] == TITLE
    cursor = (await browser.history())["cursor"]
    reading = asyncio.create_task(browser.read_until("card", cursor))
    await asyncio.sleep(0.5)
    assert not reading.done()  # once
    reading.cancel()
    assert all(item.get("title") != TITLE for item in (await other.history())["items"])
    await other.http.aclose()
