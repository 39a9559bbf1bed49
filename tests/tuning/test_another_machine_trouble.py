"""Tuning on another machine, taken back, broken off or lied to: nothing is left there, nothing made up is kept here."""

from __future__ import annotations

import asyncio
import json
import signal
import time
from contextlib import aclosing
from dataclasses import replace
from pathlib import Path
from typing import Any

import psutil
import pytest
from another_machine import AnotherMachine, a_run, below, files, nothing_left, trained
from full_disk import fill, mounted
from harbour import RESULT, until

from config.catalogue import find_model
from config.errors import JobFailed, MachineAway
from config.hardware import probe
from config.paths import Paths
from tuning.elsewhere import connection, frames
from tuning.elsewhere.frames import Frame, Hello, Link
from tuning.elsewhere.training import largest, run_training_on
from tuning.elsewhere.visit import folder_for_a_run
from tuning.training.checkpoint import save
from tuning.training.process import TrainerKilled, run_training
from tuning.training.provenance import code_digest

QUICK: dict[str, Any] = {"epochs": 2, "own_share": 0.0, "replay_share": 0.0}


ENDLESS: dict[str, Any] = {"epochs": 200, "patience": 200, "checkpoint_every": 0, "own_share": 0.0, "replay_share": 0.0}


async def test_stopped_it_ends_there_within_seconds_and_leaves_nothing(
    there: AnotherMachine, base: Path, tmp_path: Path
) -> None:
    run = a_run(tmp_path / "run", base, **ENDLESS)
    async with aclosing(run_training_on(there.machine, run, find_model(str(base)), tmp_path / "log")) as steps:
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
        async for _ in run_training_on(there.machine, run, find_model(str(base)), tmp_path / "log"):
            if list(run.checkpoints.glob("step-*.pt")):
                there.cut()
    await until(lambda: nothing_left(there), 20)
    assert not run.result.exists() and not list(run.folder.rglob(".*"))
    came = max(int(file.stem[5:]) for file in run.checkpoints.glob("step-*.pt"))
    assert came > 0
    seen = await trained(there, run, base, tmp_path / "log")
    assert min(at.step for at in seen if at.state == "training" or at.step) >= came
    assert files(run) == files(straight)


