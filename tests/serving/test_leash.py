"""Nothing outlives its owner."""

from __future__ import annotations

import asyncio
import os
import signal
import sys
import time
from pathlib import Path

import psutil
import pytest

from config.paths import Paths
from serving.engine import rotate
from serving.leashed import Leashed, leashed
from serving.ownership import EngineRecord, Ownership, live_record

STUBBORN = (
    "import signal, time; signal.signal(signal.SIGTERM, signal.SIG_IGN); print('up', flush=True); time.sleep(300)"
)
FAMILY = "sleep 300 & setsid sleep 300 & sleep 300"


def group(number: int) -> list[psutil.Process]:
    found = []
    for process in psutil.process_iter():
        try:
            if os.getpgid(process.pid) == number and process.status() != psutil.STATUS_ZOMBIE:
                found.append(process)
        except (psutil.Error, ProcessLookupError):
            continue
    return found


async def until(truth: object, seconds: float = 30.0) -> None:
    """Wait for a callable to be true; fail after `seconds`."""
    assert callable(truth)
    deadline = time.monotonic() + seconds
    while not truth():
        assert time.monotonic() < deadline, "it did not come true"
        await asyncio.sleep(0.05)


async def family(held: Leashed, size: int = 4) -> list[psutil.Process]:
    """The processes under a leash, once there are `size`."""
    leash = psutil.Process(held.pid)
    await until(lambda: len(leash.children(recursive=True)) >= size)
    return leash.children(recursive=True)


def all_gone(processes: list[psutil.Process]) -> bool:
    return not any(p.is_running() and p.status() != psutil.STATUS_ZOMBIE for p in processes)


async def test_the_exit_status_is_passed_on() -> None:
    assert await (await leashed(["sh", "-c", "exit 7"])).wait() == 7
    assert await (await leashed(["sh", "-c", "kill -9 $$"])).wait() == 128 + 9


async def test_what_a_command_leaves_behind_ends_with_it() -> None:
    held = await leashed(["sh", "-c", f"{FAMILY} & sleep 1; exit 3"], grace=2)
    members = await family(held, 5)
    assert await held.wait() == 3
    await until(lambda: all_gone(members))


async def test_the_end_reaches_processes_that_left_the_group() -> None:
    held = await leashed(["sh", "-c", FAMILY], grace=2)
    members = await family(held)
    assert any(os.getpgid(member.pid) != held.pid for member in members)
    await held.end()
    await until(lambda: all_gone(members))


async def test_a_process_that_ignores_being_asked_is_killed(tmp_path: Path) -> None:
    with (tmp_path / "out").open("wb") as output:
        held = await leashed([sys.executable, "-c", STUBBORN], grace=0.5, output=output)
    await until(lambda: (tmp_path / "out").read_text() == "up\n")
    assert await held.end() == 128 + signal.SIGKILL


async def test_a_killed_leash_leaves_nobody_of_its_group() -> None:
    held = await leashed(["sh", "-c", "sleep 300 & sleep 300"], grace=2)
    members = await family(held, 3)
    os.kill(held.pid, signal.SIGKILL)
    assert await held.wait() == -signal.SIGKILL
    await until(lambda: all_gone(members))


OWNER = """
import asyncio, sys
from serving.leashed import leashed
async def main():
    held = await leashed(["sh", "-c", sys.argv[1]], grace=2)
    print(held.pid, flush=True)
    await asyncio.sleep(300)
asyncio.run(main())
"""


async def owned(script: str) -> tuple[asyncio.subprocess.Process, int]:
    """Another process that holds `script` on a leash; it, and the leash's pid."""
    owner = await asyncio.create_subprocess_exec(sys.executable, "-c", OWNER, script, stdout=asyncio.subprocess.PIPE)
    assert owner.stdout is not None
    return owner, int(await owner.stdout.readline())


async def test_a_killed_owner_takes_everything_along() -> None:
    owner, pid = await owned(FAMILY)
    leash = psutil.Process(pid)
    await until(lambda: len(leash.children(recursive=True)) >= 4)
    members = [leash, *leash.children(recursive=True)]
    owner.kill()
    await owner.wait()
    await until(lambda: all_gone(members))


async def test_leftovers_of_a_dead_owner_are_ended_and_strangers_are_not(home: Path) -> None:
    paths = Paths(home)
    ownership = Ownership(paths)
    assert ownership.acquire()
    owner, pid = await owned("sleep 300 & sleep 300")
    leash = psutil.Process(pid)
    await until(lambda: len(leash.children(recursive=True)) >= 3)
    members = leash.children(recursive=True)
    record = EngineRecord(
        owner=owner.pid, socket=str(paths.engine_socket), pid=pid, started=time.time() - 5,
        model="demo", context=1024, state="ready", sentence="The engine is ready.",
    )  # fmt: skip
    ownership.write(record)
    assert live_record(paths) == record
    assert not ownership.end_leftovers(), "a group whose command lines are not an engine's is none of ours"
    assert not all_gone(members)
    ownership.write(record.model_copy(update={"socket": "sleep 300"}))
    assert await asyncio.to_thread(ownership.end_leftovers)
    await until(lambda: all_gone(members))
    owner.kill()
    await owner.wait()
    assert live_record(paths) is None
    ownership.release()


def test_a_home_has_one_owner(home: Path) -> None:
    first, second = Ownership(Paths(home)), Ownership(Paths(home))
    assert first.acquire() and first.acquire()
    assert not second.acquire()
    first.release()
    assert second.acquire()
    second.release()


@pytest.mark.parametrize("kept", [1, 3])
def test_a_log_is_rotated_while_it_is_written(tmp_path: Path, kept: int) -> None:
    log = tmp_path / "engine.log"
    with log.open("ab", buffering=0) as writer:
        for turn in range(5):
            writer.write(f"{turn}".encode() * 100)
            assert rotate(log, limit=100, kept=kept)
            assert not rotate(log, limit=100, kept=kept)
        writer.write(b"end")
    assert log.read_bytes() == b"end"
    older = sorted(file.name for file in tmp_path.glob("engine.log.*"))
    assert older == [f"engine.log.{number}" for number in range(1, kept + 1)]
    assert (tmp_path / "engine.log.1").read_bytes() == b"4" * 100
