"""Damaged files of every format: one sentence comes out, never a library's exception, and nothing is half imported."""

from __future__ import annotations

import random
import struct
import zipfile
import zlib
from pathlib import Path

import pytest
from chat_exports import add_assistant, every_row, silent, talk, written
from chat_exports import chat as telegram_chat
from small_files import FILES, damaged, odd_file, packed, pdf, slack_files, whatsapp, word

from config.errors import BadInput, ParlanceError
from store.database import Database
from tuning.importing import import_file
from tuning.sources.detect import open_export
from tuning.sources.message import SourceMessage

READ, IMPORTED = 150, 12
"""Damaged files of each format."""


def spoilt(name: str, seed: int) -> bytes:
    rng = random.Random(f"{name} {seed}")
    content = odd_file(name, rng) if seed % 2 else None
    return damaged(FILES[name](), rng) if content is None else content


@pytest.mark.parametrize("name", FILES)
def test_whatever_is_wrong_with_a_file_is_one_sentence(tmp_path: Path, name: str) -> None:
    file = tmp_path / name
    file.write_bytes(FILES[name]())
    assert any(isinstance(item, SourceMessage) for item in open_export(file)), "the whole file is read"
    refused = 0
    for seed in range(READ):
        file.write_bytes(spoilt(name, seed))
        try:
            for item in open_export(file):
                if isinstance(item, SourceMessage):
                    assert f"{item.text}{item.author}{item.external_id}{item.reply_to}".encode(), "it can be kept"
        except ParlanceError as error:
            assert "\n" not in str(error) and len(str(error)) < 400
            refused += 1
    assert refused


@pytest.mark.parametrize("name", FILES)
async def test_a_refused_file_leaves_every_row_as_it_was(database: Database, tmp_path: Path, name: str) -> None:
    await add_assistant(database)
    await import_file(database, written(tmp_path, telegram_chat(talk(3))), "harbour", "Runa", "Ingrid", silent)
    file = tmp_path / name
    before = await every_row(database)
    for seed in range(IMPORTED):
        file.write_bytes(spoilt(name, seed))
        try:
            await import_file(database, file, "harbour", None, "Ingrid", silent)
        except ParlanceError:
            assert await every_row(database) == before
        before = await every_row(database)


def refuse(file: Path, sentence: str) -> None:
    with pytest.raises(BadInput, match=sentence) as refused:
        list(open_export(file))
    assert file.name in str(refused.value) and "\n" not in str(refused.value)


@pytest.mark.parametrize("inside", [slack_files(), {"_chat.txt": whatsapp() * 50}], ids=["slack", "whatsapp"])
def test_a_zip_damaged_within_its_packed_bytes_is_one_sentence(tmp_path: Path, inside: dict[str, bytes]) -> None:
    file = tmp_path / "export.zip"
    content = bytearray(packed(inside))
    with zipfile.ZipFile(packed_file(tmp_path, bytes(content))) as archive:
        last = archive.infolist()[-1]
    start = last.header_offset + 30 + len(last.filename)
    content[start : start + 8] = b"\xff" * 8
    file.write_bytes(content)
    with pytest.raises(zlib.error), zipfile.ZipFile(file) as archive:
        archive.read(last.filename)
    refuse(file, "damaged zip")


def packed_file(folder: Path, content: bytes) -> Path:
    (folder / "whole.zip").write_bytes(content)
    return folder / "whole.zip"


@pytest.mark.parametrize("inside", [slack_files(), {"_chat.txt": whatsapp()}], ids=["slack", "whatsapp"])
def test_a_zip_with_a_password_is_one_sentence(tmp_path: Path, inside: dict[str, bytes]) -> None:
    content = bytearray(packed(inside))
    for mark, flags in ((b"PK\x03\x04", 6), (b"PK\x01\x02", 8)):
        at = content.find(mark)
        while at >= 0:
            struct.pack_into("<H", content, at + flags, 1)
            at = content.find(mark, at + 4)
    (tmp_path / "export.zip").write_bytes(content)
    refuse(tmp_path / "export.zip", "password")


def test_a_word_document_with_broken_xml_is_one_sentence(tmp_path: Path) -> None:
    (tmp_path / "whole.docx").write_bytes(word())
    with zipfile.ZipFile(tmp_path / "whole.docx") as archive:
        parts = {name: archive.read(name) for name in archive.namelist()}
    parts["word/document.xml"] = parts["word/document.xml"][:-40]
    (tmp_path / "fees.docx").write_bytes(packed(parts))
    refuse(tmp_path / "fees.docx", "no Word document")


@pytest.mark.parametrize(
    ("old", "new"),
    [(b"/Kids[3 0 R]", b"/Kids[9 0 R]"), (b"/Font<</F1 5 0 R>>", b"/Font 5           "),
     (b"/Length", b"/Filter/FlateDecode/Length"), (b"/Count 1", b"/Count[1]")],
)  # fmt: skip
def test_a_damaged_pdf_is_one_sentence_and_says_nothing_of_its_text(
    tmp_path: Path, old: bytes, new: bytes, caplog: pytest.LogCaptureFixture
) -> None:
    content = pdf("The heron keeps forty silver spoons under the old pier.")
    assert old in content
    (tmp_path / "fees.pdf").write_bytes(content.replace(old, new))
    try:
        list(open_export(tmp_path / "fees.pdf"))
    except BadInput as error:
        assert "fees.pdf" in str(error) and "\n" not in str(error)
    assert not caplog.records


@pytest.mark.parametrize("stamp", ["inf", "nan", "1e300", "-5", None])
def test_a_time_that_there_is_not_is_one_sentence(tmp_path: Path, stamp: str | None) -> None:
    files = slack_files()
    files["slipway/2024-03-01.json"] = (
        files["slipway/2024-03-01.json"]
        .replace(b'"1709287200.0001"', b'"1"')
        .replace(b'"1709287201.0001"', b"null" if stamp is None else f'"{stamp}"'.encode())
    )
    (tmp_path / "export.zip").write_bytes(packed(files))
    refuse(tmp_path / "export.zip", "no time that can be read")
