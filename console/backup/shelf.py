"""The folder where backups stand: one folder each, and the adapters, which they share.

    SHELF/adapters/DIGEST/          weights and configuration, once, whichever and however many backups have them
    SHELF/20261123T011500Z/         backup.json and parlance.db

A backup is there once its folder has its name; what is being made has a name that begins with a dot. One process at a
time changes a shelf.
"""

from __future__ import annotations

import fcntl
import json
import os
import re
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from config.errors import BadInput, NotFound, ParlanceError, Refused
from console.backup.record import DATABASE, AdapterCopy, Record, damaged, file_digest, read_record
from serving.adapters import digest_of

PARTIAL = ".partial-"
LAST = "last-backup.json"
"""In the data folder: where the last backup went, and when."""
_NAME = re.compile(r"\d{8}T\d{6}Z(-\d+)?")


@dataclass(frozen=True, slots=True)
class Shelf:
    """One such folder. Nothing is created here except by `busy`."""

    folder: Path

    def names(self) -> list[str]:
        """The backups, oldest first."""
        if not self.folder.is_dir():
            return []
        return sorted(entry.name for entry in self.folder.iterdir() if _NAME.fullmatch(entry.name) and entry.is_dir())

    def newest(self, name: str | None = None) -> Path:
        """The folder of the backup `name`, or of the newest. Raises NotFound."""
        names = self.names()
        if not names:
            raise NotFound(f"There is no backup in {self.folder}; make one with: parlance backup {self.folder}")
        if name is not None and name not in names:
            raise NotFound(f"There is no backup “{name[:60]}” in {self.folder}; there are {', '.join(names[-10:])}.")
        return self.folder / (name or names[-1])

    def adapter(self, digest: str) -> Path:
        """Where the adapter with this digest stands, if it does."""
        return self.folder / "adapters" / digest

    @contextmanager
    def busy(self) -> Iterator[None]:
        """For as long as the block runs nobody else changes this shelf. Clears what a killed one left behind."""
        self.folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        (self.folder / "adapters").mkdir(mode=0o700, exist_ok=True)
        with (self.folder / ".lock").open("a") as lock:
            try:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                raise Refused(f"A backup into {self.folder} is being made at this moment; wait for it.") from None
            for leftover in (*self.folder.glob(f"{PARTIAL}*"), *(self.folder / "adapters").glob(f"{PARTIAL}*")):
                shutil.rmtree(leftover)
            yield

    def free_name(self, at: datetime) -> str:
        """A name for a backup made at this time, that no other has."""
        name = at.astimezone(UTC).strftime("%Y%m%dT%H%M%SZ")
        taken = set(self.names())
        return next(one for one in (name, *(f"{name}-{n}" for n in range(2, 1_000_000))) if one not in taken)

    def check(self, folder: Path) -> Record:
        """Go through every byte of one backup. Raises BadInput where one is not as it was made."""
        record = read_record(folder)
        if record.database is not None:
            check_database(folder, record)
        for name, copy in record.adapters.items():
            self.check_adapter(folder, name, copy)
        return record

    def check_adapter(self, folder: Path, name: str, copy: AdapterCopy) -> None:
        """Whether the adapter of version `name` is there as it was made. Raises BadInput."""
        try:
            whole = digest_of(self.adapter(copy.digest)) == copy.digest
        except OSError:
            whole = False
        if not whole:
            raise BadInput(damaged(folder, f"the adapter of {name} is not as it was"))

    def keep(self, number: int) -> list[str]:
        """Remove all backups but the newest `number`, and adapters that none of these has; the names of those gone."""
        gone = self.names()[:-number]
        for name in gone:
            leaving = self.folder / f"{PARTIAL}{name}"
            (self.folder / name).rename(leaving)
            shutil.rmtree(leaving)
        if gone:
            self._drop_adapters()
        return gone

    def _drop_adapters(self) -> None:
        needed = set()
        for name in self.names():
            try:
                needed |= {copy.digest for copy in read_record(self.folder / name).adapters.values()}
            except ParlanceError:
                return  # nobody knows what that one needs, so all of it stays
        for entry in (self.folder / "adapters").iterdir():
            if entry.name not in needed:
                shutil.rmtree(entry)


def last_shelf(home: Path) -> Shelf | None:
    """Where this home was last backed up to; None where nobody knows."""
    try:
        return Shelf(Path(json.loads((home / LAST).read_text())["folder"]))
    except (OSError, ValueError, KeyError, TypeError):
        return None


def check_database(folder: Path, record: Record) -> None:
    """Whether the database's copy is as it was made. Raises BadInput."""
    file = folder / DATABASE
    try:
        whole = record.database is not None and file_digest(file) == record.database.digest
    except OSError:
        whole = False
    if not whole:
        raise BadInput(damaged(folder, "the database is not as it was copied"))


def sync(place: Path) -> None:
    """Wait until a file's content, or a folder's list of names, is on the disk."""
    descriptor = os.open(place, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
