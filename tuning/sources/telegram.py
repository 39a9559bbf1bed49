"""Telegram Desktop's `result.json`: one chat, or a whole account. Read as a stream; memory does not grow with the file.

Promises every message that has text, in the file's order, its text unchanged, and one clear sentence for a file that
is not such an export. Service messages, unsupported ones and those without text are counted and left out. Text that
is not valid Unicode is refused with the message's id, because the parser would replace it in silence.
Knows nothing of databases, nor of what becomes of the messages.
"""

from __future__ import annotations

from collections.abc import Iterator
from itertools import chain
from pathlib import Path
from typing import Any

import ijson

from config.errors import BadInput
from tuning.sources.json_file import JsonFile, NotJson, size_of
from tuning.sources.message import SourceChat, SourceMessage
from tuning.sources.surrogates import MARK
from tuning.sources.telegram_message import DELETED, TelegramMessage

_MESSAGES = {"/messages", "/chats/list/item/messages", "/left_chats/list/item/messages"}
_CHATS = {"", "/chats/list/item", "/left_chats/list/item"}
_ACCOUNT = {"/chats/list", "/left_chats/list"}
_HEADER = {"id", "name", "type"}
_OPENING = {"start_map", "start_array"}
_CLOSING = {"end_map", "end_array"}


class TelegramExport:
    """One export file. Iterate once: a SourceChat, then its SourceMessages, then the next chat.

    While iterating, `position` and `size` are bytes, and `account` tells whether this is a whole account; afterwards
    `entries` counts per chat id what stands in it, kept or not, and `digest` is the SHA-256 of the file, in hex.
    Raises BadInput, on opening for a missing, empty or unreadable file, else while iterating.
    """

    kind = "telegram"

    def __init__(self, file: Path) -> None:
        self.file = file
        self.size = size_of(file, "the file result.json that is in it")
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
        with self.file.open("rb") as stream:
            self._json = JsonFile(stream)
            yield from self._items(self._json)

    def _items(self, json: JsonFile) -> Iterator[SourceChat | SourceMessage]:
        stack: list[str] = []
        path, key, found, count = "", "", False, 0
        header: dict[str, Any] = {}
        told: SourceChat | None = None
        events = chain.from_iterable(self._events(json))
        for kind, value in events:
            if kind == "map_key":
                key = value
            elif kind in _OPENING:
                if not stack and kind != "start_map":
                    raise self._no_export()
                if path in _MESSAGES:
                    if kind != "start_map":
                        raise self._no_export()
                    kept = TelegramMessage(self.file, events).finish(json.broken)
                    count += 1
                    if kept is not None:
                        yield kept
                    continue
                stack.append(path)
                path = f"{path}/{key}" if len(stack) > 1 else ""
                if kind == "start_array":
                    key = "item"
                elif path in _CHATS:
                    header, told = {}, None
                if path in _MESSAGES and kind == "start_array":
                    found, count = True, 0
                    told = self._chat(header)
                    yield told
                self.account |= path in _ACCOUNT
            elif kind in _CLOSING:
                if path in _MESSAGES and told is not None:
                    self.entries[told.id] = count
                if path in _CHATS and told is not None and told != (full := self._chat(header)):
                    yield full
                path = stack.pop()
                key = "item"
            elif path in _CHATS and key in _HEADER:
                header[key] = value
            elif path in _MESSAGES or not stack:
                raise self._no_export()
        if not found and not self.account:
            raise self._no_export()

    def _events(self, json: JsonFile) -> Iterator[list[tuple[str, Any]]]:
        events = ijson.sendable_list()
        parser = ijson.get_backend("yajl2_c").basic_parse_coro(events)
        ended = False
        try:
            for chunk in json:
                parser.send(chunk)
                yield events
                del events[:]
            ended = True
            parser.close()
        except NotJson:
            raise self._no_export() from None
        except UnicodeDecodeError:
            raise BadInput(
                f"{self.file.name} is not text in UTF-8; export the chat again as “Machine-readable JSON”."
            ) from None
        except ijson.JSONError:
            if ended:
                raise BadInput(
                    f"{self.file.name} ends in the middle, so the export or its copy was cut off; export it again."
                ) from None
            raise BadInput(
                f"{self.file.name} is not JSON (it breaks off its form near byte {self.position:,}); in "
                "Telegram Desktop choose “Machine-readable JSON” when you export the chat."
            ) from None
        yield events

    def _chat(self, header: dict[str, Any]) -> SourceChat:
        if type(header.get("id")) is not int:
            raise self._no_export()
        kind = str(header.get("type") or "chat")
        title = header.get("name")
        if not isinstance(title, str) or not title.strip():
            title = "Saved messages" if kind == "saved_messages" else DELETED
        return SourceChat(str(header["id"]), title.replace(MARK, "�"), kind)

    def _no_export(self) -> BadInput:
        return BadInput(
            f"{self.file.name} is not a Telegram export; in Telegram Desktop use “Export chat history”, format "
            "“Machine-readable JSON”, and give the file result.json."
        )
