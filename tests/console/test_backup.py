"""Backups: made while Parlance runs, whole or not there, told from damaged ones, and restored all or not at all."""

from __future__ import annotations

import asyncio
import base64
import json
import os
import shutil
import signal
import sqlite3
import subprocess
import sys
import threading
from pathlib import Path

import pytest
from adapter_files import small_adapter
from sqlalchemy import func, select
from structlog.testing import capture_logs
from typer.testing import CliRunner

from config.errors import BadInput, NotFound, ParlanceError, Refused
from config.names import VersionName
from config.settings import Settings, load_settings
from console.backup import Shelf, back_up, restore
from console.backup.shelf import LAST
from console.cli import app
from serving.adapters import publish, verify
from store.assistants import add_assistant
from store.backup import copy_database, key_mark
from store.database import Database, open_database
from store.tables import Assistant, Channel, Message, Version

ROOT = Path(__file__).resolve().parents[2]


def silent(name: str, fraction: float | None = None, detail: str = "") -> None:
    """Nobody watches."""


async def version(settings: Settings, database: Database, name: str, number: int, seed: int = 0) -> Path:
    """A version with small files, recorded; its folder."""
    folder = settings.paths.adapter(VersionName(name, number))
    staged = small_adapter(settings.paths.jobs / f"{name}{number}", seed or number)
    digest = publish(staged, folder, {"base_model": "demo"})
    async with database.session() as session:
        assistant = await session.scalar(select(Assistant).where(Assistant.name == name))
        if assistant is None:
            assistant = await add_assistant(session, name, "Be kind.", "demo")
        session.add(
            Version(
                assistant_id=assistant.id, number=number, state="passed", digest=digest, system_prompt="Be kind.",
                base_model="demo", report={"sentence": "It got better.", "reasons": []},
            )
        )  # fmt: skip
    return folder


async def said(database: Database, channel: str, *texts: str) -> None:
    """Messages of one channel."""
    async with database.session() as session:
        found = await session.scalar(select(Channel).where(Channel.key == channel))
        if found is None:
            found = Channel(key=channel, account="web")
            session.add(found)
            await session.flush()
        session.add_all(
            Message(channel_id=found.id, role="user", author="Ada", author_key="web:1", text=text) for text in texts
        )


def elsewhere(tmp_path: Path) -> Settings:
    """An empty home."""
    return load_settings(home=tmp_path / "restored", key=None)


def key_copy(settings: Settings, tmp_path: Path) -> Path:
    """The owner's own copy of the key."""
    return Path(shutil.copy(settings.paths.key_file, tmp_path / "copy-of-key"))


def contents(folder: Path) -> dict[str, bytes]:
    return {str(file.relative_to(folder)): file.read_bytes() for file in folder.rglob("*") if file.is_file()}


def staged(folder: Path) -> list[Path]:
    """What an ended restore should not leave there."""
    return list(folder.glob(".*-restoring-*"))


async def test_what_is_restored_on_an_empty_home_is_all_that_was_there(
    settings: Settings, database: Database, tmp_path: Path
) -> None:
    folder = await version(settings, database, "harbour", 1)
    await said(database, "web:1", "When does the ferry leave?", "And on Sundays?")
    (settings.home / "parlance.toml").write_text(f'key = "{base64.b64encode(bytes(32)).decode()}"\ntemperature = 0.3\n')
    made = await back_up(settings, database, tmp_path / "shelf", silent)
    assert made.key == key_mark(database.cipher)
    await said(database, "web:1", "This came later.")

    home = elsewhere(tmp_path)
    restored = restore(home, tmp_path / "shelf", None, key_copy(settings, tmp_path), silent)
    assert (restored.key, restored.adapters) == (made.key, 1)
    assert restored.sealed > 0
    assert verify(home.paths.adapter(VersionName("harbour", 1))) == verify(folder)
    assert (home.home / "parlance.toml").read_text() == "temperature = 0.3\n"
    assert home.paths.key_file.stat().st_mode & 0o777 == 0o600
    assert home.home.stat().st_mode & 0o777 == 0o700
    opened = await open_database(home)
    try:
        async with opened.session() as session:
            assert list(await session.scalars(select(Message.text).order_by(Message.id))) == [
                "When does the ferry leave?", "And on Sundays?",
            ]  # fmt: skip
    finally:
        await opened.close()


async def test_no_file_of_a_backup_holds_the_key_or_a_word_of_the_text(
    settings: Settings, database: Database, tmp_path: Path
) -> None:
    await said(database, "web:1", "When does the ferry leave?")
    key = settings.paths.key_file.read_text().strip()
    (settings.home / "parlance.toml").write_text(f"key = '{key}'\ndatabase_url = 'sqlite+aiosqlite:///x'\n")
    await back_up(settings, database, tmp_path / "shelf", silent)
    for content in contents(tmp_path / "shelf").values():
        assert key.encode() not in content
        assert base64.b64decode(key) not in content
        assert b"ferry" not in content
        assert b"database_url" not in content


