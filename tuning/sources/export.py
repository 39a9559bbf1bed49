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

LONGEST_TEXT = 65_536
"""Characters of one message that is kept: as many as WhatsApp allows, and more than any other platform does."""
LONGEST_POST = 16_384
"""Characters, four times what Discord allows: more is no message of it, and the file is damaged."""


class Export(Protocol):
    """Iterate once: a SourceChat, then its SourceMessages, then the next chat. A message that cannot be kept does not
    keep the others out: it is given without its text (tuning/sources/message.py).

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


def kept_text(text: str) -> str:
    """`text`, or nothing where it is too long or not valid Unicode, so that it cannot be kept."""
    return text if len(text) <= LONGEST_TEXT and _is_valid(text) else ""


def checked_text(file: Path, which: str, text: str) -> str:
    """`text` as it may be kept. `which` names the message. Raises BadInput for what no message can hold."""
    if len(text) > LONGEST_POST:
        raise BadInput(
            f"{which} of {file.name} has {len(text):,} characters, and a message has at most {LONGEST_POST:,}; "
            "take it out of the file and import it again."
        )
    if not _is_valid(text):
        raise BadInput(
            f"{which} of {file.name} holds characters that are not valid Unicode; take it out and import it again."
        )
    return text


def _is_valid(text: str) -> bool:
    return MARK not in text and not any("\ud800" <= character <= "\udfff" for character in text)
