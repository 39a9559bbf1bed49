from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import discord
import pytest
from discord_server import Bot, DiscordServer, Place
from discord_world import Wire
from pydantic import SecretStr

from bots.discord import incomings, slash
from bots.discord.calls import A_SECOND, Calls, Turns
from bots.discord.client import Client
from bots.discord.components import command_of, rows_of
from bots.discord.cursor import MARGIN, Reading
from bots.discord.identity import check
from bots.discord.interactions import Interaction, incoming_of
from bots.events import Button
from bots.incoming import Incoming
from config.errors import BadInput, Refused


class Library:
    """The library, fed with events as the gateway sends them; gives what it makes of messages."""

    def __init__(self, world: DiscordServer, bot: Bot, guild: Wire) -> None:
        self.world, self.bot, self.guild = world, bot, guild
        self.client = Client(Calls(None), content=True)
        self.made: list[discord.Message] = []
        state = self.client._connection
        state.dispatch = lambda event, *args: self.made.append(args[0]) if event == "message" else None
        state.user = discord.ClientUser(state=state, data=bot.user)  # type: ignore[arg-type]
        state.parse_guild_create(world.as_seen(guild["id"], bot) | {"unavailable": False})  # type: ignore[arg-type]

    def message(
        self, place: Place, author: Wire, text: str, *, roles: list[str] | None = None, **more: Any
    ) -> discord.Message:
        wire = self.world.post(place, author, {"content": text} | more.pop("body", {}), **more)
        if place.guild_id is not None:
            wire = wire | {"guild_id": place.guild_id, "member": self.world.member(author, roles)}
        self.client._connection.parse_message_create(wire)  # type: ignore[arg-type]
        return self.made[-1]

    def incoming(self, *args: Any, **more: Any) -> Incoming:
        return incomings.incoming_of(self.message(*args, **more), "quay", int(self.bot.user["id"]))


@pytest.fixture
def world() -> DiscordServer:
    return DiscordServer()


@pytest.fixture
def bot(world: DiscordServer) -> Bot:
    return world.bot("Harbour")


@pytest.fixture
def ada(world: DiscordServer) -> Wire:
    return world.user("Ada")


@pytest.fixture
async def library(world: DiscordServer, bot: Bot) -> Library:
    return Library(world, bot, world.guild("Quay", bot))


async def test_a_guild_message_knows_its_place_its_author_and_their_roles(library: Library, ada: Wire) -> None:
    role = library.world.role(library.guild, "Gardeners")
    library = Library(library.world, library.bot, library.guild)
    general = library.world.general(library.guild)
    made = library.incoming(general, ada, "hello", roles=[role])
    assert (made.channel, made.server) == (f"quay:{general.id}", f"quay:guild:{library.guild['id']}")
    assert (made.author, made.person, made.username) == ("Ada", f"discord:{ada['id']}", "ada")
    assert f"discord-role:{role}" in made.server_roles
    assert (made.private, made.mentioned, made.title) == (False, False, "#general in Quay")


async def test_a_direct_message_is_private(library: Library, bot: Bot, ada: Wire) -> None:
    made = library.incoming(library.world.direct(bot, ada), ada, "hello")
    assert (made.private, made.server, made.parent, made.title) == (True, None, None, "Ada")


@pytest.mark.parametrize(
    ("text", "read"),
    [
        ("<@US> hello", "hello"),
        ("<@!US>, hello", "hello"),
        ("hello <@US>", "hello"),
        ("<@US><@US> hello", "hello"),
        ("ask <@US> about it", "ask @Harbour about it"),
        ("<@US> /promote 3", "/promote 3"),
        ("<@US>", ""),
        ("<@US> <:wave:123> in <#PLACE>", ":wave: in #general"),
    ],
)
async def test_text_reads_as_people_see_it(library: Library, bot: Bot, ada: Wire, text: str, read: str) -> None:
    general = library.world.general(library.guild)
    text = text.replace("US", bot.user["id"]).replace("PLACE", general.id)
    made = library.incoming(general, ada, text)
    assert (made.text, made.mentioned) == (read, True)


async def test_other_people_are_named_but_exact_in_commands(library: Library, ada: Wire) -> None:
    bea, general = library.world.user("Bea"), library.world.general(library.guild)
    assert library.incoming(general, ada, f"ask <@{bea['id']}>").text == "ask @Bea"
    assert library.incoming(general, ada, f"/operator <@{bea['id']}>").text == f"/operator <@{bea['id']}>"


