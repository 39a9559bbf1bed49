"""WhatsApp's “Export chat”: a text file, alone or in the zip that phones send, in the phone's own locale.

A message begins with its date and time, in brackets (iPhone) or before a dash (Android); what follows up to the next
such line is its text. Whether the day or the month comes first is read off the whole file: only one order may be
possible, else the one in which time does not run backwards. Notices, media stand-ins and deleted messages are counted
and left out. There are no ids in such a file: a message is known by who said what when, so a longer export of the same
chat adds only what is new. Knows nothing of databases.
"""

from __future__ import annotations

import hashlib
import io
import re
import zipfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from config.errors import BadInput
from tuning.sources.export import LONGEST_TEXT, checked_text
from tuning.sources.json_file import size_of
from tuning.sources.message import SourceChat, SourceMessage

LONGEST_AUTHOR = 100
SAMPLE_LINES = 200_000
"""Beginnings of messages from which the order of day and month is read."""

_SPACE = r"[ \u00a0\u202f]"
_DATE = r"(?P<a>\d{1,4})[./\-\u200f]+\s?(?P<b>\d{1,2})[./\-\u200f]+\s?(?P<c>\d{2,4})\.?"
_HALF = r"(?P<half>[aApP]\.?[mM]\.?|[aApP]\.[ \u00a0\u202f]?[mM]\.|午前|午後|上午|下午|오전|오후|AM|PM)"
_CLOCK = rf"(?:{_HALF}{_SPACE}?)?(?P<h>\d{{1,2}})[:.](?P<m>\d{{2}})(?:[:.](?P<s>\d{{2}}))?"
_AFTER = _HALF.replace("half", "half2")
_STAMP = rf"{_DATE}(?:,|،|{_SPACE}(?:à|às|klo|kl\.|um|ob|o|at))?{_SPACE}+{_CLOCK}(?:{_SPACE}?{_AFTER})?"
_BRACKETED = re.compile(rf"^[\u200e\u200f\u202a-\u202e\ufeff]*\[{_STAMP}\]{_SPACE}?")
_DASHED = re.compile(rf"^[\u200e\u200f\u202a-\u202e\ufeff]*{_STAMP}{_SPACE}[-–]{_SPACE}")
_MARKS = re.compile(r"[\u200e\u200f\u202a-\u202e\u2066-\u2069]")
_EDITED = re.compile(r"\s*\u200e?<[^<>]{4,60}>\s*$")
_AFTERNOON = {"pm", "午後", "下午", "오후"}

_MEDIA = re.compile(
    r"^<[^<>]{4,60}>$"  # <Media omitted>, <Medien ausgeschlossen>, <Multimedia omitido> …
    r"|^(?:image|video|audio|gif|sticker|document|contact card|video note) omitted$"
    r"|^.{1,120} \((?:file attached|archivo adjunto|Datei angehängt|fichier joint|file allegato|arquivo anexado|"
    r"файл добавлен|bestand bijgevoegd)\)$"
    r"|^<(?:attached|anexado|adjunto|Anhang|pièce jointe|allegato|прикреплено): .{1,200}>$"
    r"|^(?:null|POLL:|LOCATION: )",
    re.IGNORECASE,
)
_DELETED = re.compile(
    r"^(?:this message was deleted|you deleted this message|diese nachricht wurde gelöscht"
    r"|du hast diese nachricht gelöscht"
    r"|se eliminó este mensaje|eliminaste este mensaje|ce message a été supprimé|vous avez supprimé ce message"
    r"|questo messaggio è stato eliminato|esta mensagem foi apagada|mensagem apagada|данное сообщение удалено"
    r"|вы удалили данное сообщение|dit bericht is verwijderd|waiting for this message.*)[. ]*$",
    re.IGNORECASE,
)
_TITLED = re.compile(
    r"(?:WhatsApp Chat (?:with|mit|-)|Chat de WhatsApp con|Discussion WhatsApp avec|Chat WhatsApp con"
    r"|Conversa do WhatsApp com|Чат WhatsApp с(?: контактом)?)\s+(.+)",
    re.IGNORECASE,
)
LONGEST_LINE = 1 << 16
"""Characters read at a time, should a file have no line breaks."""


