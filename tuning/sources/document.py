"""A document as knowledge of the assistant: text, Markdown, HTML, PDF or Word, cut into passages under their headings.

Each passage becomes one exchange: what somebody would ask for, made from the document's title and the passage's
heading, and the passage as the assistant's answer. Passages end at paragraphs. pypdf, python-docx and Beautiful Soup
read what they know best; this module knows only headings and paragraphs. Knows nothing of databases.
"""

from __future__ import annotations

import hashlib
import logging
import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

from config.errors import BadInput
from tuning.sources.export import checked_text
from tuning.sources.json_file import size_of
from tuning.sources.message import SourceChat, SourceMessage
from tuning.sources.zip_file import opened_zip

LARGEST = 64 << 20
"""Bytes; these formats are read whole."""
LARGEST_UNPACKED = 512 << 20
"""Bytes of a Word document's parts together: a small file may unpack to anything."""
PASSAGE = 900
"""Characters of a passage, about: an answer's length."""
SHORTEST = 40
ASKER, ASSISTANT = "asker", "assistant"
START = 1_000_000_000
APART = 24 * 3600

NO_TEXT = ["head", "script", "style", "noscript", "template", "nav", "header", "footer", "form", "svg"]
BLOCKS = (
    "html body main article section aside div p h1 h2 h3 h4 h5 h6 ul ol li dl dt dd pre blockquote address figure "
    "figcaption details summary fieldset table caption thead tbody tfoot tr td th hr"
)
"""Elements of a page that words beside each other are not one paragraph across."""

Item = TypeVar("Item")
_HEADING = re.compile(r"^(#{1,6})\s+(.+?)\s*#*$")
_UNDERLINED = re.compile(r"^(?:={3,}|-{3,})$")
_BREAK = re.compile(r"(?<=[.!?…。！？])\s+")
SUFFIXES = {".txt", ".text", ".md", ".markdown", ".html", ".htm", ".pdf", ".docx"}


@dataclass(frozen=True, slots=True)
class Block:
    """A paragraph, or a heading of `level` 1 to 6."""

    text: str
    level: int = 0


class Document:
    """One document: see tuning/sources/export.py. `entries` counts passages' two messages."""

    kind = "document"

    def __init__(self, file: Path) -> None:
        self.file = file
        self.size = size_of(file, "the document in it")
        if self.size > LARGEST:
            raise BadInput(f"{file.name} has {self.size >> 20} MB, and a document at most {LARGEST >> 20}; split it.")
        self.position = 0
        self.entries: dict[str, int] = {}
        self.account = False

    @property
    def digest(self) -> str:
        with self.file.open("rb") as stream:
            return hashlib.file_digest(stream, "sha256").hexdigest()

    def __iter__(self) -> Iterator[SourceChat | SourceMessage]:
        title = self.file.stem.replace("_", " ").strip() or self.file.name
        key = hashlib.sha256(self.file.name.encode()).hexdigest()[:16]
        yield SourceChat(key, self.file.name, self.kind)
        count = 0
        for heading, passage in passages(self._blocks()):
            asked = f"{title}: {heading}" if heading and heading != title else title
            known = hashlib.sha256(f"{asked}\0{passage}".encode()).hexdigest()[:24]
            at = START + APART * count
            yield self._said(f"{known}-q", ASKER, at, None, asked[:LONGEST_QUESTION])
            yield self._said(known, ASSISTANT, at + 1, f"{known}-q", passage)
            count += 1
        if not count:
            raise BadInput(f"{self.file.name} holds no text that can be read; if it is a scan, give it as text.")
        self.entries[key] = 2 * count
        self.position = self.size

    def _said(self, external_id: str, who: str, at: int, reply_to: str | None, text: str) -> SourceMessage:
        return SourceMessage(
            external_id=external_id, author_id=who, author=who, sent_at=at, reply_to=reply_to, forwarded=False,
            text=checked_text(self.file, "A passage", text),
        )  # fmt: skip

    def _blocks(self) -> Iterator[Block]:
        with self.file.open("rb") as stream:
            start = stream.read(8)
        suffix = self.file.suffix.lower()
        if start.startswith(b"%PDF"):
            return self._pdf()
        if start.startswith(b"PK"):
            return self._word()
        text = self._text()
        if suffix in (".html", ".htm") or re.match(r"\s*<(?:!doctype html|html|head|body)\b", text, re.IGNORECASE):
            return self._parsed(lambda _: _html(text), "is a page that cannot be read; save it as text and give that")
        return _plain(text)

    def _text(self) -> str:
        content = self.file.read_bytes()
        try:
            return content.decode("utf-16" if content[:2] in (b"\xff\xfe", b"\xfe\xff") else "utf-8-sig")
        except UnicodeDecodeError:
            raise BadInput(f"{self.file.name} is not text in UTF-8; save it as UTF-8 first.") from None

    def _pdf(self) -> Iterator[Block]:
        for page in self._parsed(_pdf_pages, "is a PDF that cannot be read; save it as text and give that"):
            text = re.sub(r"(?<=\w)-\n(?=[a-zäöüß])", "", page)
            for paragraph in re.split(r"\n\s*\n", text):
                yield Block(" ".join(paragraph.split()))

    def _word(self) -> Iterator[Block]:
        with opened_zip(self.file, "save it as .docx again") as packed:
            size = sum(one.file_size for one in packed.infolist())
        if size > LARGEST_UNPACKED:
            raise BadInput(f"{self.file.name} unpacks to {size >> 20:,} MB, which no text needs; save it as text.")
        yield from self._parsed(_word_blocks, "is no Word document that can be read; save it as .docx again")

    def _parsed(self, parse: Callable[[Path], Iterator[Item]], sentence: str) -> Iterator[Item]:
        """What a library makes of the file. These raise whatever they stumble over in a damaged one, of dozens of
        kinds and promising none, so all of them become one sentence."""
        try:
            yield from parse(self.file)
        except BadInput:
            raise
        except Exception:
            raise BadInput(f"{self.file.name} {sentence}.") from None


