"""Engines are killed here: the supervisor brings them back, and nothing is left behind."""

from __future__ import annotations

import asyncio
import os
import signal
import sys
import time
from collections.abc import Callable
from pathlib import Path

import psutil
import pytest
from running_engine import RunningEngine

from config.errors import EngineUnavailable
from config.settings import Settings
from serving import failures
from serving.answer import Sampling
from serving.prompt import Message
from serving.supervisor import EngineSupervisor
from store.crypto import load_cipher

HELLO: list[Message] = [{"role": "user", "content": "Hello, I need a taxi."}]


async def until(truth: Callable[[], bool], seconds: float) -> None:
    deadline = time.monotonic() + seconds
    while not truth():
        assert time.monotonic() < deadline, "it did not come true"
        await asyncio.sleep(0.1)


def all_gone(processes: list[psutil.Process]) -> bool:
    return not any(p.is_running() and p.status() != psutil.STATUS_ZOMBIE for p in processes)


def family(pid: int) -> list[psutil.Process]:
    leash = psutil.Process(pid)
    return [leash, *leash.children(recursive=True)]


@pytest.mark.usefixtures("endless")
async def test_a_killed_api_server_is_back_and_nothing_of_the_old_one_is_left(
    engine: RunningEngine, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(failures, "STEADY_SECONDS", 0.0)  # other tests kill it, too
    before = (await engine.client.answer(engine.supervisor.untuned, HELLO, Sampling(16, temperature=0.0))).text
    assert engine.supervisor.pid is not None
    old = family(engine.supervisor.pid)
    assert any("EngineCore" in " ".join(process.cmdline()) for process in old)
    stream = engine.client.stream(
        engine.supervisor.untuned, HELLO, Sampling(900, temperature=2.0, repetition_penalty=10.0)
    )
    await anext(stream)
    killed = time.monotonic()
    os.kill(old[1].pid, signal.SIGKILL)
    with pytest.raises(EngineUnavailable):
        async for _ in stream:
            pass
    await until(lambda: engine.supervisor.status.state != "ready", 5)
    assert time.monotonic() - killed < 5
    await until(lambda: all_gone(old), 30)
    await until(lambda: engine.supervisor.status.state == "restarting", 30)
    with pytest.raises(EngineUnavailable):
        await engine.supervisor.wait_ready(timeout=0.2)
    assert "more seconds" in engine.supervisor.status.sentence
    await engine.supervisor.wait_ready(timeout=600)
    after = (await engine.client.answer(engine.supervisor.untuned, HELLO, Sampling(16, temperature=0.0))).text
    assert after == before


OWNER = """
import asyncio, sys
from config.settings import load_settings
from serving.supervisor import EngineSupervisor
from store.crypto import load_cipher
async def main():
    settings = load_settings()
    settings.paths.ensure()
    supervisor = EngineSupervisor(settings, load_cipher(settings.paths.key_file, None))
    supervisor.start()
    while supervisor.pid is None:
        await asyncio.sleep(0.05)
    print(supervisor.pid, flush=True)
    await asyncio.sleep(600)
asyncio.run(main())
"""


async def test_a_killed_owner_takes_its_engine_along(home: Path) -> None:
    owner = await asyncio.create_subprocess_exec(sys.executable, "-c", OWNER, stdout=asyncio.subprocess.PIPE)
    assert owner.stdout is not None
    pid = int(await owner.stdout.readline())
    await until(lambda: any(p.name().startswith("VLLM::") for p in family(pid)), 120)
    members = family(pid)
    owner.kill()
    await owner.wait()
    await until(lambda: all_gone(members), 20)


async def test_start_returns_at_once_and_says_that_it_warms(settings: Settings) -> None:
    settings.paths.ensure()
    supervisor = EngineSupervisor(settings, load_cipher(settings.paths.key_file, None))
    assert supervisor.status.state == "off"
    with pytest.raises(EngineUnavailable):
        await supervisor.wait_ready(timeout=1)
    supervisor.start()
    assert supervisor.status.state == "warming"
    await until(lambda: supervisor.pid is not None, 30)
    assert "more seconds" in supervisor.status.sentence
    assert supervisor.status.seconds_left is not None
    members = family(supervisor.pid or 0)
    await supervisor.stop()
    assert supervisor.status.state == "off"
    assert all_gone(members)
    assert not (settings.paths.run / "engine.json").exists()


async def test_an_engine_that_cannot_start_is_said_to_fail_with_where_to_look_and_when_it_is_tried_again(
    settings: Settings, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Told of the first failure here, since each takes long; `test_watch.py` has what comes after several."""
    monkeypatch.setattr(failures, "FAILURES_TO_TELL", 1)
    broken = tmp_path / "broken-model"
    broken.mkdir()
    (broken / "config.json").write_text('{"hidden_size": 8, "num_hidden_layers": 1}')
    settings = settings.model_copy(update={"base_model": str(broken)})
    settings.paths.ensure()
    supervisor = EngineSupervisor(settings, load_cipher(settings.paths.key_file, None))
    supervisor.start()
    try:
        with pytest.raises(EngineUnavailable, match="the end of"):
            await supervisor.wait_ready(timeout=120)
        assert supervisor.status.state == "failed" and "it is tried again in about" in supervisor.status.sentence
    finally:
        await supervisor.stop()
