"""Dialogues made for tuning: OpenAI's and TRL's `messages`, and ShareGPT's `conversations`; a line each, or one array.

Each dialogue is a chain of replies of its own: nothing joins two of them. The person's turns come from `user`, the
model's from `assistant`; what the system is told is left out, because an assistant has its own words for that, and tool
calls are. A dialogue ends before a turn that cannot be kept; that turn and those after it are given without their text.
There are no times in such a file: its order stands for time. Knows nothing of databases.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import ijson

from config.errors import BadInput
from tuning.sources.export import kept_text
from tuning.sources.json_file import JsonFile, NotJson, size_of
from tuning.sources.message import SourceChat, SourceMessage

LONGEST_LINE = 16 << 20
"""Bytes."""
ROLES = {
    "user": "user", "human": "user", "prompter": "user",
    "assistant": "assistant", "gpt": "assistant", "model": "assistant", "bot": "assistant",
}  # fmt: skip
LEFT_OUT = {"system", "developer", "tool", "function", "function_call", "observation"}
START = 1_000_000_000
APART = 60
"""Seconds between two turns, made up: the file's order is all that is known."""


class Dialogues:
    """One file: see tuning/sources/export.py. `entries` counts turns."""

    kind = "dialogues"

    def __init__(self, file: Path) -> None:
        self.file = file
        self.size = size_of(file, "the file with the dialogues")
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
        yield SourceChat(self.file.stem[:40], self.file.stem, self.kind)
        turns = 0
        for number, dialogue in enumerate(self._dialogues(), start=1):
            previous: str | None = None
            torn = False
            for place, (role, text) in enumerate(self._turns(dialogue, number)):
                turns += 1
                name = f"{number}.{place}"
                if role in LEFT_OUT or not text.strip():
                    continue
                torn = torn or not kept_text(text)
                speaker = ROLES[role]
                yield SourceMessage(
                    external_id=name,
                    author_id=speaker,
                    author=speaker,
                    sent_at=START + APART * turns,
                    reply_to=previous,
                    forwarded=False,
                    text="" if torn else text,
                )
                previous = name
        self.entries[self.file.stem[:40]] = turns

    def _dialogues(self) -> Iterator[dict[str, Any]]:
        with self.file.open("rb") as stream:
            start = stream.read(64).removeprefix(b"\xef\xbb\xbf").lstrip()[:1]
            stream.seek(0)
            self._json = JsonFile(stream)
            try:
                yield from self._array(self._json) if start == b"[" else self._lines(self._json)
            except UnicodeDecodeError:
                raise BadInput(f"{self.file.name} is not text in UTF-8; save it as UTF-8 first.") from None
            except NotJson:
                raise self._no_dialogues(1) from None

    def _array(self, file: JsonFile) -> Iterator[dict[str, Any]]:
        try:
            for number, item in enumerate(ijson.items(file, "item", use_float=True), start=1):
                if not isinstance(item, dict):
                    raise self._no_dialogues(number)
                yield item
        except ijson.JSONError:
            raise BadInput(
                f"{self.file.name} is not whole JSON (it breaks off near byte {self.position:,}); save it again."
            ) from None

    def _lines(self, file: JsonFile) -> Iterator[dict[str, Any]]:
        number, rest = 0, b""
        for piece in file:
            *lines, rest = (rest + piece).split(b"\n")
            if len(rest) > LONGEST_LINE:
                raise self._no_dialogues(number + 1)
            for line in lines:
                number += 1
                yield from self._line(line, number)
        yield from self._line(rest, number + 1)

    def _line(self, line: bytes, number: int) -> Iterator[dict[str, Any]]:
        if not line.strip():
            return
        try:
            found = json.loads(line.decode())
        except (ValueError, RecursionError):
            raise BadInput(
                f"Line {number} of {self.file.name} is not JSON, or was cut off; every line is one dialogue."
            ) from None
        if not isinstance(found, dict):
            raise self._no_dialogues(number)
        yield found

    def _turns(self, dialogue: dict[str, Any], number: int) -> Iterator[tuple[str, str]]:
        turns = dialogue.get("messages", dialogue.get("conversations", dialogue.get("conversation")))
        if not isinstance(turns, list):
            raise self._no_dialogues(number)
        for turn in turns:
            if not isinstance(turn, dict):
                raise self._no_dialogues(number)
            role = turn.get("role", turn.get("from"))
            if not isinstance(role, str) or (role not in ROLES and role not in LEFT_OUT):
                raise BadInput(
                    f"Dialogue {number} of {self.file.name} has a turn of “{str(role)[:30]}”; turns are of user or "
                    "assistant."
                )
            yield role, _text(turn.get("content", turn.get("value")))

    def _no_dialogues(self, number: int) -> BadInput:
        return BadInput(
            f"Dialogue {number} of {self.file.name} has neither “messages” nor “conversations”, so it cannot be "
            "learnt; write each as OpenAI or ShareGPT do."
        )


def _text(content: Any) -> str:
    """A turn's text: a string, or the text parts of a list."""
    if isinstance(content, str):
        return content
    if isinstance(content, list):
        return "\n".join(str(part.get("text", "")) for part in content if isinstance(part, dict))
    return ""