async def test_a_second_backup_copies_only_the_adapters_that_are_new(
    settings: Settings, database: Database, tmp_path: Path
) -> None:
    await version(settings, database, "harbour", 1)
    first = await back_up(settings, database, tmp_path / "shelf", silent)
    assert (first.copied, first.known) == (1, 0)
    await version(settings, database, "harbour", 2)
    second = await back_up(settings, database, tmp_path / "shelf", silent)
    assert (second.copied, second.known) == (1, 1)
    shelf = Shelf(tmp_path / "shelf")
    assert len(shelf.names()) == len(list((shelf.folder / "adapters").iterdir())) == 2
    for name in shelf.names():
        shelf.check(shelf.folder / name)


async def test_a_backup_is_one_moment_of_the_database_whoever_writes_meanwhile(
    settings: Settings, database: Database, tmp_path: Path
) -> None:
    """A writer that never pauses adds two rows at a time; the copy has an even number of them, and ends."""
    await said(database, "web:1", *("x" * 2_000 for _ in range(4_000)))  # several steps of the copy
    await database.close()
    stop, began = threading.Event(), threading.Event()

    def write() -> None:
        connection = sqlite3.connect(settings.paths.database, timeout=30)
        insert = "INSERT INTO forgotten_people (digest, forgotten_at) VALUES (?, '2026-01-01')"
        number = 0
        while not stop.is_set():
            with connection:
                connection.execute(insert, (f"a{number}",))
                connection.execute(insert, (f"b{number}",))
            number += 1
            began.set()
        connection.close()

    writer = threading.Thread(target=write)
    writer.start()
    try:
        began.wait(30)
        steps: list[float] = []
        await asyncio.to_thread(copy_database, settings.paths.database, tmp_path / "copy.db", steps.append)
        assert len(steps) > 1
    finally:
        stop.set()
        writer.join()
    count = "SELECT count(*) FROM forgotten_people"
    copied = sqlite3.connect(tmp_path / "copy.db").execute(count).fetchone()[0]
    assert copied % 2 == 0
    assert 0 < copied < sqlite3.connect(settings.paths.database).execute(count).fetchone()[0]
    assert not (tmp_path / "copy.db-wal").exists()


KILLED = """
import os, signal, sys
from pathlib import Path
from console.backup import making, restoring, shelf
from console.cli import main
module, name, calls = {"making": making, "restoring": restoring}[sys.argv[1]], sys.argv[2], [int(sys.argv[3])]
real = getattr(module, name)
def dying(*given):
    calls[0] -= 1
    if calls[0] == 0:
        os.kill(os.getpid(), signal.SIGKILL)
    return real(*given)
setattr(module, name, dying)
sys.argv[1:] = sys.argv[4:]
main()
"""


def killed(home: Path, where: str, *words: str) -> None:
    """A command that is killed when it calls `MODULE.NAME` for the nth time."""
    environment = dict(os.environ) | {"PARLANCE_HOME": str(home)}
    command = [sys.executable, "-c", KILLED, *where.split(), *words]
    done = subprocess.run(command, env=environment, cwd=ROOT, capture_output=True, text=True, timeout=120, check=False)
    assert done.returncode == -signal.SIGKILL, done.stderr


@pytest.mark.parametrize("where", ["making digest_of 2", "making revision_of 1", "making sync 6"])
async def test_a_killed_backup_is_not_there_and_leaves_nothing_for_the_next(
    settings: Settings, database: Database, tmp_path: Path, where: str
) -> None:
    for number in (1, 2):
        await version(settings, database, "harbour", number)
    shelf = Shelf(tmp_path / "shelf")
    killed(settings.home, where, "backup", str(shelf.folder))
    assert shelf.names() == []
    await back_up(settings, database, shelf.folder, silent)
    (name,) = shelf.names()
    assert len(shelf.check(shelf.folder / name).adapters) == 2
    left = {entry.name for entry in shelf.folder.iterdir()} | {e.name for e in (shelf.folder / "adapters").iterdir()}
    assert not any(entry.startswith(".partial") for entry in left)


@pytest.mark.parametrize("where", ["restoring check_key 1", "restoring verify 2", "restoring sync 9"])
async def test_a_killed_restore_leaves_an_empty_home_where_it_can_be_made_again(
    settings: Settings, database: Database, tmp_path: Path, where: str
) -> None:
    for number in (1, 2):
        await version(settings, database, "harbour", number)
    await back_up(settings, database, tmp_path / "shelf", silent)
    home, key = elsewhere(tmp_path), key_copy(settings, tmp_path)
    killed(home.home, where, "restore", str(tmp_path / "shelf"), "--key-file", str(key))
    assert not home.paths.database.exists()
    assert restore(home, tmp_path / "shelf", None, key, silent).adapters == 2