def _pdf_pages(file: Path) -> Iterator[str]:
    from pypdf import PdfReader

    logging.getLogger("pypdf").setLevel(logging.CRITICAL)  # its warnings quote the file
    reader = PdfReader(file)
    if reader.is_encrypted and not reader.decrypt(""):
        raise BadInput(f"{file.name} is locked with a password; save it without one.")
    for page in reader.pages:
        yield page.extract_text()


def _word_blocks(file: Path) -> Iterator[Block]:
    """Paragraphs and tables as they follow each other; of a table each row, a cell that spans several once."""
    from docx import Document as WordDocument
    from docx.table import Table

    for part in WordDocument(str(file)).iter_inner_content():
        if isinstance(part, Table):
            seen: set[object] = set()
            for row in part.rows:
                fresh = {cell._tc: cell.text.strip() for cell in row.cells if cell._tc not in seen}
                seen.update(fresh)
                yield Block(" | ".join(filter(None, fresh.values())))
            continue
        style = (part.style.name if part.style is not None else "") or ""
        found = re.fullmatch(r"Heading (\d)", style)
        yield Block(part.text.strip(), int(found[1]) if found else 1 if style == "Title" else 0)


LONGEST_QUESTION = 300


def passages(blocks: Iterator[Block]) -> Iterator[tuple[str, str]]:
    """(heading path, text): paragraphs under one heading together, up to about PASSAGE characters."""
    path: list[tuple[int, str]] = []
    parts: list[str] = []

    def whole() -> Iterator[tuple[str, str]]:
        text = "\n\n".join(parts)
        parts.clear()
        if len(text) >= SHORTEST:
            yield " – ".join(heading for _, heading in path), text

    for block in blocks:
        if not block.text:
            continue
        if block.level:
            yield from whole()
            path = [(level, heading) for level, heading in path if level < block.level]
            path.append((block.level, block.text))
            continue
        for piece in _pieces(block.text):
            if parts and sum(map(len, parts)) + len(piece) > PASSAGE:
                yield from whole()
            parts.append(piece)
    yield from whole()


def _pieces(paragraph: str) -> Iterator[str]:
    """A paragraph, cut between sentences where it is longer than a passage, and anywhere where a sentence is."""
    piece = ""
    for sentence in _BREAK.split(paragraph):
        if piece and len(piece) + len(sentence) >= PASSAGE:
            yield piece
            piece = ""
        piece = f"{piece} {sentence}" if piece else sentence
        while len(piece) > 2 * PASSAGE:
            yield piece[:PASSAGE]
            piece = piece[PASSAGE:]
    if piece:
        yield piece


def _plain(text: str) -> Iterator[Block]:
    """Text or Markdown: headings by # or underlining, paragraphs by empty lines; code stays as it stands."""
    lines: list[str] = []
    fenced = False
    for line in (*text.splitlines(), ""):
        bare = line.strip()
        if bare.startswith(("```", "~~~")):
            fenced = not fenced
        heading = None if fenced else _HEADING.match(bare)
        if heading:
            yield Block("\n".join(lines).strip())
            lines = []
            yield Block(heading[2], len(heading[1]))
        elif not fenced and len(lines) == 1 and _UNDERLINED.match(bare):
            yield Block(lines.pop().strip(), 1 if bare.startswith("=") else 2)
        elif bare or fenced:
            lines.append(line.rstrip())
        else:
            yield Block("\n".join(lines).strip())
            lines = []
    yield Block("\n".join(lines).strip())


def _html(text: str) -> Iterator[Block]:
    """Words by the innermost block that they stand in, whichever that is: a page need not be made of paragraphs."""
    from bs4 import BeautifulSoup
    from bs4.element import NavigableString, Tag

    page = BeautifulSoup(text, "html.parser")
    for tag in page(NO_TEXT):
        tag.decompose()
    blocks = frozenset(BLOCKS.split())
    words: list[str] = []
    around: Tag | None = None

    def block() -> Iterator[Block]:
        said = "".join(words)
        name = around.name if around is not None else ""
        words.clear()
        plain = said.strip("\n") if name == "pre" else " ".join(said.split())
        if plain.strip():
            yield Block(plain, int(name[1]) if re.fullmatch("h[1-6]", name) else 0)

    for part in page.descendants:
        if isinstance(part, Tag):
            if part.name in blocks:
                yield from block()
            elif part.name == "br":
                words.append("\n")
        elif type(part) is NavigableString:  # its kinds are comments and the like
            inner = next((parent for parent in part.parents if parent.name in blocks), None)
            if inner is not around:
                yield from block()
                around = inner
            words.append(part)
    yield from block()
