from __future__ import annotations

import asyncio
import json
import logging
from collections.abc import AsyncIterator

import pytest
from bot_api_server import Bot, BotApiServer, Chat, Person, Rates
from fake_engine import FakeEngine, words
from sqlalchemy import select
from telegram_account import NAME, EchoEngine, at_work, keep_account, view_of
from waiting import until

from bots.conversation import Conversation
from bots.platforms import AccountStopped
from bots.telegram import client, polling
from bots.telegram.connector import check
from bots.telegram.menu_words import WORDS
from bots.telegram.menus import listed
from config.errors import BadInput
from config.settings import Settings
from store.accounts import find_account
from store.database import Database
from store.tables import Account, Channel, RoleGiven
from store.tables import Message as Row

ADA = Person(11, "Ada", "ada", "de")
BEN = Person(12, "Ben", None, "en")


@pytest.fixture
async def server() -> AsyncIterator[BotApiServer]:
    async with BotApiServer(Rates().times(20)) as running:
        yield running


@pytest.fixture
async def bot(server: BotApiServer, database: Database) -> Bot:
    made = server.add_bot("harbour_bot")
    await keep_account(database, server, made)
    return made


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    """Whatever is waited for after a failure, it is not waited for long."""
    monkeypatch.setattr(client, "WAITS", (0.02, 0.1))
    monkeypatch.setattr(client.waits, "__defaults__", (0.02, 0.1))
    monkeypatch.setattr(polling, "CONFLICT_WAITS", (0.02, 0.05))
    monkeypatch.setattr(polling, "CALM_SECONDS", 0.0)


def answers(chat: Chat) -> list[str]:
    """What was answered, without the question that asks for consent."""
    return [message.text for message in chat.shown if not message.text.startswith("May I learn")]


# what people see


async def test_an_answer_comes_with_its_buttons_and_without_previews(
    server: BotApiServer, bot: Bot, conversation: Conversation, database: Database, fake_engine: FakeEngine
) -> None:
    fake_engine.script = [["See **this**: ", "https://example.org"]]
    async with at_work(server, bot, conversation, database):
        chat = bot.private(ADA)
        chat.says(ADA, "Hello")
        await bot.until(lambda: chat.shown and chat.shown[0].buttons)
    [answer] = [message for message in chat.shown if "See" in message.text]
    assert answer.text == "See this: https://example.org"
    assert [(entity["type"], entity["offset"], entity["length"]) for entity in answer.entities] == [("bold", 4, 4)]
    assert [button["text"] for button in answer.buttons] == ["Good", "Bad", "Again"]
    assert all(call["link_preview_options"] == {"is_disabled": True} for call in bot.called("sendMessage"))
    assert server.refused == 0


async def test_in_a_group_the_answer_is_a_reply_and_talk_among_others_is_left_alone(
    server: BotApiServer, bot: Bot, conversation: Conversation, database: Database
) -> None:
    async with at_work(server, bot, conversation, database):
        group = bot.supergroup("Quay")
        group.says(BEN, "nice weather")
        asked = group.says(ADA, "@harbour_bot is it?")
        group.says(BEN, "/reset@other_bot")
        await bot.until(lambda: answers(group))
        [answer] = [message for message in group.shown if message.text == "Hello there."]
        assert answer.reply_to == asked.id
        again = group.says(BEN, "and tomorrow?", reply_to=answer.id)
        await bot.until(lambda: len(answers(group)) == 2)
    assert [message.reply_to for message in group.shown if message.text == "Hello there."] == [asked.id, again.id]


async def test_a_topic_is_answered_in_it_and_the_general_topic_without_one(
    server: BotApiServer, bot: Bot, conversation: Conversation, database: Database
) -> None:
    async with at_work(server, bot, conversation, database):
        forum = bot.supergroup("Town", forum=True)
        topic = forum.topic("Boats")
        forum.says(ADA, "@harbour_bot hello", topic=topic)
        await bot.until(lambda: answers(forum))
        forum.says(BEN, "@harbour_bot hello")
        await bot.until(lambda: len(answers(forum)) == 2)
    assert [message.topic for message in forum.shown if message.text == "Hello there."] == [topic, None]


