"""What every reader of an export is to an import: an iterator of chats and their messages, with what it has read.

Knows no format.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Protocol

from config.errors import BadInput
from tuning.sources.message import SourceChat, SourceMessage
from tuning.sources.surrogates import MARK

LONGEST_TEXT = 16_384
"""Characters of one message: four times what any platform allows."""


class Export(Protocol):
    """Iterate once: a SourceChat, then its SourceMessages, then the next chat.

    While iterating, `position` and `size` are bytes, and `account` tells whether the file holds many chats; afterwards
    `entries` counts per chat id what stands in it, kept or not, and `digest` is the SHA-256 of the file, in hex.
    `kind` names the format. Raises BadInput, on opening for a missing, empty or unreadable file, else while iterating.
    """

    kind: str
    file: Path
    size: int
    entries: dict[str, int]
    account: bool

    @property
    def position(self) -> int: ...

    @property
    def digest(self) -> str: ...

    def __iter__(self) -> Iterator[SourceChat | SourceMessage]: ...


def checked_text(file: Path, which: str, text: str) -> str:
    """`text` as it may be kept. `which` names the message. Raises BadInput for what no message can hold."""
    if len(text) > LONGEST_TEXT:
        raise BadInput(
            f"{which} of {file.name} has {len(text):,} characters, and a message has at most {LONGEST_TEXT:,}; "
            "take it out of the file and import it again."
        )
    if MARK in text or any("\ud800" <= character <= "\udfff" for character in text):
        raise BadInput(
            f"{which} of {file.name} holds characters that are not valid Unicode; take it out and import it again."
        )
    return text
