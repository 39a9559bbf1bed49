"""Zip files that people give us, opened so that whatever is wrong with one comes out as one sentence."""

from __future__ import annotations

import lzma
import struct
import zipfile
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from config.errors import BadInput

DAMAGED = (zipfile.BadZipFile, zlib.error, lzma.LZMAError, struct.error, EOFError, OSError, NotImplementedError)
"""What the standard library raises while it unpacks such a file."""


@contextmanager
def opened_zip(file: Path, again: str) -> Iterator[zipfile.ZipFile]:
    """The archive, for a block that reads of it. `again`: what the person is to do about a damaged one. Raises BadInput
    for one that is damaged, packed in a way that is not known here, or locked."""
    try:
        with _archive(file) as archive:
            if any(one.flag_bits & 1 for one in archive.infolist()):
                raise BadInput(f"{file.name} is locked with a password; give it without one.")
            yield archive
    except DAMAGED:
        raise BadInput(f"{file.name} is a damaged zip file; {again}.") from None


def _archive(file: Path) -> zipfile.ZipFile:
    try:
        return zipfile.ZipFile(file)
    except ValueError:  # places and names that there cannot be
        raise zipfile.BadZipFile from None