async def test_a_button_is_answered_with_a_whisper_and_still_works_after_a_restart(
    server: BotApiServer, bot: Bot, conversation: Conversation, database: Database
) -> None:
    chat = bot.private(ADA)
    async with at_work(server, bot, conversation, database):
        chat.says(ADA, "Hello")
        await bot.until(lambda: chat.shown and chat.shown[0].buttons)
    async with at_work(server, bot, conversation, database):
        query = chat.press(ADA, chat.shown[0], label="Good")
        await bot.until(lambda: bot.queries[query])
    [whispered] = bot.queries[query]
    assert "good" in whispered["text"].lower()
    assert answers(chat) == ["Hello there."]


async def test_a_button_that_was_tampered_with_is_answered_kindly_and_does_nothing(
    server: BotApiServer, bot: Bot, conversation: Conversation, database: Database, fake_engine: FakeEngine
) -> None:
    chat = bot.private(ADA)
    async with at_work(server, bot, conversation, database):
        chat.says(ADA, "Hello")
        await bot.until(lambda: len(chat.shown) == 2)
        before = len(bot.called("sendMessage"))
        for data in ("/promote 1", "/vote good 999999", "\u202e/again", "x" * 64):
            query = chat.press(ADA, chat.shown[0], data)
            await bot.until(lambda query=query: bot.queries[query])
            assert "press again" in bot.queries[query][0]["text"]
    assert len(bot.called("sendMessage")) == before
    assert len(fake_engine.requests) == 1


async def test_a_press_that_telegram_has_given_up_is_carried_out_all_the_same(
    server: BotApiServer, bot: Bot, conversation: Conversation, database: Database
) -> None:
    chat = bot.private(ADA)
    async with at_work(server, bot, conversation, database):
        chat.says(ADA, "Hello")
        await bot.until(lambda: chat.shown and chat.shown[0].buttons)
        query = chat.press(ADA, chat.shown[0], label="Again")
        del bot.queries[query]
        await bot.until(lambda: len(answers(chat)) == 2)


async def test_a_long_answer_comes_in_parts_that_each_fit_and_whose_fences_are_closed(
    server: BotApiServer, bot: Bot, conversation: Conversation, database: Database, fake_engine: FakeEngine
) -> None:
    code = "\n".join(f"print({number})" for number in range(800))
    fake_engine.script = [["Look:\n\n", f"```python\n{code}\n```\n\nThat is all. 🎉"]]
    chat = bot.private(ADA)
    async with at_work(server, bot, conversation, database):
        chat.says(ADA, "code, please")
        await bot.until(lambda: any("That is all" in text for text in chat.texts))
        await bot.until(lambda: any(message.buttons for message in chat.shown))
    parts = [message for message in chat.shown if not message.text.startswith("May I learn")]
    assert len(parts) >= 3
    assert all(any(entity["type"] == "pre" for entity in part.entities) for part in parts)
    assert "".join(part.text for part in parts).count("print(") == 800


async def test_formatting_that_telegram_refuses_goes_plain(
    server: BotApiServer, bot: Bot, conversation: Conversation, database: Database, fake_engine: FakeEngine
) -> None:
    fake_engine.script = [["This is **bold**."]]
    server.fail("unformatted", times=99)
    chat = bot.private(ADA)
    async with at_work(server, bot, conversation, database):
        chat.says(ADA, "Hello")
        await bot.until(lambda: chat.shown and chat.shown[0].buttons)
    assert chat.texts[0] == "This is **bold**."


