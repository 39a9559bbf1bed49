"""WhatsApp's “Export chat”: a text file, alone or in the zip that phones send, in the phone's own locale.

A message begins with its date and time, in brackets (iPhone) or before a dash (Android), in the form that the whole
file has (tuning/sources/whatsapp_start.py); what follows up to the next such line is its text. A message with a line
that looks like the beginning of one in another form, be it of a chat that somebody pasted, is given without its text.
Notices, media stand-ins and deleted messages are counted and left out. There are no ids in such a file: a message is
known by who said what when, so a longer export of the same chat adds only what is new. Knows nothing of databases.
"""

from __future__ import annotations

import hashlib
import io
import re
import zipfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

from config.errors import BadInput
from tuning.sources.export import LONGEST_TEXT, kept_text
from tuning.sources.json_file import size_of
from tuning.sources.message import SourceChat, SourceMessage
from tuning.sources.whatsapp_notice import is_name, typed
from tuning.sources.whatsapp_start import MARKS, Start, Survey, moment, started
from tuning.sources.zip_file import opened_zip

LONGEST_AUTHOR = 100
SAMPLE_LINES = 200_000
"""Beginnings of messages from which their form is read."""

_MARKS = re.compile(f"[{MARKS}]")
_TITLED = re.compile(
    r"(?:WhatsApp Chat (?:with|mit|-)|Chat de WhatsApp con|Discussion WhatsApp avec|Chat WhatsApp con"
    r"|Conversa do WhatsApp com|Чат WhatsApp с(?: контактом)?)\s+(.+)",
    re.IGNORECASE,
)
LONGEST_LINE = 1 << 18
"""Characters read at a time, should a file have no line breaks."""


@dataclass(slots=True)
class _Message:
    """`at` in Unix seconds; `lines` as they stand, the rest of the first one too, up to a little more than a message
    may have; `sound`: none of them looks like the beginning of a message in another form."""

    at: int
    bracketed: bool
    lines: list[str]
    length: int
    sound: bool = True

    def add(self, line: str) -> None:
        """One more line."""
        if self.length <= LONGEST_TEXT + LONGEST_AUTHOR:
            self.lines.append(line)
        self.length += len(line) + 1


class WhatsAppExport:
    """One export file: see tuning/sources/export.py."""

    kind = "whatsapp"

    def __init__(self, file: Path) -> None:
        self.file = file
        self.size = size_of(file, "the .txt or .zip file of the chat")
        self.position = 0
        self.entries: dict[str, int] = {}
        self.account = False

    @property
    def digest(self) -> str:
        with self.file.open("rb") as stream:
            return hashlib.file_digest(stream, "sha256").hexdigest()

    def __iter__(self) -> Iterator[SourceChat | SourceMessage]:
        title = self._title()
        yield SourceChat(hashlib.sha256(title.encode()).hexdigest()[:16], title, "whatsapp")
        entries, seen = 0, dict[str, int]()
        for message in self._messages():
            entries += 1
            author, colon, said = message.lines[0].partition(": ")
            author, said = _MARKS.sub("", author).strip(), "\n".join((said, *message.lines[1:]))
            text = typed(said, iphone=message.bracketed)
            if not colon or not text or not is_name(author):
                continue
            name = author.removeprefix("~").strip()[:LONGEST_AUTHOR]
            content = f"{name}\0{message.at}\0{_MARKS.sub('', said).strip()}"
            known = hashlib.sha256(content.encode("utf-8", "replace")).hexdigest()[:24]
            times = seen[known] = seen.get(known, 0) + 1
            yield SourceMessage(
                external_id=known if times == 1 else f"{known}-{times}",
                author_id=f"whatsapp:{name}"[:LONGEST_AUTHOR],
                author=name,
                sent_at=message.at,
                reply_to=None,
                forwarded=False,
                text=kept_text(text) if message.sound else "",
            )
            if len(seen) > SAMPLE_LINES:
                seen.clear()  # the same person saying the same in the same second does not happen so far apart
        self.entries[hashlib.sha256(title.encode()).hexdigest()[:16]] = entries
        self.position = self.size

    def _title(self) -> str:
        name = re.sub(r"\s*\(\d+\)$", "", self.file.stem).strip()
        found = _TITLED.match(name)
        if found:
            return found[1].strip()
        return self.file.resolve().parent.name if name in ("_chat", "chat") else name

    def _lines(self) -> Iterator[tuple[str, Start | None]]:
        """Each line, without its end, and the beginning of a message that it is or looks like."""
        self.position, begins = 0, True
        try:
            with self._opened() as lines:
                for line in iter(lambda: lines.readline(LONGEST_LINE), ""):
                    self.position += len(line)
                    bare = line.rstrip("\r\n")
                    yield bare, started(bare) if begins else None
                    begins = line.endswith("\n")
        except UnicodeDecodeError:
            raise BadInput(f"{self.file.name} is not text in UTF-8; export the chat again.") from None

    @contextmanager
    def _opened(self) -> Iterator[io.TextIOWrapper]:
        if not zipfile.is_zipfile(self.file):
            with self.file.open("rb") as stream:
                yield io.TextIOWrapper(stream, encoding="utf-8-sig", newline="\n")
            return
        with (
            opened_zip(self.file, "send it from the phone again") as archive,
            archive.open(chat_in(archive.namelist()) or "") as stream,
        ):
            yield io.TextIOWrapper(stream, encoding="utf-8-sig", newline="\n")

    def _surveyed(self) -> Survey:
        """The form of the file's beginnings, and the order of their dates."""
        survey, length = Survey(), 0
        for line, start in self._lines():
            length += len(line)
            if start is not None:
                survey.take(start)
            if survey.starts == SAMPLE_LINES or (not survey.starts and length > LONGEST_TEXT):
                break
        if not survey.starts:
            raise BadInput(
                f"{self.file.name} is not a chat that WhatsApp exported; in the chat choose More, Export chat."
            )
        if survey.unreadable is not None:
            raise BadInput(
                f"{self.file.name} writes dates and times in a way that cannot be read here ({survey.unreadable}); set "
                "the phone to English, with the Gregorian calendar, and export the chat again."
            )
        if survey.mixed:
            raise BadInput(
                f"{self.file.name} writes dates and times in two ways; if it holds two exports, import each by itself."
            )
        return survey

    def _messages(self) -> Iterator[_Message]:
        """Each beginning with the lines that follow it. What stands before the first is the end of a message that is
        not there."""
        survey = self._surveyed()
        current: _Message | None = None
        for line, start in self._lines():
            at = moment(start, survey.order) if start is not None and start.form == survey.form else None
            if start is not None and at is not None:
                if current is not None:
                    yield current
                current = _Message(at, start.bracketed, [start.rest], len(start.rest))
            elif current is not None:
                current.add(line)
                current.sound &= start is None or ": " not in start.rest
        if current is not None:
            yield current


def chat_in(names: Sequence[str]) -> str | None:
    """The file of the chat among those of a zip; None where none can be it. Files that people sent may lie beside."""
    texts = [name for name in names if name.lower().endswith(".txt") and not name.startswith("__MACOSX/")]
    chats = [name for name in texts if name.endswith("_chat.txt") or _TITLED.match(PurePosixPath(name).stem)]
    return chats[0] if chats else texts[0] if len(texts) == 1 else None
