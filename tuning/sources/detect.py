"""Which format a file is in: found by looking into it, never by its name alone.

Knows every reader; reads no more than the beginning of a file, or a zip's list of names.
"""

from __future__ import annotations

import json
import zipfile
from contextlib import suppress
from pathlib import Path

import ijson

from config.errors import BadInput
from tuning.sources.dialogues import Dialogues
from tuning.sources.discord_export import DiscordExport
from tuning.sources.document import SUFFIXES, Document
from tuning.sources.export import Export
from tuning.sources.json_file import size_of
from tuning.sources.slack import SlackExport, top_of
from tuning.sources.telegram import TelegramExport
from tuning.sources.whatsapp import WhatsAppExport, chat_in
from tuning.sources.whatsapp_start import UNREADABLE, started
from tuning.sources.zip_file import opened_zip

LOOK_BYTES = 1 << 20
LOOK_LINES = 40
FORMATS = (
    "Telegram’s result.json, DiscordChatExporter’s JSON, WhatsApp’s .txt or .zip, Slack’s .zip, dialogues as JSON "
    "lines, or a document (.txt, .md, .html, .pdf, .docx)"
)


def open_export(file: Path) -> Export:
    """The reader for `file`. Raises BadInput for a missing or empty file and for one of no format known here."""
    size_of(file, "the file that the export wrote")
    with file.open("rb") as stream:
        start = stream.read(LOOK_BYTES).removeprefix(b"\xef\xbb\xbf")
    if zipfile.is_zipfile(file):
        return _in_zip(file)
    if start.startswith(b"%PDF"):
        return Document(file)
    lines = start.decode("utf-8", "replace").splitlines()[:LOOK_LINES]
    if _is_whatsapp(lines):  # before JSON: an iPhone's lines begin with a bracket
        return WhatsAppExport(file)
    if start.lstrip()[:1] in (b"{", b"["):
        return _json(file, start)
    if file.suffix.lower() in SUFFIXES or (lines and lines[0].lstrip().lower().startswith(("<!doctype html", "<html"))):
        return Document(file)
    if file.suffix.lower() == ".json":
        return TelegramExport(file)  # says how to export
    raise BadInput(f"{file.name} is in no format that can be read here; give {FORMATS}.")


def _is_whatsapp(lines: list[str]) -> bool:
    """Whether a message begins on one of them; or on the first, in a way that WhatsApp's reader will say it cannot
    read."""
    starts = [started(line) for line in lines if line.strip()]
    return any(start is not None and (start.form != UNREADABLE or start is starts[0]) for start in starts)


def _in_zip(file: Path) -> Export:
    with opened_zip(file, "save or download it again") as archive:
        names = archive.namelist()
    if "word/document.xml" in names:
        return Document(file)
    if top_of(names) is not None:
        return SlackExport(file)
    if chat_in(names) is not None:
        return WhatsAppExport(file)
    raise BadInput(f"{file.name} is a zip file of no kind that can be read here; give {FORMATS}.")


def _json(file: Path, start: bytes) -> Export:
    """By the first line, if that is a dialogue, else by the first names in the outermost object."""
    if start.lstrip()[:1] == b"[":
        return Dialogues(file)
    try:
        first = json.loads(start.split(b"\n", 1)[0])
    except ValueError:
        first = None
    if isinstance(first, dict) and _is_dialogue(first):
        return Dialogues(file)
    names = _first_names(start)
    if "guild" in names or "channel" in names:
        return DiscordExport(file)
    return TelegramExport(file)


def _is_dialogue(found: dict[str, object]) -> bool:
    turns = found.get("messages", found.get("conversations"))
    if not isinstance(turns, list) or not turns or not isinstance(turns[0], dict):
        return False
    return "role" in turns[0] or ("from" in turns[0] and "value" in turns[0])


def _first_names(start: bytes) -> set[str]:
    names: set[str] = set()
    depth = 0
    events = ijson.sendable_list()
    parser = ijson.get_backend("yajl2_c").basic_parse_coro(events)
    with suppress(ijson.JSONError, UnicodeDecodeError):  # broken further on: what came before still tells the format
        parser.send(start[:8192])
    for kind, value in events:
        if kind == "map_key" and depth == 1:
            names.add(value)
        depth += kind in ("start_map", "start_array")
        depth -= kind in ("end_map", "end_array")
    return names
