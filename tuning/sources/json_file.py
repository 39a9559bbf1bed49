"""A JSON file as a stream of bytes: hashed as it is read, its position known, lone surrogates marked.

Pieces never end inside an escape or a surrogate pair: each ends with a quotation mark. Knows no export format.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO

from config.errors import BadInput
from tuning.sources.surrogates import marked

CHUNK_BYTES = 1 << 16
LONGEST_UNQUOTED = 16 << 20
"""Bytes without a quotation mark: beyond it, this is no JSON of short texts, and would only fill the memory."""


class NotJson(Exception):
    """So many bytes without a quotation mark that this is no JSON of short texts."""


class JsonFile:
    """`position` and `digest` (SHA-256, in hex) of what was read so far; `broken`: it holds a lone surrogate.

    Iterate once for the pieces, or hand it to a parser that calls `read`.
    """

    def __init__(self, stream: BinaryIO) -> None:
        self.position = 0
        self.broken = False
        self._stream = stream
        self._hash = hashlib.sha256()
        self._pieces = self._read()

    @property
    def digest(self) -> str:
        return self._hash.hexdigest()

    def __iter__(self) -> Iterator[bytes]:
        return self._pieces

    def read(self, size: int = -1) -> bytes:
        """The next piece, whatever its size; empty at the end. Asked for nothing, it gives nothing."""
        return next(self._pieces, b"") if size else b""

    def _read(self) -> Iterator[bytes]:
        rest = b""
        while data := self._stream.read(CHUNK_BYTES):
            self._hash.update(data)
            first = self.position == 0
            self.position += len(data)
            if first:
                data = data.removeprefix(b"\xef\xbb\xbf")
            cut = data.rfind(b'"') + 1
            if not cut:
                rest += data
                if len(rest) > LONGEST_UNQUOTED:
                    raise NotJson
                continue
            yield self._marked(rest + data[:cut])
            rest = data[cut:]
        if rest:
            yield self._marked(rest)

    def _marked(self, data: bytes) -> bytes:
        clean = marked(data)
        self.broken = self.broken or clean is not data
        return clean


def size_of(file: Path, wanted: str) -> int:
    """Its bytes. `wanted` says which file is meant. Raises BadInput where there is none to read."""
    if not file.exists():
        raise BadInput(f"There is no file {file}; check the path.")
    if not file.is_file():
        raise BadInput(f"{file} is a folder; give {wanted}.")
    try:
        with file.open("rb"):
            size = file.stat().st_size
    except OSError as error:
        raise BadInput(f"{file} cannot be read: {error.strerror}.") from None
    if size == 0:
        raise BadInput(f"{file.name} is empty; export the chat again.")
    return size
