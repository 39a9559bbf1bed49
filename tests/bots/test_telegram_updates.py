from __future__ import annotations

from typing import Any

import pytest
from bot_api_chats import ANONYMOUS_ADMIN, Bot, Person
from telegram import Update

from bots.telegram.client import LARGEST_FILE, TelegramClient
from bots.telegram.places import Place, message_number, older_than, place_of, press_id
from bots.telegram.spoken import Reader
from bots.telegram.updates import Edited, Joined, Left, Migrated, Pressed, Spoken, channel_of, joined_albums, read
from config.errors import BadInput

ADA = Person(11, "Ada", "ada", "de")
BEN = Person(12, "Ben", None, "en")
OTHER_BOT = Person(99, "Other", "other_bot", is_bot=True)


async def fetched(file_id: str, size: int) -> bytes:
    return f"{file_id} {size}".encode()


@pytest.fixture
async def bot() -> Bot:
    return Bot("70000000:AAbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbb", "harbour_bot")


@pytest.fixture
def reader(bot: Bot) -> Reader:
    return Reader("harbour", bot.me.id, "harbour_bot", fetched)


def meant(bot: Bot, reader: Reader) -> Any:
    """What the bot's newest update means."""
    return read(Update.de_json(bot.updates.pop()), reader)


async def test_a_private_message_is_told_in_full(bot: Bot, reader: Reader) -> None:
    message = bot.private(ADA).says(ADA, "Hello there")
    spoken = meant(bot, reader)
    assert isinstance(spoken, Spoken)
    said = spoken.incoming
    assert (said.channel, said.text, said.external_id) == ("harbour:11", "Hello there", str(message.id))
    assert (said.author_id, said.author, said.username, said.language) == ("11", "Ada", "ada", "de")
    assert (said.person, said.private, said.mentioned, said.parent, said.role) == (
        "telegram:11", True, False, None, "member",
    )  # fmt: skip


@pytest.mark.parametrize(
    ("text", "said", "mentioned"),
    [
        ("just talking", "just talking", False),
        ("@harbour_bot what is new?", "what is new?", True),
        ("@HARBOUR_bot: what is new?", "what is new?", True),
        ("what is new, @harbour_bot", "what is new,", True),
        ("ask @harbour_bot about it", "ask @harbour_bot about it", True),
        ("@harbour_bot", "@harbour_bot", True),
        ("ask @harbour_bot_two about it", "ask @harbour_bot_two about it", False),
        ("mail me@harbour_bot", "mail me@harbour_bot", False),
        ("/reset@harbour_bot", "/reset@harbour_bot", True),
        ("/reset", "/reset", False),
    ],
)
async def test_in_a_group_it_is_known_what_was_said_to_us(
    bot: Bot, reader: Reader, text: str, said: str, mentioned: bool
) -> None:
    bot.group("Quay").says(ADA, text)
    incoming = meant(bot, reader).incoming
    assert (incoming.text, incoming.mentioned, incoming.private) == (said, mentioned, False)
    assert incoming.title == "Quay"


async def test_a_mention_by_name_alone_is_one(bot: Bot, reader: Reader) -> None:
    entity = {"type": "text_mention", "offset": 0, "length": 7, "user": bot.me.wire}
    bot.group("Quay").says(ADA, "Harbour, hello", entities=[entity])
    assert meant(bot, reader).incoming.mentioned


async def test_a_reply_to_us_is_said_to_us_and_one_to_somebody_else_names_them(bot: Bot, reader: Reader) -> None:
    group = bot.supergroup("Quay")
    ours = group.add(bot.me.wire, ours=True, text="Ahoy")
    group.says(ADA, "and then?", reply_to=ours.id)
    to_us = meant(bot, reader).incoming
    assert (to_us.mentioned, to_us.reply_to, to_us.reply_person) == (True, str(ours.id), None)
    group.says(BEN, "indeed", reply_to=group.says(ADA, "well").id)
    to_ada = meant(bot, reader).incoming
    assert (to_ada.mentioned, to_ada.reply_person) == (False, "telegram:11")


async def test_a_command_for_another_bot_is_left_to_it(bot: Bot, reader: Reader) -> None:
    bot.group("Quay").says(ADA, "/reset@other_bot")
    assert meant(bot, reader) is None


async def test_topics_are_channels_of_their_own_and_the_general_topic_is_the_chat(bot: Bot, reader: Reader) -> None:
    forum = bot.supergroup("Town", forum=True)
    topic = forum.topic("Boats")
    forum.says(ADA, "about boats", topic=topic)
    spoken = meant(bot, reader)
    assert spoken.incoming.channel == f"harbour:{forum.id}/{topic}"
    assert (spoken.incoming.parent, spoken.incoming.title) == (f"harbour:{forum.id}", "Town / Boats")
    assert (spoken.incoming.reply_to, spoken.incoming.mentioned) == (
        None,
        False,
    )  # not a reply to the topic's beginning
    forum.says(ADA, "about all")
    spoken = meant(bot, reader)
    assert (spoken.incoming.channel, spoken.incoming.parent) == (f"harbour:{forum.id}", None)


