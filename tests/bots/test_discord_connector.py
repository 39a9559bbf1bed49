from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import pytest
from discord_running import account, add_account, hurry, running, said
from discord_server import Bot, DiscordServer, Place
from discord_world import FORUM
from fake_engine import FakeEngine
from sqlalchemy import select
from waiting import until

from bots.connectors import view_of
from bots.conversation import Conversation
from bots.discord import connector
from bots.discord.components import PREFIX
from bots.discord.connector import DiscordConnector
from bots.platforms import AccountStopped
from config.errors import EngineUnavailable
from serving.entrance import GOES_ON
from store.database import Database
from store.tables import Channel, Message, RoleGiven, Vote

User = dict[str, Any]


@pytest.fixture
async def discord(monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[DiscordServer]:
    hurry(monkeypatch)
    async with DiscordServer() as server:
        yield server


@pytest.fixture
async def bot(discord: DiscordServer, database: Database) -> Bot:
    made = discord.bot("Harbour")
    await add_account(database, discord, made)
    return made


@pytest.fixture
def ada(discord: DiscordServer) -> User:
    return discord.user("Ada")


@pytest.fixture
def general(discord: DiscordServer, bot: Bot) -> Place:
    """The text channel of a guild that the bot is in."""
    return discord.general(discord.guild("Quay", bot))


@pytest.fixture
async def ready(database: Database, conversation: Conversation, discord: DiscordServer, bot: Bot, general: Place,
                ada: User) -> AsyncIterator[None]:  # fmt: skip
    """The connector is at work, and the bot is in a guild and in a direct channel with Ada."""
    discord.direct(bot, ada)
    async with running(database, conversation, discord, bot):
        yield


def mention(bot: Bot) -> str:
    return f"<@{bot.user['id']}>"


def last(place: Place, bot: Bot) -> dict[str, Any]:
    """The bot's newest message there."""
    return [m for m in place.messages.values() if m["author"]["id"] == bot.user["id"]][-1]


async def operator(database: Database, subject: str) -> None:
    async with database.session() as session:
        session.add(RoleGiven(subject=subject, assistant_id=None, role="operator", given_by="owner"))


async def logged(database: Database) -> list[Message]:
    async with database.session() as session:
        return list(await session.scalars(select(Message).order_by(Message.id)))


# answering


async def test_a_direct_message_is_answered(discord: DiscordServer, bot: Bot, ada: User, ready: None) -> None:
    place = discord.direct(bot, ada)
    await discord.say(place, ada, "Hello")
    await said(discord, place, bot, lambda texts: texts == ["Hello there."])


async def test_in_a_guild_only_mentions_replies_and_commands_are_answered(
    discord: DiscordServer, bot: Bot, ada: User, general: Place, fake_engine: FakeEngine, ready: None
) -> None:
    await discord.say(general, ada, "Nobody in particular")
    await discord.say(general, ada, f"{mention(bot)} what time is it?")
    await said(discord, general, bot, lambda texts: len(texts) == 1)
    answer = last(general, bot)
    assert answer["message_reference"]["message_id"] == list(general.messages)[1]
    await discord.say(general, ada, "And tomorrow?", reply_to=answer["id"])
    await said(discord, general, bot, lambda texts: len(texts) == 2)
    assert [request[1][-1]["content"] for request in fake_engine.requests] == [
        "Ada: what time is it?",
        "Ada: And tomorrow?",
    ]


async def test_bots_webhooks_and_itself_are_never_answered(
    discord: DiscordServer, bot: Bot, ada: User, general: Place, fake_engine: FakeEngine, ready: None
) -> None:
    other = discord.bot("Other")
    await discord.say(general, other.user, f"{mention(bot)} hello")
    await discord.say(general, ada, f"{mention(bot)} hello", webhook_id="5")
    await discord.say(general, bot.user, f"{mention(bot)} hello")
    await discord.say(general, ada, f"{mention(bot)} joined", type=7)
    await discord.say(general, ada, f"{mention(bot)} now really")
    await until(lambda: fake_engine.requests)
    await said(discord, general, bot, lambda texts: texts[-1:] == ["Hello there."])
    assert len(fake_engine.requests) == 1


async def test_the_same_event_twice_is_answered_once(
    discord: DiscordServer, bot: Bot, ada: User, fake_engine: FakeEngine, ready: None
) -> None:
    place = discord.direct(bot, ada)
    message = await discord.say(place, ada, "Hello")
    await discord.again(place, message)
    await discord.say(place, ada, "Second")
    await said(discord, place, bot, lambda texts: len(texts) == 2)
    assert len(fake_engine.requests) == 2


async def test_nobody_but_the_asker_is_ever_notified(
    discord: DiscordServer, bot: Bot, ada: User, general: Place, fake_engine: FakeEngine, ready: None
) -> None:
    bea = discord.user("Bea")
    fake_engine.script = [[f"@everyone @here <@{bea['id']}> look"]]
    await discord.say(general, ada, f"{mention(bot)} call them all")
    await said(discord, general, bot, lambda texts: "look" in texts[-1] if texts else False)
    assert discord.pings[last(general, bot)["id"]] == {ada["id"]}


async def test_a_long_answer_comes_in_parts_of_at_most_2000_characters(
    discord: DiscordServer, bot: Bot, ada: User, fake_engine: FakeEngine, ready: None
) -> None:
    place = discord.direct(bot, ada)
    fake_engine.script = [["word " * 1500]]
    await discord.say(place, ada, "Go on")
    texts = await said(discord, place, bot, lambda texts: sum(len(text.split()) for text in texts) == 1500)
    assert len(texts) >= 4
    assert all(len(text) <= 2000 for text in texts)


async def test_a_streamed_answer_grows_in_one_message_and_ends_with_buttons(
    discord: DiscordServer, bot: Bot, ada: User, fake_engine: FakeEngine, ready: None
) -> None:
    place, gate = discord.direct(bot, ada), asyncio.Event()
    fake_engine.script = [["The beginning", gate, " and the end."]]
    await discord.say(place, ada, "Tell me")
    await said(discord, place, bot, lambda texts: texts == ["The beginning"])
    gate.set()
    await said(discord, place, bot, lambda texts: texts == ["The beginning and the end."])
    await until(lambda: last(place, bot)["components"])
    labels = [button["label"] for button in last(place, bot)["components"][0]["components"]]
    assert len(labels) == 3
    assert any(call.path.endswith("/typing") for call in discord.calls)


async def test_threads_and_forum_posts_are_channels_of_their_own_within_theirs(
    discord: DiscordServer, bot: Bot, ada: User, general: Place, database: Database, ready: None
) -> None:
    forum = discord.channel(discord.guilds[str(general.guild_id)], "questions", FORUM)
    await discord.gateway.to_bot(bot, "CHANNEL_CREATE", forum.wire)
    for parent in (general, forum):
        thread = discord.thread(parent, "apart")
        await discord.gateway.to_bot(bot, "THREAD_CREATE", thread.wire)
        await discord.say(thread, ada, f"{mention(bot)} hello")
        await said(discord, thread, bot, lambda texts: texts == ["Hello there."])
        async with database.session() as session:
            row = (await session.scalars(select(Channel).where(Channel.key == f"quay:{thread.id}"))).one()
        assert (row.parent_key, row.server_key) == (f"quay:{parent.id}", f"quay:guild:{general.guild_id}")
        assert not row.private


async def test_a_thread_that_the_library_never_heard_of_is_looked_up(
    discord: DiscordServer, bot: Bot, ada: User, general: Place, database: Database, ready: None
) -> None:
    thread = discord.thread(general, "old")
    await discord.say(thread, ada, f"{mention(bot)} hello")
    await said(discord, thread, bot, lambda texts: texts == ["Hello there."])
    async with database.session() as session:
        row = (await session.scalars(select(Channel).where(Channel.key == f"quay:{thread.id}"))).one()
    assert row.parent_key == f"quay:{general.id}"


async def test_text_files_are_read(
    discord: DiscordServer, bot: Bot, ada: User, fake_engine: FakeEngine, ready: None
) -> None:
    place = discord.direct(bot, ada)
    await discord.say(place, ada, "What is this?", attachments=[discord.attach("notes.txt", b"The tide turns at nine")])
    await said(discord, place, bot, lambda texts: texts == ["Hello there."])
    assert "The tide turns at nine" in fake_engine.requests[0][1][-1]["content"]


async def test_an_edit_changes_what_is_remembered_and_a_deletion_takes_it_away(
    discord: DiscordServer, bot: Bot, ada: User, database: Database, ready: None
) -> None:
    place = discord.direct(bot, ada)
    first = await discord.say(place, ada, "My boat is blu")
    second = await discord.say(place, ada, "And fast")
    third = await discord.say(place, ada, "And old")
    await said(discord, place, bot, lambda texts: len(texts) == 3)
    await discord.change(place, first, "My boat is blue")
    await until_text(database, first["id"], "My boat is blue")
    await discord.remove(place, second["id"], third["id"])
    await until_text(database, second["id"], "")
    await until_text(database, third["id"], "")
    await discord.remove(place, first["id"])
    await until_text(database, first["id"], "")


async def until_text(database: Database, external_id: str, text: str) -> None:
    async def changed() -> bool:
        return any(one.external_id == external_id and one.text == text for one in await logged(database))

    await until(changed)


# commands and buttons


async def test_commands_are_registered_per_guild_once_and_again_only_when_they_change(
    discord: DiscordServer, bot: Bot, database: Database, conversation: Conversation, general: Place
) -> None:
    for _ in range(2):
        async with running(database, conversation, discord, bot):
            await until(lambda: len(bot.commands) == 2)
            await until_known(database, 2)
    assert bot.commands_written == 2
    shown = {command["name"]: command for command in bot.commands[str(general.guild_id)]}
    assert {"help", "reset", "retrain", "promote", "teach"} <= set(shown)
    assert "vote" not in shown
    assert [option["name"] for option in shown["teach"]["options"]] == ["question", "answer"]
    assert shown["promote"]["options"][0]["autocomplete"] is True
    assert shown["retrain"]["default_member_permissions"] == "32"
    assert "default_member_permissions" not in shown["help"]
    assert bot.commands[""][0]["contexts"] == [1]


async def until_known(database: Database, count: int) -> None:
    async def known() -> bool:
        return len((await account(database)).cursor.get("commands", {})) == count

    await until(known)


async def test_once_there_is_an_operator_everybody_sees_operators_commands(
    discord: DiscordServer, bot: Bot, database: Database, general: Place, ready: None
) -> None:
    guild = str(general.guild_id)
    await until(lambda: bot.commands.get(guild))
    await operator(database, "discord-role:77")
    await until(lambda: all("default_member_permissions" not in command for command in bot.commands[guild]))


async def test_a_slash_command_is_acknowledged_at_once_and_answered_in_its_place(
    discord: DiscordServer, bot: Bot, ada: User, general: Place, fake_engine: FakeEngine, ready: None
) -> None:
    gate = asyncio.Event()
    fake_engine.script = [["First."], [gate, "Second."]]
    await discord.say(general, ada, f"{mention(bot)} hello")
    await said(discord, general, bot, lambda texts: texts == ["First."])
    asked = await discord.command(bot, general, ada, "again")
    await asked.answered.wait()
    assert asked.callback == (5, {})
    gate.set()
    await until(lambda: asked.original and asked.original["content"] == "Second.")
    assert discord.interactions.late == 0


async def test_what_comes_after_the_token_died_is_an_ordinary_message(
    discord: DiscordServer, bot: Bot, ada: User, general: Place, fake_engine: FakeEngine, ready: None
) -> None:
    gate = asyncio.Event()
    fake_engine.script = [["First."], ["Second", gate, ", at last."]]
    await discord.say(general, ada, f"{mention(bot)} hello")
    await said(discord, general, bot, lambda texts: texts == ["First."])
    asked = await discord.command(bot, general, ada, "again")
    await until(lambda: asked.original and asked.original["content"] == "Second")
    asked.age(900)
    gate.set()
    await said(discord, general, bot, lambda texts: "Second, at last." in texts)


async def test_a_command_that_shows_nothing_leaves_nothing_behind(
    discord: DiscordServer, bot: Bot, ada: User, general: Place, fake_engine: FakeEngine, ready: None
) -> None:
    fake_engine.script = [["It begins", asyncio.Event()]]
    await discord.say(general, ada, f"{mention(bot)} hello")
    await said(discord, general, bot, lambda texts: texts == ["It begins"])
    asked = await discord.command(bot, general, ada, "stop")
    await asked.answered.wait()
    await until(lambda: asked.original is None)
    await said(discord, general, bot, lambda texts: len(texts) == 1)


async def test_what_concerns_the_asker_alone_is_shown_to_them_alone(
    discord: DiscordServer, bot: Bot, ada: User, general: Place, ready: None
) -> None:
    asked = await discord.command(bot, general, ada, "privacy")
    await until(lambda: asked.whispers and "kept" in asked.whispers[0])
    assert discord.said(general, bot) == []


async def test_an_interaction_without_a_channel_is_answered_by_its_id(
    discord: DiscordServer, bot: Bot, ada: User, general: Place, ready: None
) -> None:
    asked = await discord.command(bot, general, ada, "start", bare=True)
    await until(lambda: asked.original and "harbour" in asked.original["content"])


async def test_a_command_works_where_the_bot_may_not_write(
    discord: DiscordServer, bot: Bot, ada: User, general: Place, ready: None
) -> None:
    general.mute = True
    asked = await discord.command(bot, general, ada, "start")
    await until(lambda: asked.original and "harbour" in asked.original["content"])


async def test_options_are_completed_for_operators_and_for_nobody_else(
    discord: DiscordServer, bot: Bot, ada: User, general: Place, database: Database, ready: None
) -> None:
    refused = await discord.complete(bot, general, ada, "assistant", "name", "har")
    await refused.answered.wait()
    await operator(database, f"discord:{ada['id']}")
    asked = await discord.complete(bot, general, ada, "assistant", "name", "har")
    await asked.answered.wait()
    assert refused.callback == (8, {"choices": []})
    assert asked.callback == (8, {"choices": [{"name": "harbour", "value": "harbour"}]})


async def test_a_server_role_makes_an_operator(
    discord: DiscordServer, bot: Bot, ada: User, general: Place, database: Database, ready: None
) -> None:
    role = discord.role(discord.guilds[str(general.guild_id)], "Gardeners")
    await operator(database, f"discord-role:{role}")
    refused = await discord.command(bot, general, ada, "versions")
    allowed = await discord.command(bot, general, ada, "versions", roles=[role])
    await until(lambda: refused.original and "for those who look after" in refused.original["content"])
    await until(lambda: allowed.original and allowed.original["content"])
    assert allowed.original is not None
    assert "for those who look after" not in allowed.original["content"]


async def test_a_better_answer_is_taught_from_a_message_s_menu(
    discord: DiscordServer, bot: Bot, ada: User, general: Place, database: Database, ready: None
) -> None:
    await discord.say(general, ada, f"{mention(bot)} when do you open?")
    await said(discord, general, bot, lambda texts: texts == ["Hello there."])
    answer = last(general, bot)
    refused = await discord.menu(bot, general, ada, "Teach a better answer", answer)
    await until(lambda: refused.callback)
    assert refused.callback is not None
    assert refused.callback[1]["flags"] == 64
    await operator(database, f"discord:{ada['id']}")
    form = await discord.menu(bot, general, ada, "Teach a better answer", answer)
    await form.answered.wait()
    sent = await discord.submit(form, "At six.")
    await until(lambda: sent.original and "At six." in sent.original["content"])


async def test_a_vote_is_recorded_and_told_to_the_voter_alone_also_after_a_restart(
    discord: DiscordServer, bot: Bot, ada: User, database: Database, conversation: Conversation, general: Place
) -> None:
    async with running(database, conversation, discord, bot):
        await discord.say(general, ada, f"{mention(bot)} hello")
        await until(lambda: discord.said(general, bot) and last(general, bot)["components"])
    async with running(database, conversation, discord, bot):
        answer = last(general, bot)
        label = answer["components"][0]["components"][0]["label"]
        pressed = await discord.press(bot, general, ada, answer, label)
        await until(lambda: pressed.whispers)
    assert pressed.callback == (6, {})
    async with database.session() as session:
        assert [vote.value for vote in await session.scalars(select(Vote))] == [1]
    assert discord.said(general, bot) == ["Hello there."]


TAMPERED = ("x", "/promote 1", "promote", "/nonsense 1", "/vote good 999999", "/vote good -1;--", "/promote 1 2 3")


@pytest.mark.parametrize("custom_id", TAMPERED[:2] + tuple(PREFIX + one for one in TAMPERED[2:]))
async def test_a_tampered_button_is_answered_kindly_and_to_the_one_who_pressed_alone(
    discord: DiscordServer, bot: Bot, ada: User, general: Place, custom_id: str, ready: None
) -> None:
    message = await discord.say(general, bot.user, "An old message")
    pressed = await discord.press(bot, general, ada, message, "", custom_id=custom_id)
    await until(lambda: pressed.whispers)
    assert discord.said(general, bot) == ["An old message"]


# servers


async def test_a_server_is_greeted_when_it_adds_the_bot_and_its_channels_are_left_when_it_removes_it(
    discord: DiscordServer, bot: Bot, ada: User, database: Database, ready: None
) -> None:
    await until_guilds(database, 1)
    guild = discord.guild("Pier")
    await discord.join(bot, guild)
    place = discord.general(guild)
    await said(discord, place, bot, lambda texts: len(texts) == 1 and "harbour" in texts[0])
    await until(lambda: bot.commands.get(guild["id"]))
    await discord.say(place, ada, f"{mention(bot)} hello")
    await said(discord, place, bot, lambda texts: len(texts) == 2)
    await discord.kick(bot, guild)

    async def gone() -> bool:
        async with database.session() as session:
            return not (await session.scalars(select(Channel).where(Channel.key == f"quay:{place.id}"))).one().present

    await until(gone)


async def test_a_server_that_added_the_bot_while_it_was_off_is_greeted_and_one_it_knew_is_not(
    discord: DiscordServer, bot: Bot, general: Place, database: Database, conversation: Conversation
) -> None:
    async with running(database, conversation, discord, bot):
        await until_guilds(database, 1)
    pier = discord.guild("Pier", bot)
    async with running(database, conversation, discord, bot):
        await said(discord, discord.general(pier), bot, lambda texts: len(texts) == 1)
        await until_guilds(database, 2)
    assert discord.said(general, bot) == []


async def until_guilds(database: Database, count: int) -> None:
    async def known() -> bool:
        return len((await account(database)).cursor.get("guilds", [])) == count

    await until(known)


# without the intent


async def test_without_the_message_content_intent_it_answers_mentions_and_says_what_it_cannot_see(
    discord: DiscordServer, bot: Bot, ada: User, general: Place, database: Database, conversation: Conversation
) -> None:
    bot.content = False
    async with running(database, conversation, discord, bot):

        async def told() -> str | None:
            return (await account(database)).trouble

        assert "Message Content" in str(await until(told))
        await discord.say(general, ada, f"{mention(bot)} hello")
        await said(discord, general, bot, lambda texts: texts == ["Hello there."])
        quoted = {"message_reference": {"message_id": last(general, bot)["id"], "channel_id": general.id}}
        hidden = discord.post(general, ada, {"content": "And you?"})
        hidden |= quoted | {"type": 19, "referenced_message": last(general, bot)}
        await discord.again(general, hidden)
        await said(discord, general, bot, lambda texts: len(texts) == 2 and "mention" in texts[1])
        direct = discord.direct(bot, ada)
        await discord.say(direct, ada, "Hello")
        await said(discord, direct, bot, lambda texts: texts == ["Hello there."])


# surviving


async def test_a_dropped_connection_is_resumed_and_nothing_is_lost(
    discord: DiscordServer, bot: Bot, ada: User, ready: None
) -> None:
    place = discord.direct(bot, ada)
    for breaking in (discord.gateway.drop, discord.gateway.cut, discord.gateway.ask_to_reconnect):
        resumed = discord.gateway.resumed
        count = len(discord.said(place, bot))
        await breaking()
        await discord.say(place, ada, "Are you there?")
        await said(discord, place, bot, lambda texts, count=count: len(texts) == count + 1)  # type: ignore[misc]
        await until(lambda resumed=resumed: discord.gateway.resumed > resumed)
    assert discord.gateway.identified == 1


async def test_what_was_written_before_a_new_session_began_is_read_from_history(
    discord: DiscordServer, bot: Bot, ada: User, general: Place, fake_engine: FakeEngine, ready: None
) -> None:
    direct = discord.direct(bot, ada)
    await discord.say(direct, ada, "Known to you")
    await said(discord, direct, bot, lambda texts: len(texts) == 1)
    discord.gateway.sessions.clear()
    await discord.say(direct, ada, "Written in between")
    await discord.say(general, ada, f"{mention(bot)} written in between as well")
    await discord.gateway.forget_sessions()
    await said(discord, direct, bot, lambda texts: len(texts) == 2)
    await said(discord, general, bot, lambda texts: len(texts) == 1)
    assert len(fake_engine.requests) == 3


async def test_what_was_written_while_the_process_was_gone_is_answered_once_in_order(
    discord: DiscordServer, bot: Bot, ada: User, general: Place, database: Database, conversation: Conversation,
    fake_engine: FakeEngine,
) -> None:  # fmt: skip
    async with running(database, conversation, discord, bot):
        await discord.say(general, ada, f"{mention(bot)} one")
        await said(discord, general, bot, lambda texts: len(texts) == 1)
    for word in ("two", "three"):
        await discord.say(general, ada, f"{mention(bot)} {word}")
    await discord.say(general, ada, "not for you")
    async with running(database, conversation, discord, bot):
        await said(discord, general, bot, lambda texts: len(texts) == 3)
    asked = [request[1][-1]["content"] for request in fake_engine.requests]
    assert asked == ["Ada: one", "Ada: two", "Ada: three"]


async def test_an_operator_by_server_role_is_one_for_what_was_missed_too(
    discord: DiscordServer, bot: Bot, ada: User, general: Place, database: Database, conversation: Conversation
) -> None:
    async with running(database, conversation, discord, bot):
        await until_guilds(database, 1)
    ada["_roles"] = ["77"]
    await operator(database, "discord-role:77")
    await discord.say(general, ada, f"{mention(bot)} /versions")
    async with running(database, conversation, discord, bot):
        texts = await said(discord, general, bot, bool)
    assert "for those who look after" not in texts[0]


async def test_one_event_that_nobody_can_read_ends_nothing(
    discord: DiscordServer, bot: Bot, ada: User, ready: None
) -> None:
    place = discord.direct(bot, ada)
    for event, payload in (
        ("MESSAGE_CREATE", {"nonsense": 1}),
        ("INTERACTION_CREATE", {"id": {}}),
        ("GUILD_CREATE", []),
    ):
        await discord.gateway.to_bot(bot, event, payload)
    await discord.say(place, ada, "Still there?")
    await said(discord, place, bot, lambda texts: texts == ["Hello there."])
    assert discord.gateway.identified == 1


async def test_a_client_that_ended_is_started_again(discord: DiscordServer, bot: Bot, ada: User, ready: None) -> None:
    place = discord.direct(bot, ada)
    await until(lambda: bot.commands_written == 2)  # so that it was well before
    for session in discord.gateway.sessions.values():
        assert session.socket is not None
        await session.socket.response.send_str("no JSON at all")
    await until(lambda: discord.gateway.identified == 2)
    await discord.say(place, ada, "Still there?")
    await said(discord, place, bot, lambda texts: texts == ["Hello there."])


async def test_a_token_that_is_revoked_stops_its_account_alone_and_says_so(
    discord: DiscordServer, bot: Bot, ada: User, database: Database, conversation: Conversation
) -> None:
    other = discord.bot("Pier")
    await add_account(database, discord, other, "pier")
    async with (
        running(database, conversation, discord, bot) as first,
        running(database, conversation, discord, other, "pier"),
    ):
        bot.revoked = True
        for session in discord.gateway.sessions.values():
            if session.bot is bot and session.socket is not None:
                await session.socket.response.close(code=4004)
        with pytest.raises(AccountStopped, match="no longer accepts"):
            await first
        place = discord.direct(other, ada)
        await discord.say(place, ada, "And you?")
        await said(discord, place, other, lambda texts: texts == ["Hello there."])


@pytest.mark.parametrize("moment", ["before", "after"])
async def test_a_token_refused_by_any_call_stops_the_account(
    discord: DiscordServer, bot: Bot, ada: User, database: Database, conversation: Conversation, moment: str
) -> None:
    bot.revoked = moment == "before"
    async with running(database, conversation, discord, bot) as task:
        if moment == "after":
            bot.revoked = True
            await discord.say(discord.direct(bot, ada), ada, "Hello")
        with pytest.raises(AccountStopped):
            await task


async def test_a_discord_that_cannot_be_reached_is_tried_again_and_the_account_says_so_meanwhile(
    discord: DiscordServer, bot: Bot, database: Database, conversation: Conversation
) -> None:
    fault = discord.fail("GET", "/users/@me$", 0, times=1_000)
    view = view_of(await account(database))
    task = asyncio.create_task(DiscordConnector(view, conversation, database).run())

    async def trouble() -> str | None:
        return (await account(database)).trouble

    async def well() -> bool:
        return await trouble() is None

    try:
        assert "cannot be reached" in str(await until(trouble))
        fault.times = 0
        await until(lambda: discord.gateway.connected(bot))
        await until(well)
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)


