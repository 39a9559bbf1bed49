"""What came with a message, read as text where it is text: judged by its content, not by what it is called.

Promises that each attachment is either read, up to a limit that is told, or answered with a sentence that says what
can be read. Knows no platform: fetching is the connector's.
"""

from __future__ import annotations

import asyncio
import unicodedata
from collections.abc import Sequence
from dataclasses import dataclass

import structlog

from bots.incoming import Attachment
from config.errors import BadInput, ParlanceError

MOST_FILES = 5
LARGEST_FILE = 1_000_000
"""Bytes that are fetched at most for one file."""
LONGEST_TEXT = 12_000
"""Characters that are read at most of all files of one message."""
FETCH_SECONDS = 30.0
HEADING = "\n\n📎 "
"""Stands before the name of each file in what is kept of a message."""
NEVER_TEXT = ("image/", "audio/")
"""Not even fetched; but for drawings that are text."""
CONTROL = {chr(code) for code in range(32)} - set("\t\n\r\f\x1b")

log = structlog.get_logger()


@dataclass(frozen=True, slots=True)
class Files:
    """`text` to put behind what the person wrote, empty where nothing could be read; `notices` for them."""

    text: str = ""
    notices: tuple[str, ...] = ()


async def read_files(attachments: Sequence[Attachment]) -> Files:
    """Never raises: what cannot be fetched or read is among the notices."""
    parts: list[str] = []
    notices: list[str] = []
    room = LONGEST_TEXT
    for attachment in attachments[:MOST_FILES]:
        name = _name(attachment)
        try:
            text = await _read(attachment, name)
        except ParlanceError as error:
            notices.append(str(error))
            continue
        kept = text[:room]
        if len(kept) < len(text):
            notices.append(
                f"Of “{name}” I read the first {len(kept):,} of {len(text):,} characters."
                if kept
                else f"I did not read “{name}” any more; {LONGEST_TEXT:,} characters of files are what I take at once."
            )
        if kept:
            parts.append(f"{HEADING}{name}\n{kept}")
            room -= len(kept)
    if len(attachments) > MOST_FILES:
        notices.append(f"I looked at the first {MOST_FILES} of {len(attachments)} files; send the others on their own.")
    return Files("".join(parts), tuple(notices))


def with_new_words(kept: str, words: str) -> str:
    """What is kept of a message whose author changed its words: its files stay as they were."""
    before = "\n\n" + kept  # a message may begin with its files
    at = before.find(HEADING)
    return (words + (before[at:] if at >= 0 else "")).strip()


async def _read(attachment: Attachment, name: str) -> str:
    """The file's text. Raises ParlanceError with the sentence for the person."""
    kind = attachment.media_type.lower()
    if kind.startswith(NEVER_TEXT) and not kind.startswith("image/svg"):
        raise _unreadable(name)
    too_large = BadInput(f"“{name}” is too large; I can read text files of up to {LARGEST_FILE // 1_000_000} MB.")
    if attachment.size > LARGEST_FILE:
        raise too_large
    try:
        async with asyncio.timeout(FETCH_SECONDS):
            content = await attachment.read()
    except ParlanceError:
        raise
    except Exception as error:
        # Neither the error's text nor its traceback: they may hold an address with the account's token.
        log.warning("attachment_not_fetched", kind=type(error).__name__)
        raise BadInput(f"“{name}” could not be fetched; please send it again.") from None
    if len(content) > LARGEST_FILE:
        raise too_large
    text = _decoded(content)
    if text is None:
        raise _unreadable(name)
    if not text.strip():
        raise BadInput(f"“{name}” is empty, so there was nothing to read.")
    return text.strip()


def _decoded(content: bytes) -> str | None:
    """As UTF-8, with or without a mark; None where it is something else."""
    try:
        text = content.decode("utf-8-sig")
    except UnicodeDecodeError:
        return None
    return None if CONTROL & set(text[:LONGEST_TEXT]) else text


def _unreadable(name: str) -> BadInput:
    return BadInput(f"I cannot read “{name}”; I can read text files: notes, tables, source code, UTF-8.")


def _name(attachment: Attachment) -> str:
    """On one line, without what would turn the text around it."""
    plain = "".join(" " if unicodedata.category(letter)[0] in "CZ" else letter for letter in attachment.name)
    return " ".join(plain.encode("utf-8", "replace").decode().split())[:80] or "the file"
