"""A small whole file of every format that can be imported, of invented people, and ways to damage one."""

from __future__ import annotations

import io
import json
import random
import re
import zipfile
from collections.abc import Callable, Iterator
from typing import Any

from chat_exports import account, chat, message, talk
from docx import Document as WordDocument

Json = dict[str, Any]
SECTION = "A night costs twelve shells for boats under ten paces, and pilots pay nothing at all."


def discord() -> bytes:
    author = {"id": "9", "name": "odo", "nickname": "Odo", "isBot": False, "roles": []}
    head: Json = {"guild": {"id": "1", "name": "Harbour"}, "channel": {"id": "42", "type": "Text", "name": "slipway"}}
    said = [
        {"id": str(n), "type": "Reply", "timestamp": "2024-03-01T10:00:00.5+02:00", "timestampEdited": None,
         "content": f"Word {n}", "author": author, "reference": {"messageId": "1", "channelId": "42"}}
        for n in range(6)
    ]  # fmt: skip
    return json.dumps(head | {"messages": said}).encode()


def packed(files: dict[str, bytes], method: int = zipfile.ZIP_DEFLATED) -> bytes:
    stream = io.BytesIO()
    with zipfile.ZipFile(stream, "w", method) as archive:
        for name, content in files.items():
            archive.writestr(name, content)
    return stream.getvalue()


def slack_files() -> dict[str, bytes]:
    said = [
        {"type": "message", "user": "U1", "text": f"See <https://x.example|{n}>, <@U2>", "ts": f"170928720{n}.0001",
         "thread_ts": "1709287200.0001", "edited": {"user": "U2", "ts": "1709287300.0"}}
        for n in range(6)
    ]  # fmt: skip
    said.append({"type": "message", "user": "U9", "text": "Hi", "ts": "1709287300", "user_profile": {"real_name": "A"}})
    files: dict[str, Any] = {
        "users.json": [{"id": "U1", "name": "odo", "profile": {"display_name": "Odo"}}],
        "channels.json": [{"id": "C1", "name": "slipway"}], "slipway/2024-03-01.json": said,
    }  # fmt: skip
    return {name: json.dumps(content).encode() for name, content in files.items()}


def whatsapp() -> bytes:
    return "".join(
        f"[{n + 1}/1/24, 9:05:00\u202fPM] Odo: Wörd {n}\nmore \u200e<This message was edited>\n" for n in range(8)
    ).encode()


def dialogues(*, array: bool = False) -> bytes:
    turns: list[Json] = [{"role": "user", "content": "Ahoy?"}, {"role": "assistant", "content": [{"text": "Ahoy!"}]}]
    given = [{"messages": turns}, {"conversations": [{"from": "human", "value": "a"}, {"from": "gpt", "value": "b"}]}]
    return (json.dumps(given) if array else "\n".join(map(json.dumps, given))).encode()


def word() -> bytes:
    document = WordDocument()
    document.add_heading("Fees", 1)
    document.add_paragraph(SECTION)
    table = document.add_table(2, 2)
    for row in table.rows:
        for cell in row.cells:
            cell.text = "twelve shells"
    stream = io.BytesIO()
    document.save(stream)
    return stream.getvalue()


def pdf(text: str = SECTION) -> bytes:
    """A page of one line, written by hand."""
    stream = f"BT /F1 12 Tf 72 720 Td ({text}) Tj ET".encode()
    objects = [
        b"<</Type/Catalog/Pages 2 0 R>>", b"<</Type/Pages/Kids[3 0 R]/Count 1>>",
        b"<</Type/Page/Parent 2 0 R/MediaBox[0 0 612 792]/Contents 4 0 R/Resources<</Font<</F1 5 0 R>>>>>>",
        b"<</Length %d>>stream\n%s\nendstream" % (len(stream), stream),
        b"<</Type/Font/Subtype/Type1/BaseFont/Helvetica>>",
    ]  # fmt: skip
    content, places = b"%PDF-1.4\n", []
    for number, body in enumerate(objects, start=1):
        places.append(len(content))
        content += b"%d 0 obj%s endobj\n" % (number, body)
    table = b"".join(b"%010d 00000 n \n" % place for place in places)
    start = len(content)
    content += b"xref\n0 6\n0000000000 65535 f \n" + table
    return content + b"trailer<</Size 6/Root 1 0 R>>\nstartxref\n%d\n%%%%EOF" % start