async def test_two_servers_are_reached_from_one_process(
    discord: DiscordServer, bot: Bot, database: Database, conversation: Conversation, ada: User
) -> None:
    async with DiscordServer() as elsewhere:
        other, bea = elsewhere.bot("Elsewhere"), elsewhere.user("Bea")
        await add_account(database, elsewhere, other, "elsewhere")
        async with (
            running(database, conversation, discord, bot),
            running(database, conversation, elsewhere, other, "elsewhere"),
        ):
            for server, who, person in ((discord, bot, ada), (elsewhere, other, bea)):
                place = server.direct(who, person)
                await server.say(place, person, "Hello")
                await said(server, place, who, lambda texts: texts == ["Hello there."])


@pytest.mark.parametrize("everywhere", [True, False])
async def test_a_429_is_waited_out_and_other_channels_go_on_unless_it_is_for_all(
    discord: DiscordServer, bot: Bot, ada: User, everywhere: bool, ready: None
) -> None:
    bea = discord.user("Bea")
    slow, other = discord.direct(bot, ada), discord.direct(bot, bea)
    where = f"/channels/{slow.id}/messages$"
    fault = discord.fail("POST", where, 429, retry_after=0.3, everywhere=everywhere)
    await discord.say(slow, ada, "Hello")
    await until(lambda: fault.times == 0)
    await discord.say(other, bea, "Hello")
    await said(discord, slow, bot, lambda texts: texts == ["Hello there."])
    await said(discord, other, bot, lambda texts: texts == ["Hello there."])
    posts = [call for call in discord.calls if call.method == "POST" and call.path.endswith("/messages")]
    refused = next(call for call in posts if call.status == 429)
    to_other = next(call for call in posts if other.id in call.path)
    assert (to_other.at - refused.at > 0.3) is everywhere


