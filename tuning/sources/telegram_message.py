"""One message of a Telegram export, from the parser's events to a message as curation takes it.

Refuses, in one sentence with the message's id, what no Telegram message can be. Knows nothing of files and streams.
"""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from config.errors import BadInput
from tuning.sources.message import SourceMessage
from tuning.sources.surrogates import MARK

LONGEST_TEXT = 16_384
"""Characters. Telegram's own limit is 4,096; four times that cannot be a chat message."""
LONGEST_AUTHOR = 100
GREATEST_ID = 1 << 63
LAST_SECOND = 1 << 36
"""Unix seconds, about the year 4100: a later date is a mistake in the file."""
DELETED = "Deleted account"

_WANTED = {
    "id", "type", "date", "date_unixtime", "from", "from_id", "reply_to_message_id", "reply_to_peer_id", "text",
    "forwarded_from", "forwarded_from_id", "edited", "edited_unixtime",
}  # fmt: skip
_OPENING = {"start_map", "start_array"}
_CLOSING = {"end_map", "end_array"}


class TelegramMessage:
    """One message, read from the events that follow the start of its object."""

    __slots__ = ("_entities", "_fields", "_file", "_mixed", "_poll")

    def __init__(self, file: Path, events: Iterator[tuple[str, Any]]) -> None:
        self._file = file
        fields: dict[str, Any] = {}
        entities: list[str] = []
        mixed: list[str] = []
        poll: list[str] = []
        key = inner = ""
        depth = 1  # 1 within the message's own object
        for kind, value in events:
            if kind == "map_key":
                inner = value
                if depth == 1:
                    key = value
            elif kind == "string":
                if depth == 1:
                    if key in _WANTED:
                        fields[key] = value
                elif key == "text_entities":
                    if depth == 3 and inner == "text":
                        entities.append(value)
                elif key == "text":
                    if depth == 2 or (depth == 3 and inner == "text"):
                        mixed.append(value)
                elif key == "poll":
                    if depth == 2 and inner == "question":
                        poll.append(value)
                    elif depth == 4 and inner == "text":
                        poll.append(f"- {value}")
            elif kind in _OPENING:
                depth += 1
            elif kind in _CLOSING:
                depth -= 1
                if not depth:
                    break
            elif depth == 1 and key in _WANTED:
                fields[key] = value
        self._fields, self._entities, self._mixed, self._poll = fields, entities, mixed, poll

    def finish(self, broken: bool) -> SourceMessage | None:
        """The message, or None for one that has no text or was not said by anybody. Raises BadInput."""
        fields = self._fields
        number = fields.get("id")
        if type(number) is not int or abs(number) >= GREATEST_ID or "type" not in fields:
            raise BadInput(
                f"{self._file.name} is not a Telegram export: one of its messages has no id or no type; in Telegram "
                "Desktop choose “Machine-readable JSON” when you export the chat."
            )
        if fields["type"] != "message":
            return None
        text = fields.get("text")
        text = "".join(self._entities) or (text if isinstance(text, str) else "".join(self._mixed))
        if not text or text.isspace():
            text = "\n".join(self._poll)
            if not text or text.isspace():
                return None
        if len(text) > LONGEST_TEXT:
            raise BadInput(
                f"Message {number} in {self._file.name} has {len(text):,} characters, and no Telegram message has more "
                "than 4,096; export the chat again, or take this message out."
            )
        author_id, author = self._author(fields)
        if broken and (MARK in text or MARK in author or MARK in author_id):
            raise BadInput(
                f"Message {number} in {self._file.name} holds half of a character (a lone surrogate); export the chat "
                "again, or take this message out."
            )
        reply = fields.get("reply_to_message_id")
        return SourceMessage(
            external_id=str(number),
            author_id=author_id,
            author=author,
            sent_at=self._sent_at(fields),
            edited_at=self._edited_at(fields),
            reply_to=str(reply) if type(reply) is int and "reply_to_peer_id" not in fields else None,
            forwarded="forwarded_from" in fields or "forwarded_from_id" in fields,
            text=text,
        )

    @staticmethod
    def _author(fields: dict[str, Any]) -> tuple[str, str]:
        name, number = fields.get("from"), fields.get("from_id")
        if not isinstance(name, str) or not name.strip():
            name = DELETED
        if type(number) is int:  # as exports before 2021 have it
            number = f"user{number}"
        if not isinstance(number, str) or not number:
            number = f"name:{name}"
        return number[:LONGEST_AUTHOR], name

    def _sent_at(self, fields: dict[str, Any]) -> int:
        """Seconds since 1970. Old exports have the local time alone; it is taken for UTC, as order is what matters."""
        seconds = _seconds(fields.get("date_unixtime"), fields.get("date"))
        if seconds is not None:
            return seconds
        raise BadInput(f"Message {fields['id']} in {self._file.name} has no date that can be read; export it again.")

    @staticmethod
    def _edited_at(fields: dict[str, Any]) -> int | None:
        """Seconds since 1970. Exports write 1970 itself, or nothing, for what was never edited."""
        return _seconds(fields.get("edited_unixtime"), fields.get("edited")) or None


def _seconds(unix: Any, local: Any) -> int | None:
    try:
        given = datetime.fromisoformat(local).replace(tzinfo=UTC).timestamp() if unix is None else unix
        seconds = int(given)
    except (TypeError, ValueError, OverflowError):
        return None
    return seconds if 0 <= seconds < LAST_SECOND else None
