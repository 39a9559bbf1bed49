"""DiscordChatExporter's JSON: one channel, thread or direct message. Read as a stream; memory does not grow with it.

Promises every message that a person wrote and that has text, in the file's order, its text unchanged; notices (joins,
pins, calls), bots and messages without text are counted and left out. Mentions stand in the text as names already.
Knows nothing of databases, nor of what becomes of the messages.
"""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import ijson

from config.errors import BadInput
from tuning.sources.export import checked_text
from tuning.sources.json_file import JsonFile, NotJson, size_of
from tuning.sources.message import SourceChat, SourceMessage

SPOKEN = {"Default", "Reply", "0", "19"}
"""Kinds of messages that people write; older exporters wrote numbers."""
LONGEST_ID = 40
LONGEST_AUTHOR = 100


class DiscordExport:
    """One export file: see tuning/sources/export.py."""

    kind = "discord"

    def __init__(self, file: Path) -> None:
        self.file = file
        self.size = size_of(file, "one of the .json files in it")
        self.entries: dict[str, int] = {}
        self.account = False
        self._json: JsonFile | None = None

    @property
    def position(self) -> int:
        return self._json.position if self._json else 0

    @property
    def digest(self) -> str:
        return self._json.digest if self._json else ""

    def __iter__(self) -> Iterator[SourceChat | SourceMessage]:
        try:
            with self.file.open("rb") as stream:
                self._json = JsonFile(stream)
                yield from self._items(self._json)
        except NotJson:
            raise self._no_export() from None
        except UnicodeDecodeError:
            raise BadInput(f"{self.file.name} is not text in UTF-8; export the channel again as JSON.") from None
        except ijson.IncompleteJSONError:
            raise BadInput(
                f"{self.file.name} ends in the middle, so the export or its copy was cut off; export it again."
            ) from None
        except ijson.JSONError:
            raise BadInput(
                f"{self.file.name} is not JSON (it breaks off its form near byte {self.position:,}); export it again."
            ) from None

    def _items(self, json: JsonFile) -> Iterator[SourceChat | SourceMessage]:
        """One pass: the parser's events up to a message's beginning, then a builder for the message."""
        header: dict[str, Any] = {}
        chat: SourceChat | None = None
        count = 0
        building: ijson.ObjectBuilder | None = None
        for path, kind, value in ijson.parse(json, use_float=True):
            if building is not None:
                building.event(kind, value)
                if path == "messages.item" and kind == "end_map":
                    count += 1
                    kept = self._message(building.value, json.broken)
                    building = None
                    if kept is not None:
                        yield kept
            elif path == "messages.item":
                if kind != "start_map" or chat is None:
                    raise self._no_export()
                building = ijson.ObjectBuilder()
                building.event(kind, value)
            elif path == "messages" and kind == "start_array":
                chat = self._chat(header)
                yield chat
            elif kind in ("string", "number") and path.count(".") == 1:
                header[path] = value
        if chat is None:
            raise self._no_export()
        self.entries[chat.id] = count

    def _chat(self, header: dict[str, Any]) -> SourceChat:
        number, name = header.get("channel.id"), header.get("channel.name")
        if number is None or not isinstance(name, str):
            raise self._no_export()
        server = header.get("guild.name")
        title = f"{server} #{name}" if server and header.get("channel.type") != "DirectTextChat" else name
        return SourceChat(str(number)[:LONGEST_ID], title, str(header.get("channel.type") or "channel"))

    def _message(self, fields: dict[str, Any], broken: bool) -> SourceMessage | None:
        author, number = fields.get("author"), fields.get("id")
        if not isinstance(author, dict) or number is None or author.get("id") is None:
            raise self._no_export()
        text = fields.get("content")
        spoken = str(fields.get("type", "Default")) in SPOKEN
        if author.get("isBot") or not spoken or not isinstance(text, str) or not text.strip():
            return None
        which = f"Message {str(number)[:LONGEST_ID]}"
        name = author.get("nickname") or author.get("name") or "Unknown"
        reference = fields["reference"] if isinstance(fields.get("reference"), dict) else {}
        here = fields.get("channelId") or reference.get("channelId")
        replied = reference.get("messageId") if here == reference.get("channelId") else None
        return SourceMessage(
            external_id=str(number)[:LONGEST_ID],
            author_id=f"discord:{author['id']}"[:LONGEST_AUTHOR],
            author=checked_text(self.file, which, str(name))[:LONGEST_AUTHOR],
            sent_at=self._time(fields.get("timestamp"), which),
            reply_to=str(replied)[:LONGEST_ID] if replied else None,
            forwarded=bool(fields.get("forwardedMessage")),
            text=checked_text(self.file, which, text),
            edited_at=self._time(fields["timestampEdited"], which) if fields.get("timestampEdited") else None,
        )

    def _time(self, written: Any, which: str) -> int:
        try:
            moment = datetime.fromisoformat(str(written))
            return int((moment if moment.tzinfo else moment.replace(tzinfo=UTC)).timestamp())
        except (ValueError, OverflowError):
            raise BadInput(f"{which} of {self.file.name} has no time that can be read; export it again.") from None

    def _no_export(self) -> BadInput:
        return BadInput(
            f"{self.file.name} is not an export of DiscordChatExporter; export the channel again with its format JSON."
        )