async def test_a_thread_of_replies_in_an_ordinary_group_is_no_topic(bot: Bot, reader: Reader) -> None:
    group = bot.supergroup("Quay")
    first = group.says(BEN, "look")
    group.says(ADA, "yes", reply_to=first.id, message_thread_id=first.id)
    assert meant(bot, reader).incoming.channel == f"harbour:{group.id}"


async def test_what_is_no_persons_own_word_is_not_heard(bot: Bot, reader: Reader) -> None:
    group = bot.supergroup("Quay")
    group.says(OTHER_BOT, "@harbour_bot hello")
    assert meant(bot, reader) is None
    group.says(ADA, "a picture", via_bot=OTHER_BOT.wire)
    assert meant(bot, reader) is None
    group.says(
        Person(777000, "Telegram"), "news", is_automatic_forward=True, sender_chat={"id": -100, "type": "channel"}
    )
    assert meant(bot, reader) is None
    group.says(ADA, new_chat_members=[BEN.wire])
    assert meant(bot, reader) is None
    bot.push({"channel_post": group.messages[1].wire})
    assert meant(bot, reader) is None


async def test_an_anonymous_admin_is_heard_as_nobody_in_particular(bot: Bot, reader: Reader) -> None:
    group = bot.supergroup("Quay")
    anonymous = Person(ANONYMOUS_ADMIN["id"], "Group", "GroupAnonymousBot", is_bot=True)
    group.says(anonymous, "@harbour_bot hello", sender_chat=group.wire)
    incoming = meant(bot, reader).incoming
    assert (incoming.author_id, incoming.author, incoming.mentioned) == ("", "Quay", True)


async def test_what_is_forwarded_is_not_a_command_and_says_whose_it_is(bot: Bot, reader: Reader) -> None:
    origin = {"type": "hidden_user", "date": 0, "sender_user_name": "Cleo"}
    bot.private(ADA).says(ADA, "/forgetme", forward_origin=origin)
    assert meant(bot, reader).incoming.text == "Forwarded from Cleo:\n/forgetme"


async def test_a_caption_is_what_was_said_with_its_file(bot: Bot, reader: Reader) -> None:
    document = {
        "file_id": "f1",
        "file_unique_id": "u1",
        "file_name": "log.txt",
        "mime_type": "text/plain",
        "file_size": 9,
    }
    bot.private(ADA).says(ADA, caption="read this", document=document)
    incoming = meant(bot, reader).incoming
    [attachment] = incoming.attachments
    assert (incoming.text, attachment.name, attachment.media_type, attachment.size) == (
        "read this", "log.txt", "text/plain", 9,
    )  # fmt: skip
    assert await attachment.read() == b"f1 9"


FILE = {"file_id": "f", "file_unique_id": "u", "file_size": 5}


@pytest.mark.parametrize(
    ("fields", "name", "media_type"),
    [
        ({"photo": [FILE | {"width": 1, "height": 1}]}, "photo.jpg", "image/jpeg"),
        ({"voice": FILE | {"duration": 3}}, "voice message.ogg", "audio/ogg"),
        ({"audio": FILE | {"duration": 3, "title": "Song"}}, "Song.mp3", "audio/mpeg"),
        ({"video": FILE | {"duration": 3, "width": 1, "height": 1}}, "video.mp4", "video/mp4"),
        ({"video_note": FILE | {"duration": 3, "length": 1}}, "video message.mp4", "video/mp4"),
    ],
)
async def test_whatever_is_sent_without_words_is_heard(
    bot: Bot, reader: Reader, fields: dict[str, Any], name: str, media_type: str
) -> None:
    bot.private(ADA).says(ADA, **fields)
    incoming = meant(bot, reader).incoming
    assert [(one.name, one.media_type) for one in incoming.attachments] == [(name, media_type)]


@pytest.mark.parametrize(
    ("fields", "text"),
    [
        ({"sticker": FILE | {"type": "regular", "width": 1, "height": 1, "is_animated": False, "is_video": False,
                             "emoji": "👋"}}, "👋"),
        ({"dice": {"emoji": "🎲", "value": 4}}, "🎲 4"),
        ({"location": {"latitude": 1.5, "longitude": 2.25}}, "[Location: 1.5000, 2.2500]"),
        ({"contact": {"phone_number": "1", "first_name": "Cleo"}}, "[Contact: Cleo]"),
    ],
)  # fmt: skip
async def test_what_stands_for_itself_is_said_in_words(
    bot: Bot, reader: Reader, fields: dict[str, Any], text: str
) -> None:
    bot.private(ADA).says(ADA, **fields)
    incoming = meant(bot, reader).incoming
    assert (incoming.text, incoming.attachments) == (text, ())