@pytest.mark.parametrize(
    "hostile",
    [
        "*_`[<b>&amp;</b>](tg://user?id=1)~||>#+-=|{}.!\\",
        "<script>alert(1)</script>\n```\n```` ` **",
        "\u202eevil\u202c \u2066x\u2069 \u200b\u200d\ufeff",
        "@everyone @here @channel https://example.org",
        "/reset@harbour_bot junk " + "🎉" * 500,
        "/promote ' OR 1=1; --",
        "/" + "x" * 200,
        "e" + "\u0301" * 2000,
        "\u0000\u0007 \x1b[31m",
    ],
)
async def test_hostile_words_are_answered_like_any_other(
    server: BotApiServer, bot: Bot, database: Database, settings: Settings, conversation: Conversation, hostile: str
) -> None:
    echo = Conversation(database, settings, EchoEngine(), words)
    chat = bot.private(ADA)
    async with at_work(server, bot, echo, database):
        chat.says(ADA, hostile, entities=[])
        await bot.until(lambda: chat.shown)
        chat.says(ADA, "still there?")
        await bot.until(lambda: "still there?" in chat.texts)
    await echo.close()


async def test_an_answer_of_a_hundred_thousand_hostile_characters_arrives_whole(
    server: BotApiServer, bot: Bot, conversation: Conversation, database: Database, fake_engine: FakeEngine
) -> None:
    said = "".join(f"{number} **b** `c` <i> [l](x) 🏳️‍🌈 \u200bz\n" for number in range(3000))
    fake_engine.script = [[said]]
    chat = bot.private(ADA)
    async with at_work(server, bot, conversation, database):
        chat.says(ADA, "go on")
        await bot.until(lambda: any(message.buttons and "2999" in message.text for message in chat.shown))
    together = "".join(answers(chat))
    assert [number for number in range(3000) if f"{number} " not in together] == []
    assert together.count("🏳️‍🌈") == 3000
    assert server.refused == 0


# what must not get lost or come twice


async def test_the_same_update_twice_is_answered_once(
    server: BotApiServer, bot: Bot, conversation: Conversation, database: Database, fake_engine: FakeEngine
) -> None:
    chat = bot.private(ADA)
    async with at_work(server, bot, conversation, database):
        chat.says(ADA, "Hello")
        update = bot.updates[0]
        await bot.until(lambda: answers(chat))
        bot.repeat(update | {"update_id": update["update_id"] + 50})
        await until(lambda: update["update_id"] + 50 in bot.confirmed)
        chat.says(ADA, "Once more")
        await bot.until(lambda: len(answers(chat)) == 2)
    assert len(fake_engine.requests) == 2


async def test_an_update_is_acknowledged_only_when_it_is_in_the_log_and_holds_up_nobody_else(
    server: BotApiServer, bot: Bot, conversation: Conversation, database: Database
) -> None:
    slow = server.fail("hang", method="getFile")
    ada, ben = bot.private(ADA), bot.private(BEN)
    number = bot.file("notes.txt", b"my notes")
    document = {"file_id": number, "file_unique_id": number, "file_name": "notes.txt", "file_size": 8}
    async with at_work(server, bot, conversation, database):
        ada.says(ADA, caption="read it", document=document)
        [waiting] = [update["update_id"] for update in bot.updates]
        for turn in range(1, 4):
            ben.says(BEN, f"{turn}")
            await bot.until(lambda turn=turn: len(answers(ben)) == turn)
        assert waiting not in bot.confirmed
        slow.release.set()
        await bot.until(lambda: answers(ada))
        await until(lambda: waiting in bot.confirmed)
    async with database.session() as session:
        texts = [row.text for row in await session.scalars(select(Row).where(Row.role == "user"))]
    assert any("my notes" in text for text in texts)


