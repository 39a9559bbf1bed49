"""What one backup holds, as it stands in its `backup.json`: enough to tell whether every byte of it is as it was made.

Knows nothing of where things are copied from or to.
"""

from __future__ import annotations

import hashlib
import json
from datetime import datetime
from pathlib import Path

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from config.errors import BadInput

RECORD, DATABASE = "backup.json", "parlance.db"
FORMAT = 1
DIGEST = r"^[0-9a-f]{64}$"


class DatabaseCopy(BaseModel):
    """The file `parlance.db` beside the record. `digest` SHA-256; `revision` of its tables."""

    model_config = ConfigDict(frozen=True)

    bytes: int
    digest: str = Field(pattern=DIGEST)
    revision: str | None


class AdapterCopy(BaseModel):
    """One version. `digest` names its folder among the shared adapters; `manifest` is its manifest's text."""

    model_config = ConfigDict(frozen=True)

    digest: str = Field(pattern=DIGEST)
    bytes: int
    manifest: str


class Record(BaseModel):
    """`key` is the mark of the key that is needed. `database` None: it is another server's, and saved there.
    `settings`: the text of parlance.toml without what is secret. `adapters` by `NAME@vN`; `left_out` likewise, with
    the reason. `base_model` as the settings name it."""

    model_config = ConfigDict(frozen=True)

    format: int = FORMAT
    made: datetime
    program: str
    key: str
    base_model: str
    database: DatabaseCopy | None
    settings: str | None
    adapters: dict[str, AdapterCopy]
    left_out: dict[str, str]

    def written(self) -> str:
        """As a file's text, closed by a digest of itself."""
        body = self.model_dump(mode="json")
        return json.dumps({**body, "digest": _digest(body)}, indent=1, ensure_ascii=False) + "\n"


def read_record(folder: Path) -> Record:
    """The record of the backup in `folder`. Raises BadInput where it is damaged or newer than this program."""
    try:
        body = json.loads((folder / RECORD).read_text())
        stated = body.pop("digest")
        if body.get("format", 0) > FORMAT:
            raise BadInput(f"The backup {folder.name} was made by a newer Parlance; update this one first.")
        if stated != _digest(body):
            raise BadInput(damaged(folder, "its list of contents was changed"))
        return Record.model_validate(body)
    except (OSError, ValueError, KeyError, AttributeError, TypeError, ValidationError) as error:
        raise BadInput(damaged(folder, "its list of contents cannot be read")) from error


def damaged(folder: Path, why: str) -> str:
    """The sentence for a backup that cannot be used."""
    return f"The backup {folder.name} is damaged: {why}; use another one with --backup NAME."


def file_digest(file: Path) -> str:
    """SHA-256 in hex."""
    with file.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()


def _digest(body: object) -> str:
    return hashlib.sha256(json.dumps(body, sort_keys=True, ensure_ascii=False).encode()).hexdigest()
