"""What is otherwise in an engine on a processor, with the real one."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import psutil
from adapter_making import random_adapter
from running_engine import RunningEngine

from config.names import VersionName
from config.settings import load_settings
from serving.adapters import publish
from serving.answer import Sampling
from serving.supervisor import EngineSupervisor
from store.crypto import load_cipher

FORKED_AND_NEVER_EXECUTED = 0x40
"""PF_FORKNOEXEC of the flags in /proc/PID/stat: the process goes on in the program of the one that began it."""
ASKED = [{"role": "user", "content": "Where can one tie up a boat for the night, and what does it cost there?"}]


def flags(process: psutil.Process) -> int:
    fields = Path(f"/proc/{process.pid}/stat").read_text().rpartition(") ")[2].split()
    return int(fields[6])


async def test_an_engine_imports_itself_once_and_is_two_processes(engine: RunningEngine) -> None:
    assert engine.supervisor.plan.device == "cpu"
    first = psutil.Process(engine.supervisor.pid)
    (core,) = [child for child in first.children(recursive=True) if child.name().startswith("VLLM")]
    assert flags(core) & FORKED_AND_NEVER_EXECUTED
    assert not flags(first) & FORKED_AND_NEVER_EXECUTED


async def test_an_engine_that_computes_on_several_threads_says_the_same(engine: RunningEngine, tmp_path: Path) -> None:
    """One that is forked could not, if the process that began it had used its threads before."""
    settings = load_settings(home=tmp_path / "threads", base_model="demo")
    settings.paths.ensure()
    other = EngineSupervisor(settings, load_cipher(settings.paths.key_file, None))
    other.plan = replace(other.plan, training_threads=3)
    name, greedy = VersionName("threads", 1), Sampling(max_tokens=12, temperature=0.0)
    for paths in (engine.paths, settings.paths):
        publish(random_adapter(paths.jobs / "threads", 7), paths.adapter(name), {"base_model": "demo"})
    other.start()
    try:
        await other.wait_ready(timeout=600)
        for version in (other.untuned, name):
            expected = await engine.client.answer(version, ASKED, greedy)
            assert (await other.client.answer(version, ASKED, greedy)).text == expected.text
    finally:
        await other.stop()