@pytest.mark.parametrize("kind", ["drop", "drop_after", "error", "error_after"])
@pytest.mark.parametrize("method", ["sendMessage", "editMessageText", "getUpdates", "getMe"])
async def test_whatever_call_fails_the_answer_comes_once(
    server: BotApiServer, bot: Bot, conversation: Conversation, database: Database, fake_engine: FakeEngine, kind: str,
    method: str,
) -> None:  # fmt: skip
    more = asyncio.Event()
    fake_engine.script = [["One. ", more, "Two."]]
    chat = bot.private(ADA)
    fault = server.fail(kind, method=method, times=1 if method == "sendMessage" else 3)
    async with at_work(server, bot, conversation, database):
        chat.says(ADA, "Hello")
        await bot.until(lambda: chat.shown)
        more.set()
        await bot.until(lambda: any(message.buttons for message in chat.shown))
        chat.says(ADA, "/help")
        await bot.until(lambda: any("What you can ask for" in text for text in chat.texts))
    assert [text for text in chat.texts if text.startswith("One")] == ["One. Two."]
    assert fault.seen or method == "editMessageText"


async def test_a_chat_that_must_wait_waits_alone(
    server: BotApiServer, bot: Bot, conversation: Conversation, database: Database
) -> None:
    ada, ben = bot.private(ADA), bot.private(BEN)
    flood = server.fail("flood", chat=ADA.id, seconds=1.5)
    async with at_work(server, bot, conversation, database):
        ada.says(ADA, "Hello")
        await until(lambda: flood.seen)
        ben.says(BEN, "Hello")
        await bot.until(lambda: answers(ben))
        assert not ada.shown
        await bot.until(lambda: answers(ada))
    assert (answers(ada), answers(ben)) == (["Hello there."], ["Hello there."])
    assert flood.seen <= 2  # typing, and the answer: nobody knocked again before the time was over


async def test_when_the_bot_must_wait_everybody_does_and_everybody_is_answered(
    server: BotApiServer, bot: Bot, conversation: Conversation, database: Database
) -> None:
    chats = [bot.private(Person(100 + number, f"P{number}")) for number in range(12)]
    flood = server.fail("flood", seconds=1.0)
    async with at_work(server, bot, conversation, database):
        for chat in chats:
            chat.says(Person(chat.id, "P"), "Hello")
        await bot.until(lambda: all(answers(chat) for chat in chats))
    assert all(answers(chat) == ["Hello there."] for chat in chats)
    assert flood.seen < 40


# the account


async def trouble(database: Database) -> str | None:
    async with database.session() as session:
        return (await find_account(session, NAME)).trouble


async def test_a_token_that_another_program_uses_is_said_and_goes_on_when_that_stops(
    server: BotApiServer, bot: Bot, conversation: Conversation, database: Database
) -> None:
    other = client.TelegramClient(view_of(server, bot).token, server.url)
    stop = asyncio.Event()

    async def compete() -> None:
        while not stop.is_set():
            try:
                await other.updates(None, 1)
            except client.TelegramError:
                await asyncio.sleep(0)

    competing = asyncio.create_task(compete())
    async with at_work(server, bot, conversation, database):
        sentence = await until(lambda: trouble(database))
        assert "Another program" in sentence
        stop.set()
        await competing
        chat = bot.private(ADA)
        chat.says(ADA, "Hello")
        await bot.until(lambda: answers(chat))
        await until(lambda: well(database))
    await other.close()


async def well(database: Database) -> bool:
    return await trouble(database) is None


async def test_a_webhook_is_taken_away_at_the_start_and_what_waited_for_it_is_answered(
    server: BotApiServer, bot: Bot, conversation: Conversation, database: Database
) -> None:
    bot.webhook = "https://hook.example.org/x"
    chat = bot.private(ADA)
    chat.says(ADA, "Hello")
    async with at_work(server, bot, conversation, database):
        await bot.until(lambda: answers(chat))
        bot.webhook = "https://hook.example.org/x"  # and somebody sets it again
        assert bot.poller is not None
        bot.poller.set_result(None)
        sentence = await until(lambda: trouble(database))
    assert "hook.example.org" in sentence


