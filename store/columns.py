"""Column types: text and JSON that are sealed on their way into the database, and time in UTC.

The cipher is set once for a process's database with `use_cipher`; a type without one refuses to write.
"""

from __future__ import annotations

import json
from datetime import UTC, datetime
from typing import Any

from sqlalchemy import DateTime, Dialect, LargeBinary
from sqlalchemy.types import TypeDecorator

from store.crypto import Cipher

_process_cipher: list[Cipher] = []


def use_cipher(cipher: Cipher) -> None:
    """All sealed columns of this process read and write with `cipher` from now on."""
    _process_cipher[:] = [cipher]


def _current() -> Cipher:
    if not _process_cipher:
        raise RuntimeError("no cipher: open the database through store.database")
    return _process_cipher[0]


class SealedText(TypeDecorator[str]):
    """Text, encrypted. Cannot be searched or compared in SQL."""

    impl = LargeBinary
    cache_ok = True

    def __init__(self, label: str) -> None:
        super().__init__()
        self.label = label

    def process_bind_param(self, value: str | None, dialect: Dialect) -> bytes | None:
        return None if value is None else _current().seal(value.encode(), self.label.encode())

    def process_result_value(self, value: bytes | None, dialect: Dialect) -> str | None:
        return None if value is None else _current().open(value, self.label.encode()).decode()


class SealedJson(TypeDecorator[Any]):
    """A JSON value, encrypted."""

    impl = LargeBinary
    cache_ok = True

    def __init__(self, label: str) -> None:
        super().__init__()
        self.label = label

    def process_bind_param(self, value: Any, dialect: Dialect) -> bytes | None:
        return None if value is None else _current().seal(json.dumps(value).encode(), self.label.encode())

    def process_result_value(self, value: bytes | None, dialect: Dialect) -> Any:
        return None if value is None else json.loads(_current().open(value, self.label.encode()))


class UtcTime(TypeDecorator[datetime]):
    """An aware time, kept in UTC; SQLite forgets the zone, this puts it back."""

    impl = DateTime
    cache_ok = True

    def process_bind_param(self, value: datetime | None, dialect: Dialect) -> datetime | None:
        return None if value is None else value.astimezone(UTC).replace(tzinfo=None)

    def process_result_value(self, value: datetime | None, dialect: Dialect) -> datetime | None:
        return None if value is None else value.replace(tzinfo=UTC)


def now() -> datetime:
    """The time, in UTC."""
    return datetime.now(UTC)