async def test_a_reply_to_us_and_the_bot_s_own_role_count_as_a_mention(library: Library, bot: Bot, ada: Wire) -> None:
    role = library.world.role(library.guild, "Harbour", of_bot=bot)
    library = Library(library.world, bot, library.guild)
    general = library.world.general(library.guild)
    ours = library.world.post(general, bot.user, {"content": "Hello"})
    reply = {"message_reference": {"message_id": ours["id"]}, "allowed_mentions": {"replied_user": False}}
    made = library.incoming(general, ada, "and you?", body=reply)
    assert (made.mentioned, made.reply_to, made.reply_person) == (True, ours["id"], None)
    made = library.incoming(general, ada, f"<@&{role}> hello")
    assert (made.mentioned, made.text) == (True, "hello")


async def test_a_reply_to_somebody_else_names_them_and_is_not_for_us(library: Library, ada: Wire) -> None:
    bea, general = library.world.user("Bea"), library.world.general(library.guild)
    theirs = library.world.post(general, bea, {"content": "Hello"})
    made = library.incoming(general, ada, "hi", body={"message_reference": {"message_id": theirs["id"]}})
    assert (made.mentioned, made.reply_person) == (False, f"discord:{bea['id']}")


async def test_stickers_and_forwarded_words_are_not_ignored(library: Library, bot: Bot, ada: Wire) -> None:
    direct = library.world.direct(bot, ada)
    sticker = {"id": "5", "name": "Wave", "format_type": 1}
    assert library.incoming(direct, ada, "", sticker_items=[sticker]).attachments[0].name == "sticker Wave"
    snapshot = {"message": {"type": 0, "content": "The tide turns at nine", "mentions": [], "mention_roles": [],
                            "attachments": [], "embeds": [], "timestamp": "2026-01-01T00:00:00+00:00",
                            "edited_timestamp": None, "flags": 0, "components": []}}  # fmt: skip
    forwarded = {
        "message_reference": {"type": 1, "message_id": "1", "channel_id": "2"},
        "message_snapshots": [snapshot],
    }
    assert library.incoming(direct, ada, "", **forwarded).text == "The tide turns at nine"


async def test_bots_webhooks_and_system_messages_are_no_person_s(library: Library, bot: Bot, ada: Wire) -> None:
    general = library.world.general(library.guild)
    assert incomings.is_persons(library.message(general, ada, "hello"))
    assert not incomings.is_persons(library.message(general, bot.user, "hello"))
    assert not incomings.is_persons(library.message(general, ada, "hello", webhook_id="5"))
    assert not incomings.is_persons(library.message(general, ada, "", type=7))


HOSTILE = ("\u202emoc.live", "a\u200bb\u2060c", "<@>", "<@&x>", "<#>", "<@!99999999999999999999999>", "@everyone",
           "\x00", "𝔘" * 500, "(" * 2000)  # fmt: skip


@pytest.mark.parametrize("hostile", HOSTILE)
async def test_hostile_text_is_read_without_harm(library: Library, ada: Wire, hostile: str) -> None:
    assert library.incoming(library.world.general(library.guild), ada, hostile).text == hostile.strip()


# interactions


def payload(**more: Any) -> dict[str, Any]:
    return {"id": "9", "application_id": "5", "type": 2, "token": "t", "version": 1, "channel_id": "7",
            "member": {"user": {"id": "1", "username": "ada", "global_name": "Ada"}, "nick": "Captain", "roles": ["3"]},
            "guild_id": "4", "data": {"name": "help"}, "locale": "de"} | more  # fmt: skip


def test_an_interaction_says_who_and_where_without_a_channel_object() -> None:
    made = incoming_of(Interaction.model_validate(payload()), "quay", "/help")
    assert made is not None
    assert (made.channel, made.server, made.author, made.server_roles) == (
        "quay:7", "quay:guild:4", "Captain", ("discord-role:3",)
    )  # fmt: skip
    assert (made.language, made.external_id, made.mentioned, made.pressed) == ("de", "9", True, False)


def test_an_interaction_in_a_thread_knows_the_thread_s_channel() -> None:
    channel = {"id": "7", "type": 11, "name": "apart", "parent_id": "6"}
    made = incoming_of(Interaction.model_validate(payload(channel=channel)), "quay", "/help")
    assert made is not None
    assert made.parent == "quay:6"


def test_an_interaction_of_nobody_or_nowhere_is_none() -> None:
    assert incoming_of(Interaction.model_validate(payload(member=None)), "quay", "/help") is None
    assert incoming_of(Interaction.model_validate(payload(channel_id=None)), "quay", "/help") is None


def test_a_token_is_in_no_repr() -> None:
    assert "secret" not in repr(Interaction.model_validate(payload(token="secret")))