@pytest.mark.parametrize("during", ["polling", "answering"])
async def test_a_revoked_token_stops_its_account_with_a_sentence_and_the_others_go_on(
    server: BotApiServer, bot: Bot, conversation: Conversation, database: Database, during: str
) -> None:
    second = server.add_bot("second_bot")
    chat, other = bot.private(ADA), second.private(BEN)
    async with at_work(server, bot, conversation, database) as account, at_work(server, second, conversation, database):
        chat.says(ADA, "Hello")
        await bot.until(lambda: answers(chat))
        if during == "answering":
            hanging = server.fail("hang", method="sendMessage", chat=ADA.id)
            chat.says(ADA, "Again")
            await until(lambda: hanging.seen)
            bot.revoked = True
            server.fail("drop", method="sendMessage", chat=ADA.id)
            hanging.release.set()
            bot.push({})
        else:
            bot.revoked = True
            bot.push({})
        with pytest.raises(AccountStopped, match="@BotFather") as stopped:
            await asyncio.wait_for(account, 20)
        assert bot.token.partition(":")[2] not in str(stopped.value)
        other.says(BEN, "Hello")
        await second.until(lambda: answers(other))


async def test_whose_token_it_is_and_what_it_may_see(server: BotApiServer, bot: Bot) -> None:
    identity = await check(view_of(server, bot).token, server.url)
    assert (identity.external_id, identity.username) == (str(bot.me.id), "harbour_bot")
    assert any("/setprivacy" in hint for hint in identity.hints)
    bot.can_read_all = True
    assert (await check(view_of(server, bot).token, server.url)).hints == ()
    bot.revoked = True
    with pytest.raises(BadInput, match="BotFather"):
        await check(view_of(server, bot).token, server.url)


async def test_no_log_shows_the_token_or_what_was_said_however_much_is_logged(
    server: BotApiServer, bot: Bot, conversation: Conversation, database: Database, caplog: pytest.LogCaptureFixture,
    capsys: pytest.CaptureFixture[str],
) -> None:  # fmt: skip
    for name in (None, "telegram", "aiohttp", "asyncio"):
        caplog.set_level(logging.DEBUG, name)
    server.fail("error", method="sendMessage")
    server.fail("drop", method="getUpdates")
    chat = bot.private(ADA)
    async with at_work(server, bot, conversation, database) as account:
        logging.getLogger("telegram.Bot").warning("POST %s", f"{server.url}/bot{bot.token}/getMe")
        chat.says(ADA, "my secret garden")
        await bot.until(lambda: answers(chat))
        bot.revoked = True
        bot.push({})
        with pytest.raises(AccountStopped):
            await asyncio.wait_for(account, 20)
    printed = capsys.readouterr()
    said = caplog.text + printed.out + printed.err
    assert f"/bot{bot.me.id}:…/getMe" in said
    assert bot.token.partition(":")[2] not in said
    assert "secret garden" not in said
    assert "Hello there." not in said


async def test_being_added_is_greeted_and_being_removed_is_noted(
    server: BotApiServer, bot: Bot, conversation: Conversation, database: Database
) -> None:
    group = bot.group("Quay")
    async with at_work(server, bot, conversation, database):
        group.member(ADA, "left", "member")
        await bot.until(lambda: group.shown)
        group.member(ADA, "member", "kicked")

        async def present() -> list[bool]:
            async with database.session() as session:
                return list(await session.scalars(select(Channel.present)))

        await until(lambda: is_gone(present))
    assert "harbour" in group.texts[0]


async def is_gone(present: object) -> bool:
    return await present() == [False]  # type: ignore[operator,no-any-return]


async def test_somebody_who_blocked_the_bot_harms_nobody(
    server: BotApiServer, bot: Bot, conversation: Conversation, database: Database
) -> None:
    ada, ben = bot.private(ADA), bot.private(BEN)
    ada.forbidden = "Forbidden: bot was blocked by the user"
    async with at_work(server, bot, conversation, database):
        ada.says(ADA, "Hello")
        ben.says(BEN, "Hello")
        await bot.until(lambda: answers(ben))


