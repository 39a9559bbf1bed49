"""Makes a backup while Parlance runs: the database at one moment, adapters by digest, settings without secrets.

A backup is whole, or it is not there. An adapter that a former backup has is not copied again. One whose files are
damaged here is left out and named, because that must not keep all else from being saved.
"""

from __future__ import annotations

import asyncio
import importlib.metadata
import json
import shutil
import tomllib
from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path

from pydantic import ValidationError
from sqlalchemy import Select, create_engine, select
from sqlalchemy.engine import make_url

from config.errors import Refused
from config.names import RESERVED_PREFIX, VersionName
from config.settings import Settings
from console.backup.record import DATABASE, RECORD, AdapterCopy, DatabaseCopy, Record, file_digest
from console.backup.shelf import LAST, PARTIAL, Shelf, sync
from serving.adapters import CONFIG, MANIFEST, WEIGHTS, Manifest, digest_of
from store.backup import copy_database, key_mark, revision_of
from store.database import Database, database_url
from store.tables import Assistant, Version

SECRET_SETTINGS = tuple(name for name, field in Settings.model_fields.items() if "SecretStr" in str(field.annotation))
SPARE = 64 << 20
"""Bytes that are to stay free."""

Say = Callable[[str, float | None, str], None]
Versions = dict[VersionName, str]
"""The versions whose files are kept, and their digests."""


@dataclass(frozen=True, slots=True)
class Made:
    """One backup. Bytes of the database's copy and of the adapters that were `copied`; `known`: those that a former
    backup has. `left_out`: version and reason. `elsewhere`: the database is another server's."""

    folder: Path
    key: str
    database_bytes: int
    copied: int
    copied_bytes: int
    known: int
    left_out: dict[str, str]
    settings_left_out: bool
    elsewhere: bool
    gone: tuple[str, ...] = ()


async def back_up(settings: Settings, database: Database, folder: Path, say: Say, keep: int | None = None) -> Made:
    """Back this home up to the shelf `folder`; where `keep` is given, remove all but so many of the newest after.

    Raises Refused where it cannot be there or does not fit, BadInput where the database itself is damaged.
    """
    url = make_url(database_url(settings))
    served: Versions | None = None
    if url.get_backend_name() != "sqlite" or url.database is None:
        async with database.session() as session:
            served = _named((await session.execute(KEPT)).tuples().all())
    source = Path(url.database or "")
    return await asyncio.to_thread(_back_up, settings, key_mark(database.cipher), source, served, folder, say, keep)


def _back_up(
    settings: Settings, key: str, source: Path, served: Versions | None, folder: Path, say: Say, keep: int | None
) -> Made:
    folder = folder.expanduser().resolve()
    if folder == settings.home.resolve() or settings.home.resolve() in folder.parents:
        raise Refused("A backup inside the data folder would be lost together with it; choose a folder elsewhere.")
    shelf = Shelf(folder)
    with shelf.busy():
        at = datetime.now(UTC)
        final = folder / shelf.free_name(at)
        partial = folder / f"{PARTIAL}{final.name}"
        partial.mkdir(mode=0o700)
        try:
            made = _Making(settings, key, shelf, partial, say).make(at, final, source, served)
        except BaseException:
            shutil.rmtree(partial, ignore_errors=True)
            raise
        gone = tuple(shelf.keep(keep)) if keep is not None else ()
    note = {"folder": str(folder), "name": final.name, "made": at.isoformat()}
    (settings.home / LAST).write_text(json.dumps(note) + "\n")
    return replace(made, gone=gone)


