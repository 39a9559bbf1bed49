"""One Telegram message: where it is, who speaks, to whom, and what is said. Pure."""

from __future__ import annotations

import re
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Literal

from telegram import Message, MessageEntity, User
from telegram.constants import MessageEntityType

from bots.telegram.attachments import wordless
from bots.telegram.places import Place

SERVICE = 777000
"""Telegram's own account, in whose name channel posts reach their discussion groups."""
FORWARDED = "Forwarded from {who}:\n{text}"
COMMAND = re.compile(r"/(\w+)(?:@(\w+))?")

Fetch = Callable[[str, int], Awaitable[bytes]]
"""A file's content, by its id and its size in bytes."""


@dataclass(frozen=True, slots=True)
class Reader:
    """The bot whose updates are read, as it is named in them, and the account it is to us."""

    account: str
    id: int
    username: str
    fetch: Fetch


@dataclass(frozen=True, slots=True)
class Speaker:
    """Who wrote. Whoever writes in a group's or a channel's name has its name and no id: they are nobody in
    particular, who could consent to nothing."""

    id: str
    name: str
    user: User | None = None

    @property
    def language(self) -> str | None:
        return None if self.user is None else self.user.language_code

    @property
    def username(self) -> str | None:
        return None if self.user is None else self.user.username


def place_of_message(message: Message) -> Place:
    """The chat, or the topic: only where the message says that it is of one, for replies have thread ids too."""
    topic = message.message_thread_id if message.is_topic_message else None
    return Place(message.chat.id, topic)


def speaker_of(message: Message, reader: Reader) -> Speaker | None:
    """None for bots and services, and for what somebody sent by way of another bot."""
    user = message.from_user
    if message.is_automatic_forward or user is None or user.id == SERVICE:
        return None
    if message.via_bot is not None and message.via_bot.id != reader.id:
        return None
    if message.sender_chat is not None:
        return Speaker("", message.sender_chat.title or message.author_signature or "An admin")
    return None if user.is_bot else Speaker(str(user.id), user.full_name, user)


def title_of(message: Message) -> str | None:
    """The group's name, and the topic's where it is told along."""
    title = message.chat.title
    begun = message.reply_to_message
    if message.is_topic_message and begun is not None and begun.forum_topic_created is not None:
        return f"{title} / {begun.forum_topic_created.name}"
    return title


def replied_to(message: Message) -> Message | None:
    """What this is a reply to; in a topic, every message seems to reply to the topic's beginning."""
    replied = message.reply_to_message
    return None if replied is None or replied.forum_topic_created is not None else replied


def calls_us(message: Message, reader: Reader) -> bool:
    """Whether it is a reply to us, or mentions us."""
    replied = replied_to(message)
    if replied is not None and replied.from_user is not None and replied.from_user.id == reader.id:
        return True
    return any(_names_us(entity, words, reader) for entity, words in _entities(message))


def command_of(message: Message, reader: Reader) -> Literal["ours", "theirs", "open"]:
    """'ours' or 'theirs' where a command names a bot, else 'open'. What was forwarded is no command of whoever
    forwards it."""
    text = message.text or message.caption or ""
    kinds = [entity.type for entity, _ in _entities(message) if entity.offset == 0]
    found = COMMAND.match(text)
    if message.forward_origin is not None or MessageEntityType.BOT_COMMAND not in kinds or found is None:
        return "open"
    if found[2] is None:
        return "open"
    return "ours" if found[2].lower() == reader.username.lower() else "theirs"


def words_of(message: Message, reader: Reader) -> str:
    """What was said: without the mention that calls us at its beginning or end, and with the word for what has none."""
    text = message.text or message.caption or wordless(message) or ""
    called = re.escape(f"@{reader.username}")
    text = re.sub(rf"^\s*{called}\b[\s,:;]*|\s*(?<!\w){called}\s*$", "", text, flags=re.IGNORECASE) or text
    if message.forward_origin is not None and text:
        return FORWARDED.format(who=_origin(message), text=text)
    return text


def _entities(message: Message) -> list[tuple[MessageEntity, str]]:
    found = message.parse_entities() if message.text is not None else message.parse_caption_entities()
    return list(found.items())


def _names_us(entity: MessageEntity, words: str, reader: Reader) -> bool:
    if entity.type == MessageEntityType.MENTION:
        return words.lower() == f"@{reader.username}".lower()
    return entity.type == MessageEntityType.TEXT_MENTION and entity.user is not None and entity.user.id == reader.id


def _origin(message: Message) -> str:
    """Whom a forwarded message is from, as Telegram shows it."""
    origin = message.forward_origin
    user = getattr(origin, "sender_user", None)
    chat = getattr(origin, "sender_chat", None) or getattr(origin, "chat", None)
    name = getattr(origin, "sender_user_name", None)
    return str(name or (user and user.full_name) or (chat and chat.title) or "somebody")
