"""What came with a Telegram message besides words: files to read if anybody can, and what stands for itself in words.

A file is fetched only when it is read. Pure; knows no API.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from functools import partial

from telegram import Message

from bots.incoming import Attachment

UNKNOWN = "application/octet-stream"


def attachments_of(message: Message, fetch: Callable[[str, int], Awaitable[bytes]]) -> tuple[Attachment, ...]:
    """At most one: Telegram sends several as several messages."""
    found = _file(message)
    if found is None:
        return ()
    name, media_type, size, file_id = found
    return (Attachment(name, media_type, size, partial(fetch, file_id, size)),)


def _file(message: Message) -> tuple[str, str, int, str] | None:
    """Name, media type, bytes (0: not said) and id. An animation is a document too, and is meant by neither name."""
    if message.animation is not None:
        one = message.animation
        return one.file_name or "animation.mp4", one.mime_type or "video/mp4", one.file_size or 0, one.file_id
    if message.document is not None:
        document = message.document
        name = document.file_name or "file"
        return name, document.mime_type or UNKNOWN, document.file_size or 0, document.file_id
    if message.photo:
        largest = message.photo[-1]
        return "photo.jpg", "image/jpeg", largest.file_size or 0, largest.file_id
    if message.voice is not None:
        voice = message.voice
        return "voice message.ogg", voice.mime_type or "audio/ogg", voice.file_size or 0, voice.file_id
    if message.audio is not None:
        audio = message.audio
        name = audio.file_name or f"{audio.title or 'music'}.mp3"
        return name, audio.mime_type or "audio/mpeg", audio.file_size or 0, audio.file_id
    if message.video is not None:
        video = message.video
        return video.file_name or "video.mp4", video.mime_type or "video/mp4", video.file_size or 0, video.file_id
    if message.video_note is not None:
        return "video message.mp4", "video/mp4", message.video_note.file_size or 0, message.video_note.file_id
    if message.sticker is not None and not message.sticker.emoji:
        return "sticker.webp", "image/webp", message.sticker.file_size or 0, message.sticker.file_id
    return None


def wordless(message: Message) -> str | None:
    """What a message without words says: a sticker its emoji, a place or a contact what it is."""
    if message.sticker is not None:
        return message.sticker.emoji
    if message.dice is not None:
        return f"{message.dice.emoji} {message.dice.value}"
    if message.venue is not None:
        return f"[Location: {message.venue.title}, {message.venue.address}]"
    if message.location is not None:
        return f"[Location: {message.location.latitude:.4f}, {message.location.longitude:.4f}]"
    if message.contact is not None:
        name = " ".join(filter(None, (message.contact.first_name, message.contact.last_name)))
        return f"[Contact: {name}]"
    if message.poll is not None:
        options = ", ".join(option.text for option in message.poll.options)
        return f"[Poll: {message.poll.question} ({options})]"
    if message.story is not None or message.game is not None or message.invoice is not None:
        return "[Something that only Telegram itself can show]"
    return None