@pytest.mark.parametrize(("status", "acted"), [(500, False), (500, True), (0, False), (0, True)])
async def test_a_server_out_of_order_costs_no_message_and_doubles_none(
    discord: DiscordServer, bot: Bot, ada: User, status: int, acted: bool, ready: None
) -> None:
    place = discord.direct(bot, ada)
    fault = discord.fail("POST", "/messages$", status, acted=acted)
    await discord.say(place, ada, "Hello")
    await said(discord, place, bot, lambda texts: fault.times == 0 and texts == ["Hello there."])
    await until(lambda: last(place, bot)["components"])
    assert discord.said(place, bot) == ["Hello there."]


async def test_a_message_that_was_sent_but_not_noted_is_found_when_discord_forgot_its_nonce(
    discord: DiscordServer, bot: Bot, ada: User, database: Database, conversation: Conversation,
    monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    from datetime import timedelta

    from bots.discord import outlet
    from store.tables import Delivery

    place = discord.direct(bot, ada)
    async with running(database, conversation, discord, bot):
        await discord.say(place, ada, "Hello")
        await until(lambda: discord.said(place, bot) and last(place, bot)["components"])
        await until_delivered(database)
    async with database.session() as session:  # as if it had been killed right after sending
        for row in await session.scalars(select(Delivery)):
            row.external_id = None
        for message in await session.scalars(select(Message)):
            message.delivered_at = None
    place.nonces.clear()
    monkeypatch.setattr(outlet, "NONCES_LAST", timedelta(0))
    async with running(database, conversation, discord, bot):
        await until_delivered(database)
    assert discord.said(place, bot) == ["Hello there."]


async def test_half_an_answer_that_was_sent_but_not_noted_is_completed_where_it_stands(
    discord: DiscordServer, bot: Bot, ada: User, database: Database, conversation: Conversation, fake_engine: FakeEngine
) -> None:
    place, gate = discord.direct(bot, ada), asyncio.Event()
    fake_engine.script = [["It begins", gate, " and ends."]]
    fault = discord.fail("POST", "/messages$", 0, acted=True, times=1_000)
    async with running(database, conversation, discord, bot):
        await discord.say(place, ada, "Hello")
        await said(discord, place, bot, lambda texts: texts == ["It begins"])
    gate.set()
    await until_text_of_answer(database, "It begins and ends.")
    fault.times = 0
    async with running(database, conversation, discord, bot):
        await said(discord, place, bot, lambda texts: texts == ["It begins and ends."])
        await until(lambda: last(place, bot)["components"])


async def until_delivered(database: Database) -> None:
    async def delivered() -> bool:
        return all(one.delivered_at for one in await logged(database) if one.role == "assistant")

    await until(delivered)


async def test_an_archived_thread_and_a_channel_it_may_not_write_in_are_no_trouble(
    discord: DiscordServer, bot: Bot, ada: User, general: Place, fake_engine: FakeEngine, ready: None
) -> None:
    thread = discord.thread(general, "old")
    await discord.gateway.to_bot(bot, "THREAD_CREATE", thread.wire)
    gate = asyncio.Event()
    fake_engine.script = [["It begins", gate, " and ends."], ["Hello there."]]
    await discord.say(thread, ada, f"{mention(bot)} hello")
    await said(discord, thread, bot, lambda texts: texts == ["It begins"])
    thread.wire["thread_metadata"]["archived"] = True
    gate.set()
    await said(discord, thread, bot, lambda texts: "It begins and ends." in texts)
    general.mute = True
    await discord.say(general, ada, f"{mention(bot)} hello")
    await until(lambda: [call for call in discord.calls if call.status == 403 and call.path.endswith("/messages")])
    general.mute = False
    await discord.say(general, ada, f"{mention(bot)} once more")
    await said(discord, general, bot, lambda texts: texts == ["Hello there."])


async def test_an_engine_that_dies_mid_answer_is_told_and_the_answer_goes_on_in_its_message(
    discord: DiscordServer, bot: Bot, ada: User, fake_engine: FakeEngine, ready: None
) -> None:
    place, gate = discord.direct(bot, ada), asyncio.Event()
    fake_engine.script = [["It begins", gate, " and", EngineUnavailable("gone")], [" ends."]]
    await discord.say(place, ada, "Hello")
    await said(discord, place, bot, lambda texts: texts == ["It begins"])
    fake_engine.be("restarting", "The engine is being started again.")
    gate.set()
    await said(discord, place, bot, lambda texts: texts == ["It begins and", GOES_ON])
    fake_engine.be("ready", "The engine is ready.")
    await said(discord, place, bot, lambda texts: texts == ["It begins and ends."])
    await until(lambda: last(place, bot)["components"])


async def test_an_engine_that_dies_again_leaves_an_honest_sentence(
    discord: DiscordServer, bot: Bot, ada: User, fake_engine: FakeEngine, ready: None
) -> None:
    place = discord.direct(bot, ada)
    fake_engine.script = [["It begins", EngineUnavailable("gone")], [EngineUnavailable("gone")], ["Back."]]
    await discord.say(place, ada, "Hello")
    texts = await said(discord, place, bot, lambda texts: any("cut off" in text for text in texts))
    assert texts[0] == "It begins"
    await discord.say(place, ada, "And now?")
    await said(discord, place, bot, lambda texts: texts[-1] == "Back.")


async def test_a_paused_account_answers_nobody_and_resumed_shows_what_was_cut_off(
    discord: DiscordServer, bot: Bot, ada: User, database: Database, conversation: Conversation, fake_engine: FakeEngine
) -> None:
    place, gate = discord.direct(bot, ada), asyncio.Event()
    fake_engine.script = [["It begins", gate, " and ends."]]
    async with running(database, conversation, discord, bot):
        await discord.say(place, ada, "Hello")
        await said(discord, place, bot, lambda texts: texts == ["It begins"])
    gate.set()
    await until_text_of_answer(database, "It begins and ends.")
    async with running(database, conversation, discord, bot):
        await said(discord, place, bot, lambda texts: texts == ["It begins and ends."])
    assert len(fake_engine.requests) == 1


async def until_text_of_answer(database: Database, text: str) -> None:
    async def there() -> bool:
        return any(one.role == "assistant" and one.text == text for one in await logged(database))

    await until(there)


async def test_no_log_line_holds_a_token(
    discord: DiscordServer, bot: Bot, ada: User, database: Database, conversation: Conversation,
    capfd: pytest.CaptureFixture[str], caplog: pytest.LogCaptureFixture,
) -> None:  # fmt: skip
    discord.fail("GET", "/users/@me$", 500, times=1)
    async with running(database, conversation, discord, bot) as task:
        discord.fail("POST", "/callback$", 429, retry_after=0.1)
        asked = await discord.command(bot, discord.direct(bot, ada), ada, "start")
        await until(lambda: asked.original and asked.original["content"])
        assert "429" in caplog.text
        assert asked.token not in caplog.text
        bot.revoked = True
        await discord.gateway.drop(code=4004)
        with pytest.raises(AccountStopped) as stopped:
            await task
    seen = capfd.readouterr()
    assert bot.token not in seen.out + seen.err + caplog.text + str(stopped.value) + repr(connector.DiscordConnector)


async def test_a_strict_server_never_has_to_refuse_a_call(
    discord: DiscordServer,
    bot: Bot,
    general: Place,
    fake_engine: FakeEngine,
    monkeypatch: pytest.MonkeyPatch,
    ready: None,
) -> None:
    discord.limiter.strict = True
    monkeypatch.setattr("bots.discord.outlet.PACE", 1.2)
    fake_engine.script = [["word "] * 50]
    people = [discord.user(f"Person {number}") for number in range(60)]
    for person in people:
        await discord.say(discord.direct(bot, person), person, "Go on")
    for person in people[:6]:
        await discord.say(general, person, f"{mention(bot)} and here")
    await until(lambda: all(discord.said(discord.direct(bot, person), bot) for person in people))
    await until(lambda: len(discord.said(general, bot)) == 6)
    assert discord.limiter.refused == 0