@dataclass(frozen=True, slots=True)
class _Start:
    """A line on which a message begins: numbers of its date as they stand, the time, and the rest of the line."""

    numbers: tuple[int, int, int]
    year_first: bool
    seconds: int
    rest: str


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
        day_first = self._day_first()
        entries, seen = 0, dict[str, int]()
        for start, text in self._messages():
            entries += 1
            author, colon, said = start.rest.partition(": ")
            said = "\n".join((said, text)) if text else said
            clean = _MARKS.sub("", said).strip()
            if not colon or not clean or _MEDIA.match(clean) or _DELETED.match(clean):
                continue
            which = f"Message {entries}"
            name = _MARKS.sub("", author).strip().removeprefix("~").strip()[:LONGEST_AUTHOR]
            edited = _EDITED.search(said) if said.rstrip().endswith(">") and "\u200e<" in said else None
            at = self._time(start, day_first, which)
            known = hashlib.sha256(f"{name}\0{at}\0{clean}".encode("utf-8", "replace")).hexdigest()[:24]
            times = seen[known] = seen.get(known, 0) + 1
            yield SourceMessage(
                external_id=known if times == 1 else f"{known}-{times}",
                author_id=f"whatsapp:{name}"[:LONGEST_AUTHOR],
                author=name,
                sent_at=at,
                reply_to=None,
                forwarded=False,
                text=checked_text(self.file, which, (said[: edited.start()] if edited else said).strip("\u200e \n")),
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

    @contextmanager
    def _opened(self) -> Iterator[io.TextIOWrapper]:
        try:
            if not zipfile.is_zipfile(self.file):
                with self.file.open("rb") as stream:
                    yield io.TextIOWrapper(stream, encoding="utf-8-sig", newline="\n")
                return
            with zipfile.ZipFile(self.file) as archive:
                name = next(name for name in archive.namelist() if name.lower().endswith(".txt"))
                with archive.open(name) as stream:
                    yield io.TextIOWrapper(stream, encoding="utf-8-sig", newline="\n")
        except UnicodeDecodeError:
            raise BadInput(f"{self.file.name} is not text in UTF-8; export the chat again.") from None
        except (zipfile.BadZipFile, EOFError):
            raise BadInput(f"{self.file.name} is a damaged zip file; send it from the phone again.") from None

    def _messages(self) -> Iterator[tuple[_Start, str]]:
        """Each beginning with the lines that follow it."""
        current: _Start | None = None
        more: list[str] = []
        length = 0
        with self._opened() as lines:
            for line in iter(lambda: lines.readline(LONGEST_LINE), ""):
                self.position += len(line)
                start = started(line.rstrip("\r\n"))
                if start is None:
                    length += len(line)
                    if current is None and length > LONGEST_TEXT:
                        raise self._no_export()
                    if length <= LONGEST_TEXT + 1:
                        more.append(line.rstrip("\r\n"))
                    elif current is not None:
                        raise BadInput(
                            f"A message of {self.file.name} has more than {LONGEST_TEXT:,} characters; take it out of "
                            "the file and import it again."
                        )
                    continue
                if current is not None:
                    yield current, "\n".join(more)
                current, more, length = start, [], 0
        if current is None:
            raise self._no_export()
        yield current, "\n".join(more)

    def _day_first(self) -> bool:
        """Whether the day stands before the month."""
        first = second = 0
        orders = {True: 0, False: 0}
        last: dict[bool, int] = {}
        for number, (start, _) in enumerate(self._messages()):
            if start.year_first:
                return False
            first, second = max(first, start.numbers[0]), max(second, start.numbers[1])
            for day_first in orders:
                at = _moment(start, day_first)
                if at is None or at < last.get(day_first, 0):
                    orders[day_first] += 1
                last[day_first] = at or last.get(day_first, 0)
            if number > SAMPLE_LINES:
                break
        self.position = 0
        if first > 12 or second > 12:
            return first > 12
        return orders[True] <= orders[False]

    def _time(self, start: _Start, day_first: bool, which: str) -> int:
        at = _moment(start, day_first)
        if at is None:
            raise BadInput(f"{which} of {self.file.name} has a date that there is not; export the chat again.")
        return at

    def _no_export(self) -> BadInput:
        return BadInput(f"{self.file.name} is not a chat that WhatsApp exported; in the chat choose More, Export chat.")


def started(line: str) -> _Start | None:
    """The beginning of a message, if the line is one."""
    found = _BRACKETED.match(line) or _DASHED.match(line)
    if found is None:
        return None
    a, b, c, hour = (int(found[name]) for name in ("a", "b", "c", "h"))
    half = re.sub(r"[.\s\u00a0\u202f]", "", found["half"] or found["half2"] or "").lower()
    if half:
        hour = hour % 12 + (12 if half in _AFTERNOON else 0)
    seconds = hour * 3600 + int(found["m"]) * 60 + int(found["s"] or 0)
    return _Start((a, b, c), len(found["a"]) == 4, seconds, line[found.end() :])


def _moment(start: _Start, day_first: bool) -> int | None:
    """Unix seconds, the phone's clock taken for UTC; None for a date that there is not."""
    a, b, c = start.numbers
    year, month, day = (a, b, c) if start.year_first else (c, b, a) if day_first else (c, a, b)
    try:
        return int(datetime(year + 2000 if year < 100 else year, month, day, tzinfo=UTC).timestamp()) + start.seconds
    except ValueError:
        return None