async def test_an_album_is_one_message(bot: Bot, reader: Reader) -> None:
    chat = bot.private(ADA)
    for caption in ("my garden", None, None):
        chat.says(ADA, caption=caption, media_group_id="7", photo=[FILE | {"width": 1, "height": 1}])
    chat.says(ADA, "and?")
    told = [(update["update_id"], read(Update.de_json(update), reader)) for update in bot.updates]
    together = joined_albums([(number, one) for number, one in told if one is not None])
    assert [len(numbers) for numbers, _ in together] == [3, 1]
    first = together[0][1]
    assert isinstance(first, Spoken)
    assert (first.incoming.text, len(first.incoming.attachments)) == ("my garden", 3)


async def test_an_edit_names_the_message_and_its_words(bot: Bot, reader: Reader) -> None:
    group = bot.group("Quay")
    message = group.says(ADA, "@harbour_bot helo")
    group.edits(message, "@harbour_bot hello")
    assert meant(bot, reader) == Edited(f"harbour:{group.id}", str(message.id), "hello")


def shown(bot: Bot, chat: Any, data: str) -> Any:
    markup = {"inline_keyboard": [[{"text": "Good", "callback_data": data}]]}
    return chat.add(bot.me.wire, ours=True, text="Hi", reply_markup=markup)


async def test_a_press_is_a_message_of_its_own(bot: Bot, reader: Reader) -> None:
    chat = bot.supergroup("Quay")
    message = shown(bot, chat, "/vote good 5")
    query = chat.press(ADA, message, label="Good")
    pressed = meant(bot, reader)
    assert isinstance(pressed, Pressed)
    assert pressed.incoming is not None
    assert (pressed.query_id, pressed.incoming.text, pressed.incoming.pressed) == (query, "/vote good 5", True)
    assert pressed.incoming.external_id == press_id(message.id, query)
    assert pressed.incoming.author_id == "11"


@pytest.mark.parametrize("data", ["/vote good 6", "/promote 3", "vote", "", "/nonsense", "/vote\0good 5", "𝕏" * 16])
async def test_what_no_button_under_the_message_says_was_not_pressed(bot: Bot, reader: Reader, data: str) -> None:
    chat = bot.private(ADA)
    chat.press(ADA, shown(bot, chat, "/vote good 5"), data)
    pressed = meant(bot, reader)
    assert isinstance(pressed, Pressed)
    assert pressed.incoming is None


async def test_a_button_under_a_message_too_old_to_be_told_still_works(bot: Bot, reader: Reader) -> None:
    chat = bot.private(ADA)
    message = shown(bot, chat, "/vote good 5")
    message.wire = {"chat": chat.wire, "message_id": message.id, "date": 0}
    chat.press(ADA, message, "/vote good 5")
    assert meant(bot, reader).incoming.text == "/vote good 5"


async def test_coming_and_going_is_noticed(bot: Bot, reader: Reader) -> None:
    group = bot.group("Quay")
    group.member(ADA, "left", "member")
    joined = meant(bot, reader)
    assert isinstance(joined, Joined)
    assert (joined.incoming.channel, joined.incoming.title) == (f"harbour:{group.id}", "Quay")
    group.member(ADA, "member", "administrator")
    assert meant(bot, reader) is None
    group.member(ADA, "administrator", "kicked")
    assert meant(bot, reader) == Left(f"harbour:{group.id}")
    bot.private(BEN).member(BEN, "member", "kicked")
    assert meant(bot, reader) == Left("harbour:12")
    bot.private(BEN).member(BEN, "kicked", "member")
    assert meant(bot, reader) is None


async def test_a_group_that_is_upgraded_is_followed(bot: Bot, reader: Reader) -> None:
    group = bot.group("Quay")
    new = group.upgrade(ADA)
    told = [read(Update.de_json(update), reader) for update in bot.updates]
    assert told == [Migrated(f"harbour:{group.id}", f"harbour:{new.id}"), None]
    assert channel_of(told[0]) == f"harbour:{group.id}"


def test_places_and_their_keys_are_the_same_thing() -> None:
    for place in (Place(11), Place(-5), Place(-1_000_000_000_007, 3)):
        assert place_of("harbour", place.key("harbour")) == place
    assert place_of("harbour", "other:11") is None
    assert place_of("harbour", "harbour:x") is None
    assert (message_number("12"), message_number("before:12"), message_number("press-12-7")) == (12, None, None)
    assert (older_than("12"), older_than("press-12-7"), older_than("joined-7")) == (12, 12, None)


async def test_a_file_that_telegram_does_not_give_to_bots_is_not_asked_for() -> None:
    from pydantic import SecretStr

    client = TelegramClient(SecretStr("70000000:AA"), "http://127.0.0.1:9")
    with pytest.raises(BadInput, match="20 MB"):
        await client.fetch("f", LARGEST_FILE + 1)
    await client.close()
