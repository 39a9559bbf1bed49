"""Telegram's updates, read: who said what to whom, which button was pressed, where the bot came and went.

Pure: no calls, no state. Promises that nothing of other bots, of channels or of the chat's own service messages gets
through, and that a command meant for another bot is left to it.
"""

from __future__ import annotations

import re
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, replace

from telegram import CallbackQuery, ChatMemberUpdated, Message, MessageEntity, Update, User
from telegram.constants import ChatMemberStatus, ChatType, MessageEntityType

from bots.commands import COMMANDS
from bots.incoming import Incoming
from bots.telegram.attachments import attachments_of, wordless
from bots.telegram.places import Place, press_id

SERVICE = (777000,)
"""Telegram's own account, in whose name channel posts reach their discussion groups."""
OUTDATED = "That button is from before; please look at the message once more and press again."
FORWARDED = "Forwarded from {who}:\n{text}"
_COMMAND = re.compile(r"/(\w+)(?:@(\w+))?")
_KNOWN = frozenset(command.name for command in COMMANDS)

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
class Spoken:
    """Somebody wrote. `album`: what was sent together with others has the same one."""

    incoming: Incoming
    place: Place
    album: str | None = None


@dataclass(frozen=True, slots=True)
class Pressed:
    """Somebody pressed a button; `incoming` is None where the button is not there any more, or never was."""

    incoming: Incoming | None
    place: Place
    query_id: str


@dataclass(frozen=True, slots=True)
class Edited:
    """Somebody changed what they had written."""

    channel: str
    external_id: str
    text: str


@dataclass(frozen=True, slots=True)
class Joined:
    """Somebody added the bot to a group; `incoming` is that, as if they had said so."""

    incoming: Incoming
    place: Place


@dataclass(frozen=True, slots=True)
class Left:
    """The bot was removed, or blocked."""

    channel: str


@dataclass(frozen=True, slots=True)
class Migrated:
    """A group got another id."""

    old: str
    new: str


Meant = Spoken | Pressed | Edited | Joined | Left | Migrated


def read(update: Update, reader: Reader) -> Meant | None:
    """What an update means to us, if anything."""
    if update.message is not None:
        return _message(update.message, reader)
    if update.edited_message is not None:
        return _edited(update.edited_message, reader)
    if update.callback_query is not None:
        return _press(update.callback_query, reader)
    if update.my_chat_member is not None:
        return _membership(update.my_chat_member, update.update_id, reader)
    return None


def channel_of(meant: Meant) -> str:
    """In which order things happen matters within this."""
    match meant:
        case Edited() | Left():
            return meant.channel
        case Migrated():
            return meant.old
        case Pressed(incoming=None):
            return f"query {meant.query_id}"
        case Spoken() | Pressed() | Joined():
            assert meant.incoming is not None
            return meant.incoming.channel


def joined_albums(updates: Sequence[tuple[int, Meant]]) -> list[tuple[list[int], Meant]]:
    """Updates by their ids. Pictures and files that were sent together are one message: the first, with all their
    words and attachments."""
    found: list[tuple[list[int], Meant]] = []
    first: dict[tuple[str, str], int] = {}
    for number, meant in updates:
        if isinstance(meant, Spoken) and meant.album is not None:
            place = (meant.incoming.channel, meant.album)
            if place in first:
                numbers, before = found[first[place]]
                assert isinstance(before, Spoken)
                together = replace(before, incoming=_together(before.incoming, meant.incoming))
                found[first[place]] = [*numbers, number], together
                continue
            first[place] = len(found)
        found.append(([number], meant))
    return found


def _together(one: Incoming, other: Incoming) -> Incoming:
    text = "\n".join(text for text in (one.text, other.text) if text)
    mentioned = one.mentioned or other.mentioned
    return replace(one, text=text, mentioned=mentioned, attachments=(*one.attachments, *other.attachments))


def _message(message: Message, reader: Reader) -> Meant | None:
    place = place_of_message(message)
    if message.migrate_to_chat_id is not None:
        return Migrated(place.key(reader.account), Place(message.migrate_to_chat_id).key(reader.account))
    speaker = _speaker(message)
    if speaker is None or (message.via_bot is not None and message.via_bot.id != reader.id):
        return None
    attachments = attachments_of(message, reader.fetch)
    text = _text(message, reader)
    if not text and not attachments:
        return None
    private = message.chat.type == ChatType.PRIVATE
    command = _command(message, reader)
    if command == "theirs":
        return None
    who, name, user = speaker
    replied = _replied(message)
    replied_to = None if replied is None else replied.from_user
    parent = Place(place.chat).key(reader.account) if place.topic is not None else None
    incoming = Incoming(
        account=reader.account,
        channel=place.key(reader.account),
        author_id=who,
        author=name,
        role="member",
        text=text,
        external_id=place.external_id(message.message_id),
        reply_to=None if replied is None else place.external_id(replied.message_id),
        parent=parent,
        private=private,
        mentioned=command == "ours"
        or (replied_to is not None and replied_to.id == reader.id)
        or any(_names_us(entity, words, reader) for entity, words in _entities(message)),
        platform="telegram",
        attachments=attachments,
        title=_title(message),
        language=None if user is None else user.language_code,
        username=None if user is None else user.username,
        reply_person=None if replied_to is None or replied_to.is_bot else f"telegram:{replied_to.id}",
    )
    return Spoken(incoming, place, message.media_group_id)


def _edited(message: Message, reader: Reader) -> Edited | None:
    text = _text(message, reader)
    if not text or _speaker(message) is None:
        return None
    place = place_of_message(message)
    return Edited(place.key(reader.account), place.external_id(message.message_id), text)