def spoil(file: Path, at: int = 100) -> None:
    """One byte of it is another."""
    file.chmod(0o600)
    content = bytearray(file.read_bytes())
    content[at % len(content)] ^= 1
    file.write_bytes(content)


@pytest.mark.parametrize(
    ("what", "says"),
    [
        ("parlance.db", "the database is not as it was copied"),
        ("backup.json", "its list of contents"),
        ("adapter_model.safetensors", "the adapter of harbour@v1"),
        ("adapter_config.json", "the adapter of harbour@v1"),
    ],
)
async def test_a_damaged_backup_is_told_by_digest_and_nothing_is_put_in_place(
    settings: Settings, database: Database, tmp_path: Path, what: str, says: str
) -> None:
    await version(settings, database, "harbour", 1)
    made = await back_up(settings, database, tmp_path / "shelf", silent)
    (file,) = (tmp_path / "shelf").rglob(what)
    spoil(file)
    home = elsewhere(tmp_path)
    with pytest.raises(BadInput, match=says):
        restore(home, tmp_path / "shelf", None, key_copy(settings, tmp_path), silent)
    assert not home.home.exists()
    assert staged(tmp_path) == []
    with pytest.raises(BadInput, match=says):
        Shelf(tmp_path / "shelf").check(made.folder)


async def test_an_adapter_that_is_damaged_here_is_left_out_and_named_unless_a_former_backup_has_it(
    settings: Settings, database: Database, tmp_path: Path
) -> None:
    first = await version(settings, database, "harbour", 1)
    await back_up(settings, database, tmp_path / "shelf", silent)
    second = await version(settings, database, "harbour", 2)
    for folder in (first, second):
        spoil(folder / "adapter_model.safetensors")
    made = await back_up(settings, database, tmp_path / "shelf", silent)
    assert list(made.left_out) == ["harbour@v2"]
    home = elsewhere(tmp_path)
    restored = restore(home, tmp_path / "shelf", None, key_copy(settings, tmp_path), silent)
    verify(home.paths.adapter(VersionName("harbour", 1)))  # as it was before it was spoilt
    assert any("harbour@v2" in note for note in restored.notes)


async def test_a_restore_without_the_right_key_changes_nothing_and_says_which_it_needs(
    settings: Settings, database: Database, tmp_path: Path
) -> None:
    await said(database, "web:1", "When does the ferry leave?")
    made = await back_up(settings, database, tmp_path / "shelf", silent)
    home, wrong = elsewhere(tmp_path), tmp_path / "wrong-key"
    wrong.write_text(base64.b64encode(bytes(32)).decode())
    no_key = tmp_path / "no-key"
    no_key.write_text("mine")
    for key_file in (None, wrong, no_key, tmp_path / "nothing"):
        with pytest.raises(BadInput, match=made.key):
            restore(home, tmp_path / "shelf", None, key_file, silent)
    assert not home.home.exists()