async def test_one_that_does_not_say_a_word_is_taken_for_gone(
    there: AnotherMachine, base: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    run = a_run(tmp_path / "run", base, **ENDLESS)
    with pytest.raises(MachineAway, match="broke off"):
        async for at in run_training_on(there.machine, run, find_model(str(base)), tmp_path / "log"):
            if at.step >= 2:
                monkeypatch.setattr(frames, "SILENCE", 2.0)
                monkeypatch.setattr(connection, "END_SECONDS", 1.0)
                stopped = below(there)
                for process in stopped:
                    process.send_signal(signal.SIGSTOP)
    for process in stopped:
        process.send_signal(signal.SIGCONT)
    await until(lambda: nothing_left(there), 20)


async def test_stopping_does_not_wait_for_one_that_takes_nothing_any_more(
    there: AnotherMachine, base: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(connection, "END_SECONDS", 1.0)
    run = a_run(tmp_path / "run", base, **QUICK)
    run.votes.write_text(" " * 60_000_000)
    learning = asyncio.create_task(trained(there, run, base, tmp_path / "log"))
    await until(there.visits, 20)
    stopped = below(there)
    for process in stopped:
        process.send_signal(signal.SIGSTOP)
    await asyncio.sleep(1)
    assert not learning.done()
    learning.cancel()
    await asyncio.wait({learning}, timeout=8)
    assert learning.cancelled()
    for process in stopped:
        process.send_signal(signal.SIGCONT)
    await until(lambda: nothing_left(there), 20)


async def test_a_trainer_killed_there_goes_on_in_smaller_parts(
    there: AnotherMachine, base: Path, tmp_path: Path
) -> None:
    run = a_run(tmp_path / "run", base, **ENDLESS)
    trainers: list[psutil.Process] = []
    with pytest.raises(TrainerKilled):
        async for at in run_training_on(there.machine, run, find_model(str(base)), tmp_path / "log"):
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
        await trained(there, run, base, tmp_path / "log")
    assert str(far.value) == str(here.value)
    with pytest.raises(JobFailed, match="has no base model at /nowhere/model; put it at the same place there"):
        nowhere = replace(find_model(str(base)), location="/nowhere/model")
        async for _ in run_training_on(there.machine, run, nowhere, tmp_path / "log"):
            pass
    await until(lambda: nothing_left(there), 20)


HELLO = Hello(code=code_digest(), hardware=probe(Path("/")))


BAD = {
    "a file of another name": (Frame(kind="file", name="train.jsonl", size=2, last=True), b"xy"),
    "a file of another folder": (Frame(kind="file", name="../outside.json", size=2, last=True), b"xy"),
    "an end that is no number": (Frame(kind="end", size=2), b"xy"),
    "no frame": (None, b"<html>\n"),
    "more than such a file can be": (
        None,
        b'{"kind":"file","name":"error.txt","size":262144}\n'
        + b"x" * 262144
        + b'{"kind":"file","name":"error.txt","size":9}\nxxxxxxxxx',
    ),
    "a line without an end": (None, b"x" * 5_000_000 + b"\n"),
}


def framed(frame: Frame | None, content: bytes) -> bytes:
    return (frame.model_dump_json(exclude_defaults=True).encode() + b"\n" if frame else b"") + content


def says(there: AnotherMachine, *said: bytes) -> None:
    """From now on that machine says hello and this, whatever it is told."""
    hello = HELLO.model_dump_json().encode()
    (there.home / "said").write_bytes(framed(Frame(kind="hello", size=len(hello)), hello) + b"".join(said))
    python = there.folder / ".venv" / "bin" / "python"
    python.write_text(f'#!/bin/sh\ncat "{there.home}/said"; cat > /dev/null\n')


@pytest.mark.parametrize(("frame", "content"), BAD.values(), ids=BAD.keys())
async def test_of_what_makes_no_sense_nothing_is_kept(
    there: AnotherMachine, base: Path, tmp_path: Path, frame: Frame | None, content: bytes,
    monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    """A machine that answers, and is not what it says."""
    monkeypatch.setattr(connection, "END_SECONDS", 1.0)
    run = a_run(tmp_path / "run", base, **QUICK)
    before = {file.name: file.read_bytes() for file in run.folder.iterdir()}
    says(there, framed(frame, content))
    with pytest.raises(JobFailed, match="made no sense"):
        await trained(there, run, base, tmp_path / "log")
    assert {file.name: file.read_bytes() for file in run.folder.iterdir()} == before
    assert not (tmp_path / "outside.json").exists()


async def test_a_full_disk_there_is_waited_out(there: AnotherMachine, base: Path, tmp_path: Path) -> None:
    run = a_run(tmp_path / "run", base, **QUICK)
    run.votes.write_text(" " * 4_000_000)
    with mounted(there.paths.home):
        ballast = fill(there.paths.home)
        with pytest.raises(MachineAway, match="on which to tune, is full; make room there"):
            await trained(there, run, base, tmp_path / "log")
        run.votes.unlink()
        ballast.unlink()
        assert (await trained(there, run, base, tmp_path / "log"))[-1].state == "done"
        await until(lambda: nothing_left(there), 20)


@pytest.mark.parametrize("config", [b'{"r": 512}', b"{}", b"[]"], ids=["larger", "none said", "no object"])
async def test_an_adapter_of_another_size_than_was_asked_for_is_not_kept(
    there: AnotherMachine, base: Path, tmp_path: Path, config: bytes, monkeypatch: pytest.MonkeyPatch
) -> None:
    """An engine would make every slot as large."""
    monkeypatch.setattr(connection, "END_SECONDS", 1.0)
    run = a_run(tmp_path / "run", base, **QUICK)
    says(
        there,
        framed(Frame(kind="file", name="adapter/adapter_config.json", size=len(config), last=True), config),
        framed(
            Frame(kind="file", name="result.json", size=len(result := RESULT.model_dump_json().encode()), last=True),
            result,
        ),
        framed(Frame(kind="end", size=1), b"0"),
    )
    with pytest.raises(JobFailed, match="made no sense"):
        await trained(there, run, base, tmp_path / "log")
    assert run.read_result() is None


def test_a_file_may_be_as_large_as_such_a_runs_and_no_larger() -> None:
    small = replace(find_model("demo"), width=1, layers=1)
    assert largest(small, 8, "adapter/adapter_model.safetensors") < 65 * 2**20
    assert largest(find_model("qwen3-8b"), 16, "adapter/adapter_model.safetensors") > 2**30
    assert largest(small, 8, "error.txt") < 2**19


async def test_visits_that_begin_at_the_same_time_leave_each_other_alone(tmp_path: Path) -> None:
    paths = Paths(tmp_path / "home")
    stale = paths.visits / "stale"
    stale.mkdir(parents=True)

    async def visit() -> None:
        for _ in range(20):
            async with folder_for_a_run(paths) as run:
                run.train.write_text("words")
                await asyncio.sleep(0.002)
                assert run.train.read_text() == "words"

    await asyncio.gather(*(visit() for _ in range(6)))
    assert list(paths.visits.glob("[!.]*")) == []


async def test_what_another_run_left_is_not_taken_for_further_on(
    there: AnotherMachine, base: Path, tmp_path: Path
) -> None:
    run = a_run(tmp_path / "run", base, **QUICK, checkpoint_every=0)
    save(run.checkpoints, 900, {"fingerprint": "another"})
    await trained(there, run, base, tmp_path / "log")
    steps = sorted(int(file.stem[5:]) for file in run.checkpoints.glob("step-*.pt"))
    assert steps and len(steps) <= 2 and max(steps) < 900


async def test_what_a_loss_of_power_left_there_is_gone_with_the_next_visit(
    there: AnotherMachine, base: Path, tmp_path: Path
) -> None:
    left = there.paths.visits / "abc"
    left.mkdir(parents=True)
    (left / "train.jsonl").write_text("what somebody said")
    await trained(there, a_run(tmp_path / "run", base, **QUICK), base, tmp_path / "log")
    assert not left.exists()


async def test_silence_is_heard_by_either_side(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(frames, "SILENCE", 0.2)
    reader = asyncio.StreamReader()
    link = Link(reader, None)  # type: ignore[arg-type]
    reader.feed_data(b'{"kind":"beat"}\n' + json.dumps({"kind": "end", "size": 1}).encode() + b"\n0")
    assert (await link.receive())[1] == b"0"
    with pytest.raises(frames.Gone):
        await link.receive()
