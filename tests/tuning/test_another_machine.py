"""Tuning on another machine, over real SSH: as here, taken back or broken off without leaving anything there."""

from __future__ import annotations

import asyncio
import json
import shutil
import signal
import time
from collections.abc import AsyncIterator
from contextlib import aclosing
from dataclasses import replace
from pathlib import Path
from typing import Any

import asyncssh
import psutil
import pytest
from another_machine import ROOT, AnotherMachine, another_machine, install
from harbour import Harbour, alive, make_harbour, running, until
from small_training import new_run

from config.catalogue import GIB, find_model
from config.errors import BadInput, JobFailed, MachineAway
from config.hardware import Gpu, Hardware, probe
from config.machine import Machine
from config.settings import Settings, load_settings
from console.doctor.machine import check_training_machine
from store.database import Database
from tuning import jobs
from tuning.elsewhere import connection, frames
from tuning.elsewhere.frames import Frame, Hello, Link
from tuning.elsewhere.place import plan_here, plan_to_learn
from tuning.elsewhere.training import run_training_on
from tuning.training.process import TrainerKilled, run_training
from tuning.training.provenance import code_digest
from tuning.training.run import Progress, RunFolder

QUICK: dict[str, Any] = {"epochs": 2, "own_share": 0.0, "replay_share": 0.0}
ENDLESS: dict[str, Any] = {"epochs": 200, "patience": 200, "checkpoint_every": 0, "own_share": 0.0, "replay_share": 0.0}