def _press(query: CallbackQuery, reader: Reader) -> Pressed | None:
    message = query.message
    if message is None:
        return None
    place = place_of_message(message) if isinstance(message, Message) else Place(message.chat.id)
    if query.data is None or query.from_user.is_bot or not _offered(query):
        return Pressed(None, place, query.id)
    incoming = Incoming(
        account=reader.account,
        channel=place.key(reader.account),
        author_id=str(query.from_user.id),
        author=query.from_user.full_name,
        role="member",
        text=query.data,
        external_id=press_id(place, message.message_id, query.id),
        parent=Place(place.chat).key(reader.account) if place.topic is not None else None,
        private=message.chat.type == ChatType.PRIVATE,
        mentioned=True,
        platform="telegram",
        pressed=True,
        title=_title(message) if isinstance(message, Message) else message.chat.title,
        language=query.from_user.language_code,
        username=query.from_user.username,
    )
    return Pressed(incoming, place, query.id)


def _offered(query: CallbackQuery) -> bool:
    """Whether the pressed button stands under its message now, as far as the server tells."""
    name = _COMMAND.match(query.data or "")
    if name is None or name[1] not in _KNOWN:
        return False
    markup = query.message.reply_markup if isinstance(query.message, Message) else None
    if markup is None:  # an old message is not told in whole
        return not isinstance(query.message, Message)
    return any(button.callback_data == query.data for row in markup.inline_keyboard for button in row)


def _membership(changed: ChatMemberUpdated, update_id: int, reader: Reader) -> Meant | None:
    place = Place(changed.chat.id)
    was, now = (_there(member.status) for member in (changed.old_chat_member, changed.new_chat_member))
    if changed.chat.type == ChatType.CHANNEL or was == now:
        return None
    if not now:
        return Left(place.key(reader.account))
    if changed.chat.type == ChatType.PRIVATE:  # unblocked; /start follows
        return None
    return Joined(
        Incoming(
            account=reader.account,
            channel=place.key(reader.account),
            author_id=str(changed.from_user.id),
            author=changed.from_user.full_name,
            role="member",
            text="",
            external_id=f"joined-{update_id}",
            private=False,
            mentioned=True,
            platform="telegram",
            title=changed.chat.title,
            language=changed.from_user.language_code,
            username=changed.from_user.username,
        ),
        place,
    )


def _there(status: str) -> bool:
    return status not in (ChatMemberStatus.LEFT, ChatMemberStatus.BANNED)


def place_of_message(message: Message) -> Place:
    """The chat, or the topic: only where the message says that it is of one, for replies have thread ids too."""
    topic = message.message_thread_id if message.is_topic_message else None
    return Place(message.chat.id, topic)


def _speaker(message: Message) -> tuple[str, str, User | None] | None:
    """Id, name and account of who wrote; None for bots and services. Whoever writes in a group's or a channel's name
    has its name and no id: they are nobody in particular, who could consent to nothing."""
    user = message.from_user
    if message.is_automatic_forward or user is None or user.id in SERVICE:
        return None
    if message.sender_chat is not None:
        return "", message.sender_chat.title or message.author_signature or "An admin", None
    if user.is_bot:
        return None
    return str(user.id), user.full_name, user


def _title(message: Message) -> str | None:
    """The group's name, and the topic's where it is told along."""
    title = message.chat.title
    begun = message.reply_to_message
    if message.is_topic_message and begun is not None and begun.forum_topic_created is not None:
        return f"{title} / {begun.forum_topic_created.name}"
    return title


def _replied(message: Message) -> Message | None:
    """What this is a reply to; in a topic, every message seems to reply to the topic's beginning."""
    replied = message.reply_to_message
    return None if replied is None or replied.forum_topic_created is not None else replied


def _entities(message: Message) -> list[tuple[MessageEntity, str]]:
    found = message.parse_entities() if message.text is not None else message.parse_caption_entities()
    return list(found.items())


def _names_us(entity: MessageEntity, words: str, reader: Reader) -> bool:
    if entity.type == MessageEntityType.MENTION:
        return words.lower() == f"@{reader.username}".lower()
    return entity.type == MessageEntityType.TEXT_MENTION and entity.user is not None and entity.user.id == reader.id


def _command(message: Message, reader: Reader) -> str:
    """'ours' or 'theirs' where the command names a bot, else 'nobody's'. What was forwarded is no command of whoever
    forwards it."""
    text = message.text or message.caption or ""
    first = next(((e, words) for e, words in _entities(message) if e.offset == 0), None)
    if message.forward_origin is not None or first is None or first[0].type != MessageEntityType.BOT_COMMAND:
        return "nobody's"
    found = _COMMAND.match(text)
    if found is None or found[2] is None:
        return "nobody's"
    return "ours" if found[2].lower() == reader.username.lower() else "theirs"


def _text(message: Message, reader: Reader) -> str:
    """What was said: without the mention that calls us at its beginning or end, and with the word of what has none."""
    text = message.text or message.caption or wordless(message) or ""
    called = re.escape(f"@{reader.username}")
    text = re.sub(rf"^\s*{called}\b[\s,:;]*|\s*(?<!\w){called}\s*$", "", text, flags=re.IGNORECASE) or text
    if message.forward_origin is not None and text:
        return FORWARDED.format(who=_origin(message), text=text)
    return text


def _origin(message: Message) -> str:
    """Whom a forwarded message is from, as Telegram shows it."""
    origin = message.forward_origin
    user = getattr(origin, "sender_user", None)
    chat = getattr(origin, "sender_chat", None) or getattr(origin, "chat", None)
    name = getattr(origin, "sender_user_name", None)
    return str(name or (user and user.full_name) or (chat and chat.title) or "somebody")
