"""Restores a backup as a data folder: all of it, checked, beside the place where it will be; then one rename.

Nothing is put in place before the key has opened the sealed text and every digest was right. A kill at any moment
leaves no data folder, or a whole one.
"""

from __future__ import annotations

import base64
import os
import shutil
import tempfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from pydantic import SecretStr

from config.catalogue import find_model
from config.errors import BadInput, Refused
from config.names import VersionName
from config.paths import Paths
from config.settings import Settings
from console.backup.record import DATABASE, Record, damaged, read_record
from console.backup.shelf import Shelf, check_database, sync
from serving.adapters import CONFIG, MANIFEST, WEIGHTS, verify
from store.backup import check_key, key_mark
from store.crypto import Cipher, load_cipher
from store.database import known_revisions

Say = Callable[[str, float | None, str], None]
SKELETON = ("adapters", "jobs", "logs", "run", "secret")
"""What every command makes where it is missing; none of it counts as a data folder in use."""


@dataclass(frozen=True, slots=True)
class Restored:
    """`sealed`: columns whose text the key was seen to open. `notes`: what is to be seen to before it is started."""

    home: Path
    backup: Path
    key: str
    adapters: int
    sealed: int
    notes: tuple[str, ...]


def restore(settings: Settings, folder: Path, name: str | None, key_file: Path | None, say: Say) -> Restored:
    """Restore the backup `name` (None: the newest) of the shelf `folder` to the empty home of `settings`.

    The key is `key_file`'s, or the settings'. Raises Refused for a home in use, BadInput for a damaged backup or a key
    that is not the one it needs; then nothing was put in place.
    """
    home = settings.home
    check_empty(home)
    shelf = Shelf(folder.expanduser().resolve())
    backup = shelf.newest(name)
    record = read_record(backup)
    cipher, key = _cipher(record, settings, key_file)
    staged = Path(tempfile.mkdtemp(dir=home.parent, prefix=f".{home.name}-restoring-"))
    try:
        sealed = _fill(Paths(staged), shelf, backup, record, cipher, key, say)
        check_empty(home)
        _put_in_place(staged, home)
    except BaseException:
        shutil.rmtree(staged, ignore_errors=True)
        raise
    return Restored(home, backup, record.key, len(record.adapters), sealed, tuple(_notes(record, home)))


def check_empty(home: Path) -> None:
    """Raises Refused for a home that holds anything but empty folders, logs and locks, or cannot be renamed to."""
    if os.path.ismount(home):
        raise Refused(f"{home} is where a disk is mounted; set PARLANCE_HOME to a folder in it and restore to that.")
    if not home.exists():
        return
    found = [entry.name for entry in home.iterdir() if entry.name not in SKELETON]
    for entry in ("adapters", "jobs", "secret"):
        if (home / entry).is_dir():
            found += [f"{entry}/{inside.name}" for inside in (home / entry).iterdir()]
    if found:
        raise Refused(
            f"{home} is not empty (it has {', '.join(sorted(found)[:3])}), and restoring replaces nothing; "
            "set PARLANCE_HOME to a new folder."
        )


def _cipher(record: Record, settings: Settings, key_file: Path | None) -> tuple[Cipher, SecretStr | None]:
    """The key's cipher, checked by its mark, and the key itself where it is to be put into the home."""
    key: SecretStr | None = None
    if key_file is not None:
        try:
            key = SecretStr(key_file.expanduser().read_text().strip())
        except (OSError, ValueError) as error:
            raise BadInput(
                f"The key file {key_file} cannot be read; this backup needs the key {record.key}."
            ) from error
    given = key or settings.key
    if given is None:
        raise BadInput(
            f"This backup needs the key {record.key}, which is in no backup; say where your copy of the key file is "
            "with --key-file FILE, or give it in PARLANCE_KEY."
        )
    try:
        cipher = load_cipher(Path(), given)
    except BadInput as error:
        where = key_file if key is not None else "PARLANCE_KEY"
        raise BadInput(f"What is in {where} is no key; this backup needs the key {record.key}.") from error
    if key_mark(cipher) != record.key:
        raise BadInput(f"This backup needs the key {record.key}, and this is the key {key_mark(cipher)}.")
    return cipher, key


def _fill(
    paths: Paths, shelf: Shelf, backup: Path, record: Record, cipher: Cipher, key: SecretStr | None, say: Say
) -> int:
    """Everything into the staged home; returns how many sealed columns the key opened."""
    for entry in SKELETON:
        (paths.home / entry).mkdir(mode=0o700)
    sealed = 0
    if record.database is not None:
        say("Restoring the database", None, "")
        check_database(backup, record)
        _check_revision(backup, record)
        shutil.copyfile(backup / DATABASE, paths.database)
        paths.database.chmod(0o600)
        sealed = check_key(paths.database, cipher)
    for number, (name, copy) in enumerate(record.adapters.items()):
        say("Restoring adapters", number / len(record.adapters), name)
        folder = paths.adapter(VersionName.parse(name))
        folder.mkdir(mode=0o700, parents=True)
        try:
            for file in (WEIGHTS, CONFIG):
                shutil.copyfile(shelf.adapter(copy.digest) / file, folder / file)
            (folder / MANIFEST).write_text(copy.manifest)
            verify(folder)
        except (OSError, BadInput) as error:
            raise BadInput(damaged(backup, f"the adapter of {name} is not as it was")) from error
        for made in folder.iterdir():
            made.chmod(0o400)
    if record.settings is not None:
        (paths.home / "parlance.toml").write_text(record.settings)
        (paths.home / "parlance.toml").chmod(0o600)
    if key is not None:
        paths.key_file.touch(mode=0o600)
        paths.key_file.write_text(base64.b64encode(base64.b64decode(key.get_secret_value())).decode())
    for place in sorted(paths.home.rglob("*"), reverse=True):
        sync(place)
    sync(paths.home)
    return sealed


def _check_revision(backup: Path, record: Record) -> None:
    revision = record.database.revision if record.database else None
    if revision is not None and revision not in known_revisions():
        raise BadInput(f"The backup {backup.name} was made by a newer Parlance ({record.program}); update first.")


def _put_in_place(staged: Path, home: Path) -> None:
    """The staged folder becomes the home, at once: a rename onto an empty folder. Logs of this run go along."""
    if home.exists():
        for log in (home / "logs").glob("*"):
            log.rename(staged / "logs" / log.name)
        for entry in SKELETON:
            shutil.rmtree(home / entry, ignore_errors=True)
    staged.rename(home)
    sync(home.parent)


def _notes(record: Record, home: Path) -> list[str]:
    notes = []
    if record.database is None:
        notes.append("The database was another server's: restore its dump there, and set PARLANCE_DATABASE_URL.")
    for name, why in record.left_out.items():
        notes.append(f"{name} is not in this backup, because {why}; put another version into service, or retrain.")
    try:
        find_model(record.base_model)
    except BadInput:
        notes.append(f"The base model {record.base_model} is not in backups and not on this machine; put it there.")
    notes.append("Its bots go on from here: stop the Parlance that this was made from before you start this one.")
    return notes
