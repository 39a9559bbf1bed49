"""The doctor: each thing that is likely to be wrong is broken here, found, explained and, where safe, repaired."""

from __future__ import annotations

import asyncio
import base64
import dataclasses
import importlib.metadata
import json
import os
import shutil
import socket
import sqlite3
import subprocess
import sys
import time
from collections.abc import Callable
from contextlib import closing
from datetime import timedelta
from inspect import iscoroutinefunction
from pathlib import Path
from types import ModuleType

import psutil
import pytest
from adapter_files import small_adapter
from sqlalchemy import delete, select
from sqlalchemy.exc import OperationalError
from structlog.testing import capture_logs
from typer.testing import CliRunner

from config.catalogue import GIB, find_model
from config.hardware import Gpu, probe
from config.names import VersionName, untuned
from config.paths import Paths
from config.settings import Settings, load_settings
from console.backup.shelf import LAST
from console.cli import app
from console.doctor import (
    Finding,
    accounts,
    adapters,
    answering,
    engine_size,
    examination,
    examine,
    home,
    machine,
    repair,
    running,
    stored,
)
from console.platform_lock import only_one, runs
from serving.adapters import ensure_untuned, publish, verify
from serving.ownership import EngineRecord, Ownership, read_record
from serving.router import set_route
from store.assistants import add_assistant
from store.columns import now
from store.database import Database
from store.tables import Account, Assistant, Channel, Job, Message, Promotion, Route, Version