async def test_the_key_must_open_the_text_itself_not_only_bear_the_right_mark(
    settings: Settings, database: Database, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    await said(database, "web:1", "When does the ferry leave?")
    monkeypatch.setattr("console.backup.making.key_mark", lambda cipher: "0000-0000-0000")
    monkeypatch.setattr("console.backup.restoring.key_mark", lambda cipher: "0000-0000-0000")
    await back_up(settings, database, tmp_path / "shelf", silent)
    wrong = tmp_path / "wrong-key"
    wrong.write_text(base64.b64encode(bytes(32)).decode())
    with pytest.raises(BadInput, match="cannot be read with this key"):
        restore(elsewhere(tmp_path), tmp_path / "shelf", None, wrong, silent)
    assert not elsewhere(tmp_path).home.exists()


async def test_a_home_in_use_is_refused_and_stays_as_it_is(
    settings: Settings, database: Database, tmp_path: Path
) -> None:
    await back_up(settings, database, tmp_path / "shelf", silent)
    before = contents(settings.home)
    with pytest.raises(Refused, match="not empty"):
        restore(settings, tmp_path / "shelf", None, key_copy(settings, tmp_path), silent)
    assert contents(settings.home) == before


async def test_a_shelf_has_its_own_place_and_one_backup_at_a_time(
    settings: Settings, database: Database, tmp_path: Path
) -> None:
    with pytest.raises(Refused, match="inside the data folder"):
        await back_up(settings, database, settings.home / "backups", silent)
    shelf = Shelf(tmp_path / "shelf")
    with pytest.raises(NotFound, match="no backup"):
        restore(elsewhere(tmp_path), shelf.folder, None, None, silent)
    with shelf.busy(), pytest.raises(Refused, match="being made"):
        await back_up(settings, database, shelf.folder, silent)


async def test_older_backups_go_with_what_no_other_needs(
    settings: Settings, database: Database, tmp_path: Path
) -> None:
    await version(settings, database, "harbour", 1)
    await back_up(settings, database, tmp_path / "shelf", silent)
    async with database.session() as session:
        for row in await session.scalars(select(Version)):
            row.state = "removed"
    await version(settings, database, "harbour", 2)
    made = await back_up(settings, database, tmp_path / "shelf", silent, keep=1)
    shelf = Shelf(tmp_path / "shelf")
    assert (shelf.names(), len(made.gone)) == ([made.folder.name], 1)
    record = shelf.check(made.folder)
    assert list(record.adapters) == ["harbour@v2"]
    assert {entry.name for entry in (shelf.folder / "adapters").iterdir()} == {record.adapters["harbour@v2"].digest}
    assert json.loads((settings.home / LAST).read_text())["name"] == made.folder.name


async def test_a_damaged_database_is_not_backed_up_as_if_it_were_whole(
    settings: Settings, database: Database, tmp_path: Path
) -> None:
    await said(database, "web:1", *("x" * 2_000 for _ in range(200)))
    async with database.session() as session:
        assert await session.scalar(select(func.count()).select_from(Message)) == 200
    await database.close()
    with settings.paths.database.open("r+b") as file:
        file.seek(300_000)
        file.write(bytes(20_000))
    with pytest.raises(BadInput, match="damaged"):
        await back_up(settings, database, tmp_path / "shelf", silent)
    assert Shelf(tmp_path / "shelf").names() == []


async def test_of_another_servers_database_all_else_is_backed_up_and_pg_dump_is_named(
    settings: Settings, database: Database, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    await version(settings, database, "harbour", 1)
    url = "postgresql+asyncpg://parlance@db.example/parlance"
    monkeypatch.setattr("console.backup.making.database_url", lambda settings: url)
    made = await back_up(settings, database, tmp_path / "shelf", silent)
    assert (made.elsewhere, made.copied) == (True, 1)
    restored = restore(elsewhere(tmp_path), tmp_path / "shelf", None, key_copy(settings, tmp_path), silent)
    assert any("another server" in note for note in restored.notes)
    assert not elsewhere(tmp_path).paths.database.exists()


async def test_who_has_somebody_forgotten_is_told_of_the_backups_that_still_have_them(
    settings: Settings, database: Database, tmp_path: Path
) -> None:
    await said(database, "web:1", "When does the ferry leave?")
    await back_up(settings, database, tmp_path / "shelf", silent)
    with capture_logs():
        done = await asyncio.to_thread(CliRunner().invoke, app, ("forget", "web:1", "--yes"), env={"COLUMNS": "300"})
    assert done.exit_code == 0, done.output
    assert f"Backups in {tmp_path / 'shelf'} still have it" in done.stdout


async def test_the_commands_say_what_was_done_which_key_is_needed_and_where_it_is(home: Path, tmp_path: Path) -> None:
    async def parlance(at: Path, *words: str) -> tuple[int, str]:
        """Exit code, and what was printed, or the sentence of a refusal."""
        environment = {"COLUMNS": "300", "PARLANCE_HOME": str(at)}
        with capture_logs():
            done = await asyncio.to_thread(CliRunner().invoke, app, words, env=environment)
        if isinstance(done.exception, ParlanceError):
            return 1, str(done.exception)
        assert done.exception is None or isinstance(done.exception, SystemExit), done.exception
        return done.exit_code, done.stdout

    shelf, new = str(tmp_path / "shelf"), tmp_path / "new"
    assert (await parlance(home, "assistant", "add", "garden"))[0] == 0
    code, backed_up = await parlance(home, "backup", shelf)
    assert (code, str(home / "secret" / "key") in backed_up) == (0, True)
    (found,) = json.loads((await parlance(home, "backup", shelf, "--check", "--json"))[1])
    assert found["whole"] is True
    key = shutil.copy(home / "secret" / "key", tmp_path / "key")
    code, refused = await parlance(new, "restore", shelf)
    assert (code, "--key-file" in refused) == (1, True)
    code, done = await parlance(new, "restore", shelf, "--key-file", str(key), "--json")
    assert (code, json.loads(done)["key"] in backed_up) == (0, True)
    assert "garden" in (await parlance(new, "assistant", "list"))[1]
    spoil(tmp_path / "shelf" / found["backup"] / "parlance.db")
    code, checked = await parlance(home, "backup", shelf, "--check")
    assert (code, "damaged" in checked) == (1, True)
