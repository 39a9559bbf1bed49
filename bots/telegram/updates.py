"""Telegram's updates, read: who said what to whom, which button was pressed, where the bot came and went.

Pure: no calls, no state. Promises that nothing of other bots, of channels or of the chat's own service messages gets
through, and that a command meant for another bot is left to it.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

from telegram import CallbackQuery, ChatMemberUpdated, Message, Update
from telegram.constants import ChatMemberStatus, ChatType

from bots.commands import COMMANDS
from bots.incoming import Incoming
from bots.telegram.attachments import attachments_of
from bots.telegram.places import Place, press_id
from bots.telegram.spoken import (
    COMMAND,
    Reader,
    calls_us,
    command_of,
    place_of_message,
    replied_to,
    speaker_of,
    title_of,
    words_of,
)

OUTDATED = "That button is from before; please look at the message once more and press again."
_KNOWN = frozenset(command.name for command in COMMANDS)


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
            assert meant.incoming is not None  # noqa: S101 - for the type checker
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
                assert isinstance(before, Spoken)  # noqa: S101 - for the type checker
                together = replace(before, incoming=_together(before.incoming, meant.incoming))
                found[first[place]] = [*numbers, number], together
                continue
            first[place] = len(found)
        found.append(([number], meant))
    return found


def _together(one: Incoming, other: Incoming) -> Incoming:
    text = "\n".join(text for text in (one.text, other.text) if text)
    return replace(
        one, text=text, attachments=(*one.attachments, *other.attachments), mentioned=one.mentioned or other.mentioned,
        forwarded=one.forwarded or other.forwarded,
    )  # fmt: skip


def _message(message: Message, reader: Reader) -> Meant | None:
    place = place_of_message(message)
    if message.migrate_to_chat_id is not None:
        return Migrated(place.key(reader.account), Place(message.migrate_to_chat_id).key(reader.account))
    speaker = speaker_of(message, reader)
    attachments = attachments_of(message, reader.fetch)
    text = words_of(message, reader)
    command = command_of(message, reader)
    if speaker is None or command == "theirs" or not (text or attachments):
        return None
    replied = replied_to(message)
    to = None if replied is None else replied.from_user
    incoming = Incoming(
        account=reader.account,
        channel=place.key(reader.account),
        author_id=speaker.id,
        author=speaker.name,
        role="member",
        text=text,
        external_id=str(message.message_id),
        reply_to=None if replied is None else str(replied.message_id),
        parent=_parent(place, reader),
        private=message.chat.type == ChatType.PRIVATE,
        mentioned=command == "ours" or calls_us(message, reader),
        platform="telegram",
        attachments=attachments,
        title=title_of(message),
        language=speaker.language,
        username=speaker.username,
        reply_person=None if to is None or to.is_bot else f"telegram:{to.id}",
        forwarded=message.forward_origin is not None or message.via_bot is not None,
    )
    return Spoken(incoming, place, message.media_group_id)


def _parent(place: Place, reader: Reader) -> str | None:
    return None if place.topic is None else Place(place.chat).key(reader.account)


def _edited(message: Message, reader: Reader) -> Edited | None:
    text = words_of(message, reader)
    if not text or speaker_of(message, reader) is None:
        return None
    return Edited(place_of_message(message).key(reader.account), str(message.message_id), text)


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
        external_id=press_id(message.message_id, query.id),
        reply_to=str(message.message_id),
        parent=_parent(place, reader),
        private=message.chat.type == ChatType.PRIVATE,
        mentioned=True,
        platform="telegram",
        pressed=True,
        title=title_of(message) if isinstance(message, Message) else message.chat.title,
        language=query.from_user.language_code,
        username=query.from_user.username,
    )
    return Pressed(incoming, place, query.id)


def _offered(query: CallbackQuery) -> bool:
    """Whether the pressed button stands under its message now, as far as the server tells."""
    name = COMMAND.match(query.data or "")
    if name is None or name[1] not in _KNOWN:
        return False
    message = query.message
    if not isinstance(message, Message) or not message.is_accessible:  # too old to be told in whole
        return True
    rows = () if message.reply_markup is None else message.reply_markup.inline_keyboard
    return any(button.callback_data == query.data for row in rows for button in row)


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