@pytest.fixture(scope="session")
def zeros(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The untuned model's adapter: making it takes seconds."""
    paths = Paths(tmp_path_factory.mktemp("zeros") / "home")
    return paths.adapter(ensure_untuned(paths, find_model("demo")))


@pytest.fixture
async def well(settings: Settings, database: Database, zeros: Path) -> Settings:
    """A home with an assistant whose first and second version passed; the second serves, and answers everywhere."""
    shutil.copytree(zeros, settings.paths.adapter(untuned("demo")))
    async with database.session() as session:
        assistant = await add_assistant(session, "harbour", "Be kind.", "demo")
        await set_route(session, "default", "", "harbour")
        for number in (1, 2):
            staged = small_adapter(settings.paths.jobs / f"staged{number}", number)
            folder = settings.paths.adapter(VersionName("harbour", number))
            session.add(
                Version(
                    assistant_id=assistant.id, number=number, state="passed", system_prompt="Be kind.",
                    digest=publish(staged, folder, {"base_model": "demo"}), base_model="demo",
                    report={"sentence": "It got better.", "reasons": []},
                )
            )  # fmt: skip
            session.add(
                Promotion(
                    assistant_id=assistant.id, action="promote", before=number - 1 or None, after=number,
                    asked_by="ada",
                )
            )  # fmt: skip
        assistant.in_service = 2
    return settings


async def found(settings: Settings, check: str) -> list[Finding]:
    """What is not well of one check."""
    return [one for one in await examine(settings) if one.check == check and one.level != "ok"]


async def one(settings: Settings, check: str, says: str, *, level: str = "warning") -> Finding:
    """The one finding of a check: it says what is wrong, and what to do."""
    (finding,) = await found(settings, check)
    assert says in finding.found
    assert finding.level == level
    assert finding.advice
    return finding


async def mended(settings: Settings, check: str) -> None:
    """The repair is made, and the check finds nothing any more."""
    made = [done for done in await repair(settings) if done.check == check]
    assert [done.trouble for done in made] == [None]
    assert await found(settings, check) == []


async def test_on_a_home_that_is_well_nothing_is_wrong_and_nothing_is_repaired(well: Settings) -> None:
    findings = await examine(well)
    assert [finding for finding in findings if finding.level == "wrong"] == []
    warned = {finding.check for finding in findings if finding.level == "warning"}
    assert warned <= {"Backups", "Port", "Memory", "Disk"}  # there is none yet; a busy machine
    assert len({finding.check for finding in findings}) >= 20


async def test_a_data_folder_open_to_others_is_closed(well: Settings) -> None:
    well.home.chmod(0o755)
    await one(well, "Data folder", "open to other users")
    await mended(well, "Data folder")
    assert well.home.stat().st_mode & 0o777 == 0o700


async def test_an_open_key_is_closed(well: Settings) -> None:
    well.paths.key_file.chmod(0o644)
    finding = await one(well, "Key", "other users can read", level="wrong")
    assert "chmod 600" in finding.advice
    await mended(well, "Key")
    assert well.paths.key_file.stat().st_mode & 0o777 == 0o600


async def test_a_key_that_is_gone_is_told_and_no_new_one_is_made(well: Settings) -> None:
    well.paths.key_file.unlink()
    await one(well, "Key", "gone", level="wrong")
    assert not well.paths.key_file.exists()


async def test_files_that_others_can_read_are_closed(well: Settings) -> None:
    well.home.chmod(0o755)
    log = well.paths.logs / "parlance.log"
    log.write_text("{}\n")
    log.chmod(0o644)
    await one(well, "Files", "parlance.log")
    await repair(well)
    assert log.stat().st_mode & 0o077 == 0
    assert await found(well, "Files") == []


@pytest.mark.parametrize("where", ["file", "environment"])
async def test_a_misspelt_setting_is_named_with_what_was_perhaps_meant(
    well: Settings, where: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    if where == "file":
        (well.home / "parlance.toml").write_text("tempratur = 0.2\n")
    else:
        monkeypatch.setenv("PARLANCE_TEMPRATUR", "0.2")
    finding = await one(well, "Settings", "tempratur")
    assert "temperature" in finding.advice


async def test_a_key_that_does_not_open_the_text_is_told(well: Settings) -> None:
    well.paths.key_file.write_text(base64.b64encode(bytes(32)).decode())
    finding = await one(well, "Sealed text", "does not open", level="wrong")
    assert "put the key file back" in finding.advice


async def test_a_damaged_database_is_told(well: Settings, database: Database) -> None:
    async with database.session() as session:
        place = Channel(key="web:1", account="web")
        session.add(place)
        await session.flush()
        session.add_all(Message(channel_id=place.id, role="user", author="A", text="x" * 2_000) for _ in range(200))
    await database.close()
    with well.paths.database.open("r+b") as file:
        file.seek(300_000)
        file.write(bytes(20_000))
    finding = await one(well, "Database", "damaged", level="wrong")
    assert "restore" in finding.advice.lower()


async def test_a_database_of_a_newer_parlance_is_told(well: Settings, database: Database) -> None:
    await database.close()
    with closing(sqlite3.connect(well.paths.database)) as connection, connection:
        connection.execute("UPDATE alembic_version SET version_num = '9999'")
    await one(well, "Database", "newer Parlance", level="wrong")


@pytest.mark.parametrize("module", ["nosuchdriver", "sqlite3"])
async def test_a_database_elsewhere_that_cannot_be_reached_is_told_without_its_address(
    well: Settings, module: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def unreachable(settings: Settings) -> Database:
        if module == "sqlite3":
            raise OperationalError("SELECT 1", {}, OSError("ada:hunter2@db.example"))
        raise ModuleNotFoundError(name=module)

    monkeypatch.setattr("console.doctor.examination.open_database", unreachable)
    finding = await one(well, "Database", "cannot be opened" if module == "sqlite3" else module, level="wrong")
    assert "hunter2" not in finding.found + finding.advice


async def test_a_journal_that_only_grew_is_emptied(well: Settings, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("console.doctor.stored.LONG_JOURNAL", 1)
    reader = sqlite3.connect(well.paths.database, isolation_level=None)
    reader.execute("BEGIN").execute("SELECT * FROM assistants").fetchone()
    with closing(sqlite3.connect(well.paths.database)) as writer, writer:
        writer.execute("CREATE TABLE more (a)")
    await one(well, "Database", "journal")
    reader.close()
    await mended(well, "Database")


async def test_that_there_is_no_backup_or_an_old_one_or_one_that_is_gone_is_told(
    well: Settings, tmp_path: Path
) -> None:
    await one(well, "Backups", "there is none")
    shelf = tmp_path / "shelf"
    (shelf / "B").mkdir(parents=True)
    (shelf / "B" / "backup.json").touch()

    def note(days: int) -> None:
        made = (now() - timedelta(days=days)).isoformat()
        (well.home / LAST).write_text(json.dumps({"folder": str(shelf), "name": "B", "made": made}))

    note(1)
    assert await found(well, "Backups") == []
    note(30)
    await one(well, "Backups", "30 days old")
    (shelf / "B" / "backup.json").unlink()
    await one(well, "Backups", "any more")
    shelf = tmp_path / ("no-such-name" * 30)  # nobody can look there, whoever asks
    note(1)
    await one(well, "Backups", "cannot be looked at")


async def test_an_untuned_model_that_is_not_there_is_made(well: Settings) -> None:
    folder = well.paths.adapter(untuned("demo"))
    shutil.rmtree(folder.parent)
    await one(well, "Untuned model", "not there")
    await mended(well, "Untuned model")
    verify(folder)

    weights = folder / "adapter_model.safetensors"
    weights.chmod(0o600)
    weights.write_bytes(b"spoilt")
    await one(well, "Untuned model", "changed since", level="wrong")
    living = Ownership(well.paths)
    living.acquire()
    refused = [done for done in await repair(well) if done.check == "Untuned model"]
    assert "stop it first" in str(refused[0].trouble)  # its engine may know the files
    living.release()
    await mended(well, "Untuned model")
    verify(folder)


@pytest.mark.parametrize(("number", "level"), [(2, "wrong"), (1, "warning")])
async def test_an_adapter_that_was_changed_exchanged_or_lost_is_told(well: Settings, number: int, level: str) -> None:
    folder = well.paths.adapter(VersionName("harbour", number))
    weights = folder / "adapter_model.safetensors"
    weights.chmod(0o600)
    weights.write_bytes(weights.read_bytes() + b"more")
    finding = await one(well, "Adapter", "changed since", level=level)
    assert "backup" in finding.advice
    for file in folder.iterdir():
        file.unlink()
    folder.rmdir()
    await one(well, "Adapter", "is gone", level=level)
    publish(small_adapter(well.paths.jobs / "another", 9), folder, {"base_model": "demo"})
    await one(well, "Adapter", "not the one that was gated", level=level)


async def test_an_adapter_that_the_engine_could_not_load_is_told(well: Settings, database: Database) -> None:
    async with database.session() as session:
        (await session.scalars(select(Version).where(Version.number == 1))).one().trouble = "Its rank is too high."
    await one(well, "Adapter", "Its rank is too high")


async def test_a_folder_that_is_on_no_record_is_told_unless_a_job_goes_on_with_it(
    well: Settings, database: Database
) -> None:
    folder = well.paths.adapter(VersionName("harbour", 3))
    publish(small_adapter(well.paths.jobs / "third", 3), folder, {"base_model": "demo"})
    await one(well, "Adapter folder", "on no record")
    assert folder.exists()
    async with database.session() as session:
        row = (await session.scalars(select(Assistant))).one()
        session.add(Job(assistant_id=row.id, state="queued", version=3, asked_by="ada"))
    assert await found(well, "Adapter folder") == []


def record(
    settings: Settings, owner: int, pid: int, state: str = "ready", sentence: str = "The engine is ready."
) -> None:
    """As an engine's owner leaves it."""
    said = EngineRecord.model_validate(
        {
            "owner": owner, "socket": str(settings.paths.engine_socket), "pid": pid, "started": time.time(),
            "model": "demo", "context": 1024, "state": state, "sentence": sentence,
        }
    )  # fmt: skip
    (settings.paths.run / "engine.json").write_text(said.model_dump_json())


def gone() -> int:
    """The number of a process that has ended."""
    process = subprocess.Popen([sys.executable, "-c", ""])
    process.wait()
    return process.pid


async def test_an_engine_that_a_dead_owner_left_running_is_ended(well: Settings) -> None:
    """A process with an engine's command line, in a group of its own."""
    words = ["sleep", "600"]
    left = await asyncio.create_subprocess_exec(
        "bash", "-c", 'exec -a "$0" "$@"', f"engine {well.paths.engine_socket}", *words, start_new_session=True
    )
    try:
        record(well, gone(), left.pid)
        await one(well, "Running", "left its engine running")
        await mended(well, "Running")
        assert await asyncio.wait_for(left.wait(), 20) != 0
        assert not psutil.pid_exists(left.pid)
        assert read_record(well.paths) is None
    finally:
        if left.returncode is None:
            left.kill()
            await left.wait()


async def test_a_dead_owners_note_is_removed(well: Settings) -> None:
    record(well, gone(), 0)
    await one(well, "Running", "left its note")
    await mended(well, "Running")


async def test_an_engine_that_does_not_come_up_is_told_with_where_to_look(well: Settings) -> None:
    record(well, os.getpid(), 0, "failed", "The engine failed 3 times in a row.")
    (well.paths.logs / "engine.log").write_text(
        "(EngineCore pid=7) ERROR 11-23 10:00:00 [core.py:1] ValueError: No available memory for the cache blocks.\n"
        "(APIServer pid=6) RuntimeError: Engine core initialization failed. See root cause above. Failed: {}\n"
    )
    finding = await one(well, "Running", "failed 3 times", level="wrong")
    assert "it is tried again in about" in finding.found
    assert finding.found.endswith("Its last error: ValueError: No available memory for the cache blocks.")
    assert "engine.log" in finding.advice


@pytest.mark.parametrize("state", ["unwell", "restarting"])
async def test_an_engine_that_is_away_for_the_moment_is_told_as_such(well: Settings, state: str) -> None:
    record(well, os.getpid(), 0, state, "The engine is being started again.")
    await one(well, "Running", "started again", level="warning")


async def test_folders_of_ended_jobs_and_what_was_never_finished_are_deleted_and_no_others(
    well: Settings, database: Database
) -> None:
    async with database.session() as session:
        row = (await session.scalars(select(Assistant))).one()
        session.add_all(
            Job(id=number, assistant_id=row.id, state=state, asked_by="ada")
            for number, state in ((1, "done"), (2, "running"))
        )
    for name in ("1", "2", "untuned-old", "untuned-young"):
        (well.paths.jobs / name).mkdir()
        (well.paths.jobs / name / "train.jsonl").write_text("words")
    os.utime(well.paths.jobs / "untuned-old", (0, 0))
    finding = await one(well, "Run folders", "2 left over")
    assert "1, untuned-old" in finding.found
    await mended(well, "Run folders")
    assert {entry.name for entry in well.paths.jobs.iterdir()} == {"2", "untuned-young"}


async def test_what_a_killed_restore_left_with_a_copy_of_the_key_is_deleted(well: Settings) -> None:
    left = well.home.parent / f".{well.home.name}-restoring-abc"
    (left / "secret").mkdir(parents=True)
    assert await found(well, "Restores") == []  # it may be under way
    os.utime(left, (0, 0))
    await one(well, "Restores", "copy of the key")
    await mended(well, "Restores")
    assert not left.exists()


async def test_a_failed_retrain_and_jobs_that_nobody_works_on_are_told(well: Settings, database: Database) -> None:
    async with database.session() as session:
        row = (await session.scalars(select(Assistant))).one()
        session.add(Job(assistant_id=row.id, state="failed", error="The disk is full.", asked_by="ada"))
    finding = await one(well, "Jobs", "The disk is full")
    assert "parlance tune harbour" in finding.advice
    async with database.session() as session:
        session.add(Job(assistant_id=row.id, state="queued", asked_by="ada"))
    await one(well, "Jobs", "nobody works on them")


async def test_a_version_in_service_without_a_record_is_replaced_by_the_last_good_one(
    well: Settings, database: Database
) -> None:
    async with database.session() as session:
        await session.execute(delete(Version).where(Version.number == 2))
    await one(well, "In service", "harbour@v2 is on no record", level="wrong")
    await mended(well, "In service")
    async with database.session() as session:
        assert (await session.scalars(select(Assistant))).one().in_service == 1


async def test_a_version_in_service_that_may_not_serve_is_told(well: Settings, database: Database) -> None:
    async with database.session() as session:
        (await session.scalars(select(Version).where(Version.number == 2))).one().forgotten_at = now()
        (await session.scalars(select(Assistant))).one().on_forget = "withdraw"
    finding = await one(well, "In service", "deleted since", level="wrong")
    assert "rollback harbour" in finding.advice


async def test_an_assistant_for_another_base_model_is_told(well: Settings, database: Database) -> None:
    async with database.session() as session:
        (await session.scalars(select(Assistant))).one().base_model = "qwen3-0.6b"
    await one(well, "Base models", "harbour needs qwen3-0.6b", level="wrong")


async def test_an_only_assistant_that_is_routed_nowhere_answers_everywhere_after_the_repair(
    well: Settings, database: Database
) -> None:
    async with database.session() as session:
        row = (await session.scalars(select(Assistant))).one()
        row_id = row.id
        await session.execute(delete(Route))
    await one(well, "Routes", "nobody answers")
    await mended(well, "Routes")
    async with database.session() as session:
        assert (await session.scalars(select(Route.assistant_id))).all() == [row_id]


async def test_an_assistant_that_no_route_leads_to_is_told(well: Settings, database: Database) -> None:
    async with database.session() as session:
        await add_assistant(session, "garden", "Be brief.", "demo")
    finding = await one(well, "Routes", "no route leads to garden")
    assert "parlance route" in finding.advice


async def test_an_account_that_stopped_is_told(well: Settings, database: Database) -> None:
    async with database.session() as session:
        session.add(
            Account(
                name="quay", platform="telegram", external_id="1", username="quay_bot", token="secret",
                state="stopped", trouble="Its token no longer works.",
            )
        )  # fmt: skip
    await one(well, "Account", "no longer works", level="wrong")


async def test_a_port_in_use_and_a_page_that_others_reach_are_told(
    well: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    with socket.socket() as other:
        other.bind(("127.0.0.1", 0))
        other.listen()
        monkeypatch.setenv("PARLANCE_PORT", str(other.getsockname()[1]))
        await one(load_settings(), "Port", "in use")
    monkeypatch.setenv("PARLANCE_HOST", "0.0.0.0")
    await one(load_settings(), "Page", "unencrypted")


@pytest.mark.parametrize("host", ["127.0.0.1", "::1"])
def test_a_port_that_is_free_or_that_parlance_itself_has_is_no_warning(settings: Settings, host: str) -> None:
    settings.paths.ensure()
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    try:
        page = socket.create_server((host, 0), family=family)
    except OSError:
        pytest.skip(f"this machine has no {host}")
    chosen = settings.model_copy(update={"host": host, "port": page.getsockname()[1]})
    with page:
        assert (machine.check_port(chosen).level, "another program" in machine.check_port(chosen).found) == (
            "warning", True,
        )  # fmt: skip
        with only_one(settings.paths):
            assert machine.check_port(chosen).level == "ok"
    assert machine.check_port(chosen) == Finding("Port", "ok", f"{chosen.port} is free")


def test_an_address_that_this_machine_does_not_have_is_not_called_a_port_in_use(settings: Settings) -> None:
    settings.paths.ensure()
    finding = machine.check_port(settings.model_copy(update={"host": "192.0.2.1"}))  # kept for documentation
    assert finding.level == "wrong" and "cannot listen on 192.0.2.1" in finding.found and finding.advice


def test_asking_whether_a_platform_runs_neither_makes_its_lock_nor_keeps_it(settings: Settings) -> None:
    settings.paths.ensure()
    assert not runs(settings.paths)
    assert not (settings.paths.run / "platform.lock").exists()
    with only_one(settings.paths):
        assert runs(settings.paths)
    with only_one(settings.paths):
        pass


def test_too_little_disk_and_memory_are_told(settings: Settings) -> None:
    settings.paths.ensure()
    here = probe(settings.home)
    full = dataclasses.replace(here, disk_free=GIB, memory_free=GIB // 2, gpus=())
    findings = {finding.check: finding for finding in machine.look(settings, full)}
    assert (findings["Disk"].level, findings["Memory"].level) == ("warning", "warning")
    assert findings["Disk"].advice and findings["Memory"].advice


def test_tuning_on_another_card_needs_one_that_is_there_and_does_not_serve(settings: Settings) -> None:
    settings.paths.ensure()
    two = dataclasses.replace(probe(settings.home), gpus=(Gpu("a card", 24 * GIB),) * 2)
    for number, level, says in ((1, "ok", "for tuning alone"), (0, "wrong", "that serves"), (2, "wrong", "no GPU")):
        chosen = settings.model_copy(update={"gpu_sharing": "separate", "training_gpu": number})
        (finding,) = [finding for finding in machine.look(chosen, two) if finding.check == "GPUs"]
        assert (finding.level, says in finding.found) == (level, True)
        assert ("training_gpu" in finding.advice) == (level == "wrong")
    assert not [finding for finding in machine.look(settings, two) if finding.check == "GPUs"]


@pytest.mark.parametrize(("model", "says"), [("Qwen/Qwen3-235B-A22B", "needs about"), ("nonsense", "no base model")])
def test_a_base_model_that_does_not_fit_or_is_not_known_is_told(settings: Settings, model: str, says: str) -> None:
    settings.paths.ensure()
    small = dataclasses.replace(probe(settings.home), memory=4 * GIB, gpus=())
    chosen = settings.model_copy(update={"base_model": model})
    (finding,) = [finding for finding in machine.look(chosen, small) if finding.check == "Base model"]
    assert finding.level == "wrong"
    assert says in finding.found


def installed(*names: str) -> Callable[[str], str]:
    def version(name: str) -> str:
        if name not in names:
            raise importlib.metadata.PackageNotFoundError(name)
        return "2.13.0+cpu"

    return version


def test_an_engine_that_is_not_installed_and_packages_that_break_it_are_told(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(importlib.metadata, "version", installed("torch", "torchvision"))
    assert machine.check_engine_package().level == "wrong"
    finding = machine.check_breaking_packages()
    assert (finding.level, "uninstall torchvision" in finding.advice) == ("wrong", True)


async def test_a_base_model_that_nobody_knows_is_said_once_and_hides_nothing(
    well: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PARLANCE_BASE_MODEL", "nonsense")
    unknown = load_settings()
    findings = await examine(unknown)
    assert [finding.check for finding in findings if "nonsense" in finding.found] == ["Base model"]
    hidden = {"Memory", "Plan", "Untuned model", "Engine size", "Base models"}
    assert {one.check for one in await examine(well)} - {one.check for one in findings} <= hidden

    def parlance() -> tuple[int, str]:
        with capture_logs():
            done = CliRunner().invoke(app, ["doctor"], env={"COLUMNS": "220"})
        return done.exit_code, done.stdout

    code, shown = await asyncio.to_thread(parlance)
    assert code == 1
    assert "nonsense" in shown and "Backups" in shown and "1 thing(s) to mend" in shown


CHECKS = [
    (machine, "check_disk"), (machine, "probe"), (home, "check_files"), (stored, "check_file"),
    (stored, "check_sealed"),
    (stored, "check_journal"), (stored, "check_backups"), (adapters, "check_untuned"), (adapters, "check_adapters"),
    (adapters, "check_folders"), (engine_size, "in_use"), (running, "check_engine"), (running, "check_folders"),
    (running, "check_restores"), (running, "check_jobs"), (answering, "list_assistants"), (answering, "check_service"),
    (answering, "check_base_models"), (answering, "check_routes"), (accounts, "check_accounts"),
]  # fmt: skip


@pytest.mark.parametrize(("group", "check"), CHECKS)
@pytest.mark.parametrize(
    "error", [PermissionError(13, "Permission denied", "/a/place"), ValueError("a word of theirs")]
)
async def test_a_check_that_cannot_look_is_a_finding_and_hides_no_other(
    well: Settings, group: ModuleType, check: str, error: Exception, monkeypatch: pytest.MonkeyPatch
) -> None:
    place = examination if check == "probe" else group

    def broken(*_: object, **__: object) -> None:
        raise error

    async def broken_later(*_: object, **__: object) -> None:
        raise error

    monkeypatch.setattr(place, check, broken_later if iscoroutinefunction(getattr(place, check)) else broken)
    with capture_logs() as logged:
        findings = await examine(well)
    (finding,) = [finding for finding in findings if "cannot be looked at" in finding.found]
    assert finding.level == "wrong" and finding.advice and "a word of theirs" not in finding.found
    assert any(line["event"] == "check_failed" and line["exc_info"] is error for line in logged)
    if check not in ("check_file", "check_sealed"):  # without these, the database is not to be opened
        assert {"Key", "Backups", "Accounts"} - {finding.check} <= {one.check for one in findings}


async def test_a_repair_that_breaks_is_told_and_the_others_are_made(
    well: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    well.home.chmod(0o755)
    left = well.paths.jobs / "77"
    left.mkdir()

    chmod = Path.chmod

    def broken(self: Path, mode: int) -> None:
        if self == well.home:
            raise ValueError("a word of theirs")
        chmod(self, mode)

    monkeypatch.setattr(Path, "chmod", broken)
    with capture_logs():
        done = {one.check: one.trouble for one in await repair(well)}
    assert done["Run folders"] is None and not left.exists()
    assert "ValueError" in str(done["Data folder"]) and "a word of theirs" not in str(done["Data folder"])


async def test_the_command_says_what_it_repaired_and_looks_again(well: Settings) -> None:
    def parlance(*words: str) -> tuple[int, str]:
        with capture_logs():
            done = CliRunner().invoke(app, words, env={"COLUMNS": "220"})
        return done.exit_code, done.stdout

    well.paths.key_file.chmod(0o644)
    code, shown = await asyncio.to_thread(parlance, "doctor")
    assert code == 1
    assert "parlance doctor --repair" in shown
    code, shown = await asyncio.to_thread(parlance, "doctor", "--repair")
    assert code == 0
    assert "Key: close to other users … repaired" in shown
    code, shown = await asyncio.to_thread(parlance, "doctor", "--repair", "--json")
    assert {finding["level"] for finding in json.loads(shown)} <= {"ok", "warning"}