@pytest.mark.parametrize(
    ("name", "options", "text"),
    [
        ("help", [], "/help"),
        ("promote", [{"name": "version", "type": 3, "value": "3"}], "/promote 3"),
        ("teach", [{"name": "question", "value": "When?"}, {"name": "answer", "value": "At six."}],
         "/teach When? => At six."),
        ("compare", [{"name": "question", "value": "What is\nthe tide?"}], "/compare What is\nthe tide?"),
        ("operator", [{"name": "who", "type": 9, "value": "77"}], "/operator <@77>"),
        ("operator", [{"name": "who", "type": 9, "value": "88"}], "/operator <@&88>"),
    ],
)  # fmt: skip
def test_a_slash_command_is_the_text_that_could_have_been_typed(name: str, options: list[Any], text: str) -> None:
    data = {"name": name, "options": options, "resolved": {"roles": {"88": {}}, "users": {"77": {}}}}
    assert slash.text_of(Interaction.model_validate(payload(data=data))) == text


def test_choices_of_a_command_are_offered_as_such() -> None:
    shown = {command["name"]: command for command in slash.registered(short=False)}
    [mode] = shown["answer"]["options"]
    assert [choice["value"] for choice in mode["choices"]] == ["mentions", "all", "listen"]
    assert shown["operator"]["options"][0]["type"] == 9
    assert all("default_member_permissions" not in command for command in shown.values())


def test_the_digest_of_commands_changes_with_them() -> None:
    commands = slash.registered(short=False)
    assert slash.digest(commands) == slash.digest(slash.registered(short=False))
    assert slash.digest(commands) != slash.digest(commands[1:])


def test_completions_are_at_most_25_of_at_most_100_characters() -> None:
    found = slash.completions([f"{'n' * 120}{i}" for i in range(40)], "N")
    assert len(found) == 25
    assert all(len(choice["name"]) <= 100 for choice in found)


# buttons


def test_a_button_says_its_command_again_when_it_is_pressed() -> None:
    [row] = rows_of([Button("Good", "/vote good 12", "main")])
    assert command_of(row["components"][0]["custom_id"]) == "/vote good 12"


def test_more_than_five_buttons_stand_in_rows_of_five() -> None:
    rows = rows_of([Button(str(i), f"/promote {i}") for i in range(12)])
    assert [len(row["components"]) for row in rows] == [5, 5, 2]


def test_a_button_that_discord_would_refuse_is_not_drawn() -> None:
    with pytest.raises(ValueError, match="characters"):
        rows_of([Button("Long", "/" + "x" * 100)])


@pytest.mark.parametrize("foreign", ["", "x", "/vote good 1", "parlance:", "parlance:vote", "other:/vote good 1"])
def test_what_is_no_button_of_ours_says_nothing(foreign: str) -> None:
    assert command_of(foreign) is None


# reading and pacing


def test_the_mark_stays_before_what_is_under_way_and_while_history_is_unread() -> None:
    reading = Reading(0)
    base = 1 << 60
    reading.begin(base)
    reading.begin(base + 10)
    reading.end(base + 10)
    assert reading.mark == base - MARGIN
    reading.end(base)
    assert reading.mark == base + 10 - MARGIN
    reading.hold()
    reading.begin(base + 20)
    reading.end(base + 20)
    assert reading.mark == base + 10 - MARGIN
    reading.release()
    assert reading.mark == base + 20 - MARGIN


async def test_a_call_beyond_what_a_second_allows_waits_until_a_second_after_another_ended() -> None:
    turns, clock = Turns(), asyncio.get_running_loop().time
    for _ in range(A_SECOND):
        await turns.take()
    waiting = asyncio.create_task(turns.take())
    await asyncio.sleep(0)
    assert turns.waiting > 0
    ended = clock()
    turns.leave()
    await waiting
    assert clock() - ended >= 1.0
    assert turns.waiting == 0


# whose token it is


@pytest.fixture
async def discord_server() -> AsyncIterator[DiscordServer]:
    async with DiscordServer() as server:
        yield server


async def test_a_token_tells_its_bot_with_a_link_ready_to_click(discord_server: DiscordServer) -> None:
    bot = discord_server.bot("Harbour")
    identity = await check(SecretStr(bot.token), discord_server.api_base)
    assert (identity.external_id, identity.username, identity.hints) == (bot.user["id"], "harbour", ())
    assert identity.invite is not None
    assert f"client_id={bot.application_id}" in identity.invite
    assert "scope=bot+applications.commands" in identity.invite
    bot.content = False
    [hint] = (await check(SecretStr(bot.token), discord_server.api_base)).hints
    assert "Message Content" in hint


async def test_a_token_that_discord_does_not_know_is_refused_without_being_quoted(
    discord_server: DiscordServer,
) -> None:
    with pytest.raises(BadInput) as refused:
        await check(SecretStr("made-up-by-me"), discord_server.api_base)
    assert "made-up-by-me" not in str(refused.value)


async def test_a_server_that_is_not_there_is_said_to_be_so() -> None:
    with pytest.raises(Refused, match="try again"):
        await check(SecretStr("any"), "http://127.0.0.1:9/api")