async def test_a_group_that_becomes_a_supergroup_keeps_its_conversation(
    server: BotApiServer, bot: Bot, conversation: Conversation, database: Database, fake_engine: FakeEngine
) -> None:
    group = bot.group("Quay")
    async with at_work(server, bot, conversation, database):
        group.says(ADA, "@harbour_bot my boat is called Gull")
        await bot.until(lambda: answers(group))
        new = group.upgrade(ADA)
        new.says(ADA, "@harbour_bot what is it called?")
        await bot.until(lambda: answers(new))
    remembered = [message["content"] for message in fake_engine.requests[-1][1]]
    assert any("Gull" in content for content in remembered)


async def test_an_edited_message_is_remembered_as_it_is_now(
    server: BotApiServer, bot: Bot, conversation: Conversation, database: Database, fake_engine: FakeEngine
) -> None:
    chat = bot.private(ADA)
    async with at_work(server, bot, conversation, database):
        message = chat.says(ADA, "my boat is called Gul")
        await bot.until(lambda: answers(chat))
        chat.edits(message, "my boat is called Gull")
        chat.says(ADA, "what is it called?")
        await bot.until(lambda: len(answers(chat)) == 2)
    remembered = [said["content"] for said in fake_engine.requests[-1][1]]
    assert "my boat is called Gull" in remembered


async def test_menus_are_set_by_scope_role_and_language_and_only_when_they_change(
    server: BotApiServer, bot: Bot, conversation: Conversation, database: Database
) -> None:
    bot.private(ADA)
    async with database.session() as session:
        session.add(RoleGiven(subject="telegram:11", assistant_id=None, role="operator", given_by="owner"))
    async with at_work(server, bot, conversation, database):
        await until(lambda: menus_noted(database, 3))
    scopes = {json.loads(scope)["type"] for scope, _ in bot.commands}
    assert scopes == {"all_private_chats", "all_group_chats", "chat"}
    [operators] = [
        commands for (scope, language), commands in bot.commands.items() if '"chat"' in scope and language == "de"
    ]
    assert "retrain" in [command["command"] for command in operators]
    members = bot.commands[('{"type": "all_private_chats"}', "")]
    assert "retrain" not in [command["command"] for command in members]
    before = len(bot.called("setMyCommands"))
    async with at_work(server, bot, conversation, database):
        chat = bot.private(ADA)
        chat.says(ADA, "Hello")
        await bot.until(lambda: answers(chat))
    assert len(bot.called("setMyCommands")) == before


async def menus_noted(database: Database, number: int) -> bool:
    async with database.session() as session:
        account = (await session.scalars(select(Account))).one()
        return len(account.cursor.get("menus", {})) == number


def test_every_command_is_described_in_every_language() -> None:
    names = {command.command for command in listed("owner", "")}
    assert {language: sorted(names - known.keys()) for language, known in WORDS.items()} == {
        language: [] for language in WORDS
    }
    assert all(1 <= len(one.description) <= 256 for language in WORDS for one in listed("owner", language))


async def test_who_writes_in_the_groups_name_is_answered_but_cannot_speak_for_others(
    server: BotApiServer, bot: Bot, conversation: Conversation, database: Database
) -> None:
    group = bot.supergroup("Quay")
    anonymous = Person(1087968824, "Group", "GroupAnonymousBot", is_bot=True)
    async with at_work(server, bot, conversation, database):
        group.says(anonymous, "@harbour_bot hello", sender_chat=group.wire)
        await bot.until(lambda: answers(group))
        for command in ("/optin", "/optout", "/forgetme"):
            before = len(group.shown)
            group.says(anonymous, command, sender_chat=group.wire)
            await bot.until(lambda before=before: len(group.shown) > before)
            assert "write to me in private" in group.texts[-1]
    assert not any("May I learn" in text for text in group.texts)