class _Making:
    """One backup on its way."""

    def __init__(self, settings: Settings, key: str, shelf: Shelf, partial: Path, say: Say) -> None:
        self.settings = settings
        self.key = key
        self.shelf = shelf
        self.partial = partial
        self.say = say
        self.copied = self.copied_bytes = self.known = 0
        self.left_out: dict[str, str] = {}

    def make(self, at: datetime, final: Path, source: Path, served: Versions | None) -> Made:
        """All of it; what the database names is copied after it. `served`: the versions that a database elsewhere has,
        None where `source` is the database."""
        copy = self._database(source) if served is None else None
        adapters = self._adapters(self._versions() if served is None else served)
        text, whole = _settings_text(self.settings)
        record = Record(
            made=at,
            program=importlib.metadata.version("parlance"),
            key=self.key,
            base_model=self.settings.base_model,
            database=copy,
            settings=text,
            adapters=adapters,
            left_out=self.left_out,
        )
        self._close(record, final)
        return Made(
            final, self.key, copy.bytes if copy else 0, self.copied, self.copied_bytes, self.known, self.left_out,
            settings_left_out=not whole, elsewhere=copy is None,
        )  # fmt: skip

    def _close(self, record: Record, final: Path) -> None:
        file = self.partial / RECORD
        file.write_text(record.written())
        for made in self.partial.iterdir():
            made.chmod(0o400)
            sync(made)
        sync(self.partial)
        sync(self.shelf.folder / "adapters")
        self.partial.rename(final)
        sync(self.shelf.folder)

    def _database(self, source: Path) -> DatabaseCopy:
        target = self.partial / DATABASE
        self._make_room(source.stat().st_size)
        copy_database(source, target, lambda done: self.say("Copying the database", done, ""))
        return DatabaseCopy(bytes=target.stat().st_size, digest=file_digest(target), revision=revision_of(target))

    def _versions(self) -> Versions:
        """As the copy says, so that both fit together."""
        engine = create_engine(f"sqlite:///{self.partial / DATABASE}")
        try:
            with engine.connect() as connection:
                return _named(row._tuple() for row in connection.execute(KEPT))
        finally:
            engine.dispose()

    def _adapters(self, names: Versions) -> dict[str, AdapterCopy]:
        untuned = [
            VersionName(folder.parent.name, 0)
            for folder in sorted(self.settings.paths.adapters.glob(f"{RESERVED_PREFIX}*/v0"))
        ]
        found: dict[str, AdapterCopy] = {}
        wanted: list[tuple[VersionName, str | None]] = [*((name, None) for name in untuned), *names.items()]
        for number, (name, digest) in enumerate(wanted):
            self.say("Copying adapters", number / len(wanted), str(name))
            copy = self._adapter(name, digest)
            if copy is not None:
                found[str(name)] = copy
        return found

    def _adapter(self, name: VersionName, digest: str | None) -> AdapterCopy | None:
        folder = self.settings.paths.adapter(name)
        try:
            text = (folder / MANIFEST).read_text()
            stated = Manifest.model_validate_json(text).digest
        except (OSError, ValidationError):
            self.left_out[str(name)] = "its files are not whole here"
            return None
        if digest is not None and stated != digest:
            self.left_out[str(name)] = "its files are not those that were gated"
            return None
        kept = self.shelf.adapter(stated)
        if kept.is_dir():
            self.known += 1
        elif not self._copy(folder, kept, stated):
            self.left_out[str(name)] = "its files were changed since it was made"
            return None
        return AdapterCopy(digest=stated, bytes=_size(kept), manifest=text)

    def _copy(self, source: Path, kept: Path, digest: str) -> bool:
        """One adapter into the shelf, if it is what it says it is."""
        size = sum((source / name).stat().st_size for name in (WEIGHTS, CONFIG) if (source / name).exists())
        self._make_room(size)
        partial = kept.with_name(f"{PARTIAL}{digest}")
        partial.mkdir(mode=0o700)
        try:
            for name in (WEIGHTS, CONFIG):
                shutil.copyfile(source / name, partial / name)
                (partial / name).chmod(0o400)
                sync(partial / name)
            whole = digest_of(partial) == digest
        except FileNotFoundError:
            whole = False
        if not whole:
            shutil.rmtree(partial)
            return False
        sync(partial)
        partial.rename(kept)
        self.copied += 1
        self.copied_bytes += size
        return True

    def _make_room(self, size: int) -> None:
        free = shutil.disk_usage(self.shelf.folder).free
        if free < size + SPARE:
            raise Refused(
                f"There is too little room in {self.shelf.folder}: {free >> 20:,} MB are free, and "
                f"{(size + SPARE) >> 20:,} MB are needed; make room or choose another folder."
            )


KEPT: Select[tuple[str, int, str]] = (
    select(Assistant.name, Version.number, Version.digest)
    .join(Assistant, Assistant.id == Version.assistant_id)
    .where(Version.state != "removed")
    .order_by(Assistant.name, Version.number)
)


def _named(rows: Iterable[tuple[str, int, str]]) -> Versions:
    return {VersionName(name, number): digest for name, number, digest in rows}


def _size(folder: Path) -> int:
    return sum(file.stat().st_size for file in folder.iterdir())


def _settings_text(settings: Settings) -> tuple[str | None, bool]:
    """parlance.toml without what is secret, and whether that is all of it."""
    file = settings.home / "parlance.toml"
    if not file.exists():
        return None, True
    text = file.read_text()
    if not any(name in tomllib.loads(text) for name in SECRET_SETTINGS):
        return text, True
    lines = [line for line in text.splitlines() if line.split("=")[0].strip().strip("\"'") not in SECRET_SETTINGS]
    rest = "\n".join(lines) + "\n"
    try:
        secret = any(name in tomllib.loads(rest) for name in SECRET_SETTINGS)
    except tomllib.TOMLDecodeError:  # a value over several lines
        return None, False
    return (None, False) if secret else (rest, False)