@pytest.fixture
async def there(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[AnotherMachine]:
    far, mine = tmp_path / "there", tmp_path / "mine"
    far.mkdir()
    monkeypatch.setenv("HOME", str(mine))
    async with another_machine(far, mine) as machine:
        yield machine


def a_run(folder: Path, base: Path, **settings: Any) -> RunFolder:
    run, chosen = new_run(folder, base, **settings)
    run.settings.write_text(chosen.model_dump_json())
    return run


async def trained(there: AnotherMachine, run: RunFolder, model: str, log: Path) -> list[Progress]:
    async with aclosing(run_training_on(there.machine, run, model, log)) as steps:
        return [at async for at in steps]


def files(run: RunFolder) -> dict[str, bytes]:
    made = [*run.adapter.iterdir(), run.parity]
    return {file.name: file.read_bytes() for file in made}


def below(there: AnotherMachine) -> list[psutil.Process]:
    """All that connections have started there and that lives."""
    found: list[psutil.Process] = []
    for shell in there.processes:
        try:
            first = psutil.Process(shell.pid)
            found += [first, *first.children(recursive=True)]
        except psutil.NoSuchProcess:
            pass
    return [process for process in found if alive(process)]


def nothing_left(there: AnotherMachine) -> bool:
    return not there.visits() and not below(there)


async def test_what_is_learnt_there_is_what_is_learnt_here(there: AnotherMachine, base: Path, tmp_path: Path) -> None:
    here, far = a_run(tmp_path / "a", base, **QUICK), a_run(tmp_path / "b", base, **QUICK)
    async for _ in run_training(here, tmp_path / "log"):
        pass
    seen = await trained(there, far, str(base), tmp_path / "log")
    assert len(seen) > 1 and seen[-1].state == "done"
    assert files(far) == files(here)
    result, expected = far.read_result(), here.read_result()
    assert result is not None and expected is not None
    assert (result.held_out, result.data_digest, result.code) == (
        expected.held_out, expected.data_digest, expected.code,
    )  # fmt: skip
    assert not list(far.folder.rglob(".*"))
    await until(lambda: nothing_left(there), 20)
    assert list(there.paths.home.iterdir()) == [there.paths.visits]
    assert {folder.stat().st_mode & 0o777 for folder in (there.paths.home, there.paths.visits)} == {0o700}


async def test_stopped_it_ends_there_within_seconds_and_leaves_nothing(
    there: AnotherMachine, base: Path, tmp_path: Path
) -> None:
    run = a_run(tmp_path / "run", base, **ENDLESS)
    async with aclosing(run_training_on(there.machine, run, str(base), tmp_path / "log")) as steps:
        async for at in steps:
            if at.step >= 3:
                break
        assert len(there.visits()) == 1 and below(there)
        asked = time.monotonic()
    assert time.monotonic() - asked < 5
    await until(lambda: nothing_left(there), 5)
    assert not run.result.exists()


async def test_a_connection_that_breaks_leaves_nothing_there_and_the_next_goes_on_from_what_came(
    there: AnotherMachine, base: Path, tmp_path: Path
) -> None:
    longer = QUICK | {"epochs": 12, "patience": 12}
    straight, run = a_run(tmp_path / "a", base, **longer), a_run(tmp_path / "b", base, **longer, checkpoint_every=0)
    async for _ in run_training(straight, tmp_path / "log"):
        pass
    with pytest.raises(MachineAway, match="broke off"):
        async for _ in run_training_on(there.machine, run, str(base), tmp_path / "log"):
            if list(run.checkpoints.glob("step-*.pt")):
                there.cut()
    await until(lambda: nothing_left(there), 20)
    assert not run.result.exists() and not list(run.folder.rglob(".*"))
    came = max(int(file.stem[5:]) for file in run.checkpoints.glob("step-*.pt"))
    assert came > 0
    seen = await trained(there, run, str(base), tmp_path / "log")
    assert min(at.step for at in seen if at.state == "training" or at.step) >= came
    assert files(run) == files(straight)


async def test_one_that_does_not_say_a_word_is_taken_for_gone(
    there: AnotherMachine, base: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    run = a_run(tmp_path / "run", base, **ENDLESS)
    with pytest.raises(MachineAway, match="broke off"):
        async for at in run_training_on(there.machine, run, str(base), tmp_path / "log"):
            if at.step >= 2:
                monkeypatch.setattr(frames, "SILENCE", 2.0)
                monkeypatch.setattr(connection, "END_SECONDS", 1.0)
                stopped = below(there)
                for process in stopped:
                    process.send_signal(signal.SIGSTOP)
    for process in stopped:
        process.send_signal(signal.SIGCONT)
    await until(lambda: nothing_left(there), 20)


async def test_a_trainer_killed_there_goes_on_in_smaller_parts(
    there: AnotherMachine, base: Path, tmp_path: Path
) -> None:
    run = a_run(tmp_path / "run", base, **ENDLESS)
    trainers: list[psutil.Process] = []
    with pytest.raises(TrainerKilled):
        async for at in run_training_on(there.machine, run, str(base), tmp_path / "log"):
            if at.step >= 2 and not trainers:
                trainers = [process for process in below(there) if "tuning.training" in " ".join(process.cmdline())]
                trainers[-1].kill()
    assert run.read_parts() == 2
    assert "smaller parts" in run.read_notes()[0]
    await until(lambda: nothing_left(there), 20)


async def test_what_fails_there_is_told_in_its_own_sentence(there: AnotherMachine, base: Path, tmp_path: Path) -> None:
    run = a_run(tmp_path / "run", base, **QUICK)
    run.train.write_text("no example\n")
    with pytest.raises(JobFailed) as here:
        async for _ in run_training(run, tmp_path / "log"):
            pass
    with pytest.raises(JobFailed) as far:
        await trained(there, run, str(base), tmp_path / "log")
    assert str(far.value) == str(here.value)
    with pytest.raises(JobFailed, match="has no base model at /nowhere/model; put it at the same place there"):
        await trained(there, run, "/nowhere/model", tmp_path / "log")
    await until(lambda: nothing_left(there), 20)


async def test_each_thing_that_its_owner_can_mend_is_told(there: AnotherMachine, base: Path, tmp_path: Path) -> None:
    run = a_run(tmp_path / "run", base, **QUICK)
    ours = Path.home() / ".ssh"

    async def told(kind: type[Exception], machine: Machine) -> str:
        with pytest.raises(kind) as caught:
            async for _ in run_training_on(machine, run, str(base), tmp_path / "log"):
                pass
        return str(caught.value)

    elsewhere = replace(there.machine, folder=str(tmp_path / "nobody"))
    assert "has no Parlance that runs in the folder" in await told(JobFailed, elsewhere)
    older = there.home / "older"
    other = there.home / "other version"
    for room in ("config", "serving", "store", "tuning"):
        shutil.copytree(ROOT / room, older / room, ignore=shutil.ignore_patterns("__pycache__"))
    (older / "tuning" / "curation.py").write_text("# as it was\n")
    install(other, older)
    assert "another version of Parlance" in await told(JobFailed, replace(there.machine, folder=str(other)))
    known = (ours / "known_hosts").read_text()
    (ours / "known_hosts").write_text("")
    assert "confirm its key" in await told(JobFailed, there.machine)
    (ours / "known_hosts").write_text(known)
    asyncssh.generate_private_key("ssh-ed25519").write_private_key(str(ours / "id_ed25519"))
    assert "ssh-copy-id" in await told(JobFailed, there.machine)
    there.server.close()
    await there.server.wait_closed()
    assert "cannot be reached (Connection refused)" in await told(MachineAway, there.machine)
    assert not there.visits()


HELLO = Hello(code=code_digest(), hardware=probe(Path("/")))
BAD = {
    "a file of another name": (Frame(kind="file", name="train.jsonl", size=2, last=True), b"xy"),
    "a file of another folder": (Frame(kind="file", name="../outside.json", size=2, last=True), b"xy"),
    "an end that is no number": (Frame(kind="end", size=2), b"xy"),
    "no frame": (None, b"<html>\n"),
    "a line without an end": (None, b"x" * 5_000_000 + b"\n"),
}


@pytest.mark.parametrize(("frame", "content"), BAD.values(), ids=BAD.keys())
async def test_of_what_makes_no_sense_nothing_is_kept(
    there: AnotherMachine, base: Path, tmp_path: Path, frame: Frame | None, content: bytes,
    monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    """A machine that answers, and is not what it says."""
    monkeypatch.setattr(connection, "END_SECONDS", 1.0)
    run = a_run(tmp_path / "run", base, **QUICK)
    before = {file.name: file.read_bytes() for file in run.folder.iterdir()}
    hello = HELLO.model_dump_json().encode()
    first = Frame(kind="hello", size=len(hello)).model_dump_json(exclude_defaults=True).encode() + b"\n" + hello
    then = (frame.model_dump_json(exclude_defaults=True).encode() + b"\n" if frame else b"") + content
    (there.home / "said").write_bytes(first + then)
    python = there.folder / ".venv" / "bin" / "python"
    python.write_text(f'#!/bin/sh\ncat "{there.home}/said"; cat > /dev/null\n')
    with pytest.raises(JobFailed, match="made no sense"):
        await trained(there, run, str(base), tmp_path / "log")
    assert {file.name: file.read_bytes() for file in run.folder.iterdir()} == before
    assert not (tmp_path / "outside.json").exists()


async def test_what_a_loss_of_power_left_there_is_gone_with_the_next_visit(
    there: AnotherMachine, base: Path, tmp_path: Path
) -> None:
    left = there.paths.visits / "abc"
    left.mkdir(parents=True)
    (left / "train.jsonl").write_text("what somebody said")
    await trained(there, a_run(tmp_path / "run", base, **QUICK), str(base), tmp_path / "log")
    assert not left.exists()


async def test_a_whole_job_waits_for_the_machine_and_learns_on_it(
    there: AnotherMachine, database: Database, settings: Settings, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("tuning.setback.FIRST_PAUSE", 0.2)
    monkeypatch.setattr("tuning.setback.LONGEST_PAUSE", 0.5)
    chosen = settings.model_copy(update={"training_machine": there.address})
    there.away = True
    harbour: Harbour = await make_harbour(database, chosen, tmp_path)
    preview = await jobs.preview(database, chosen, "harbour")
    assert "127.0.0.1, on which to tune, cannot be reached (Connection" in preview.sentence
    assert preview.sentence.endswith("It would wait for it.")
    job = await harbour.asked()
    async with running(harbour.runner):
        waiting = await harbour.until(job.id, lambda job: "be reached" in (job.progress or {}).get("sentence", ""), 60)
        assert waiting.state == "queued" and "goes on by itself" in waiting.progress["sentence"]
        there.away = False
        ended = await harbour.until(job.id, lambda job: job.state in ("done", "failed"), 200)
    assert (ended.state, ended.error) == ("done", None)
    assert there.processes and nothing_left(there)
    assert (await jobs.preview(database, chosen, "harbour")).sentence.endswith("minute.")


async def test_it_learns_as_suits_that_machine_and_no_more_than_is_served_here(
    settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    card = Hardware(16, 64 * GIB, 60 * GIB, 500 * GIB, frozenset(), (Gpu("a card", 80 * GIB),))

    async def asked(machine: Machine, errors: Any) -> Hardware:
        return card

    monkeypatch.setattr("tuning.elsewhere.place.hardware_of", asked)
    chosen = settings.model_copy(update={"training_machine": "ssh://ada@box/srv/parlance"})
    model = find_model("demo")
    here, there = plan_here(chosen, model), await plan_to_learn(chosen, model)
    assert (there.device, there.dtype, there.training_rank) == ("cuda", "bfloat16", here.training_rank)
    assert there.learnt_context <= here.context
    assert await plan_to_learn(settings, model) == plan_here(settings, model)


async def test_doctor_says_what_that_machine_has_or_what_is_to_be_done(
    there: AnotherMachine, settings: Settings
) -> None:
    assert await check_training_machine(settings) == []
    chosen = settings.model_copy(update={"training_machine": there.address})
    (well,) = await check_training_machine(chosen)
    assert well.level == "ok" and f"on 127.0.0.1: {probe(settings.home).cores} cores" in well.found
    (Path.home() / ".ssh" / "known_hosts").write_text("")
    (strange,) = await check_training_machine(chosen)
    assert strange.level == "wrong" and "not known here yet" in strange.found
    assert strange.advice == "Connect to it once with ssh from this account and confirm its key."
    there.away = True
    (away,) = await check_training_machine(chosen)
    assert away.level == "wrong" and "cannot be reached" in away.found and "ssh" in away.advice
    assert not there.visits()


@pytest.mark.parametrize(
    ("address", "machine"),
    [
        ("ssh://ada@box/srv/parlance", Machine("box", "/srv/parlance", "ada")),
        ("ssh://box:2222/~/parlance/", Machine("box", "parlance", None, 2222)),
        ("ssh://ada@box/srv/our%20place", Machine("box", "/srv/our place", "ada")),
    ],
)
def test_an_address_is_read(address: str, machine: Machine) -> None:
    assert Machine.parse(address) == machine
    assert load_settings(training_machine=address).machine == machine


@pytest.mark.parametrize(
    ("address", "says"),
    [
        ("box:/srv/parlance", "ssh://user@host/folder"), ("ssh://ada:hunter2@box/srv", "leave the password out"),
        ("ssh://box", "name the folder"), ("ssh://box/", "name the folder"), ("ssh://-oProxyCommand=x/srv", "dash"),
        ("https://box/srv", "ssh://user@host/folder"), ("ssh://box/a%0Ab", "name the folder"),
    ],
)  # fmt: skip
def test_an_address_that_is_none_is_told_and_shows_no_password(address: str, says: str) -> None:
    with pytest.raises(BadInput, match="training_machine") as caught:
        load_settings(training_machine=address)
    assert says in str(caught.value) and "hunter2" not in str(caught.value)


async def test_silence_is_heard_by_either_side(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(frames, "SILENCE", 0.2)
    reader = asyncio.StreamReader()
    link = Link(reader, None)  # type: ignore[arg-type]
    reader.feed_data(b'{"kind":"beat"}\n' + json.dumps({"kind": "end", "size": 1}).encode() + b"\n0")
    assert (await link.receive())[1] == b"0"
    with pytest.raises(frames.Gone):
        await link.receive()