FILES: dict[str, Callable[[], bytes]] = {
    "telegram.json": lambda: json.dumps(chat(talk(5))).encode(),
    "account.json": lambda: json.dumps(account(chat([message(1, "Odo", "Hi", 5)]), left=(chat([], "B", 5),))).encode(),
    "discord.json": discord,
    "slack.zip": lambda: packed(slack_files()),
    "slack stored.zip": lambda: packed(slack_files(), zipfile.ZIP_STORED),
    "slack in a folder.zip": lambda: packed({f"export/{name}": text for name, text in slack_files().items()}),
    "whatsapp.txt": whatsapp,
    "whatsapp.zip": lambda: packed({"_chat.txt": whatsapp() * 40}),
    "whatsapp lzma.zip": lambda: packed({"_chat.txt": whatsapp() * 40}, zipfile.ZIP_LZMA),
    "dialogues.jsonl": dialogues,
    "dialogues.json": lambda: dialogues(array=True),
    "page.html": lambda: f"<!doctype html><body><h1>Fees</h1><ul><li>{SECTION}<li>b</ul><pre>{SECTION}".encode(),
    "handbook.md": lambda: f"# Fees\n\n{SECTION}\n\n```\n{SECTION}\n```\n".encode(),
    "fees.docx": word,
    "fees.pdf": pdf,
}
ODD: list[Any] = [
    None, True, 0, -1, 1e308, 10**30, "", "inf", "nan", "\ud83d", "\ufdd0", "x" * 70_000, [], {}, [[]], {"id": {}},
    ["a", 1], "0001-01-01T00:00:00+14:00", "9" * 400, -(1 << 63),
]  # fmt: skip


def damaged(content: bytes, rng: random.Random) -> bytes:
    """With some bytes changed, taken away, put in, or the end cut off."""
    data = bytearray(content)
    for _ in range(rng.choice((1, 1, 2, 5, 20))):
        at = rng.randrange(len(data) + 1)
        kind = rng.randrange(5)
        if kind == 0:
            data[at : at + 1] = bytes([rng.randrange(256)])
        elif kind == 1:
            del data[at : at + rng.choice((1, 2, 9, 100))]
        elif kind == 2:
            data[at:at] = rng.choice((b"\x00", b'"', b"{", b"]", b"\xff\xfe", b"9" * 20, b"\n", bytes(data[:50])))
        elif kind == 3 and at < len(data):
            data[at] ^= 1 << rng.randrange(8)
        elif rng.randrange(4) == 0:
            del data[at:]
    return bytes(data)


def odd(content: Any, rng: random.Random) -> Any:
    """Parsed JSON with one value somewhere in it replaced by something that has no business there."""
    places = list(_places(content))
    if not places:
        return rng.choice(ODD)
    holder, key = rng.choice(places)
    holder[key] = rng.choice(ODD)
    return content


def mixed_up(content: bytes, rng: random.Random) -> bytes:
    """A PDF in which some of its words stand in the place of others, all at the same bytes as before."""
    data = bytearray(content)
    words = [found.span() for found in re.finditer(rb"/\w+|\d+ 0 R|\d+|<<|>>|\[|\]|T[fdjJ]", content)]
    for _ in range(rng.choice((1, 2, 3))):
        (start, end), (other_start, other_end) = rng.choice(words), rng.choice(words)
        data[start:end] = data[other_start:other_end][: end - start].ljust(end - start)
    return bytes(data)


def _places(content: Any) -> Iterator[tuple[Any, Any]]:
    inside = content.items() if isinstance(content, dict) else enumerate(content) if isinstance(content, list) else ()
    for key, value in inside:
        yield content, key
        yield from _places(value)


def odd_file(name: str, rng: random.Random) -> bytes | None:
    """A file of JSON that is well formed and holds something odd, or a PDF with its words mixed up; None for others."""
    content = FILES[name]()
    if name.endswith(".pdf"):
        return mixed_up(content, rng)
    if name.endswith(".jsonl"):
        return "\n".join(json.dumps(odd(json.loads(line), rng)) for line in content.splitlines()).encode()
    if name.endswith(".json"):
        return json.dumps(odd(json.loads(content), rng)).encode()
    if name.startswith("slack"):
        files = slack_files()
        chosen = rng.choice(list(files))
        files[chosen] = json.dumps(odd(json.loads(files[chosen]), rng)).encode()
        return packed(files)
    return None
