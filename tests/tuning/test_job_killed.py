"""A job whose process is killed with all its group, while it learns and while it is measured, is finished by the next
one: from its checkpoint, with the same adapter as if nothing had happened, and nothing is left running behind."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
from pathlib import Path

import psutil
from harbour import Harbour, alive, step_of, until

from tuning.jobs import ACTIVE
from tuning.training.process import run_training
from tuning.training.run import RunFolder
from tuning.versions import history

ROOT = Path(__file__).resolve().parents[2]


def started(harbour: Harbour, *more: str) -> subprocess.Popen[bytes]:
    """A process, and group, of its own that runs the jobs."""
    script, home = Path(__file__).with_name("job_process.py"), str(harbour.settings.home)
    environment = os.environ | {"PYTHONPATH": os.pathsep.join([str(ROOT), str(script.parent)])}
    return subprocess.Popen([sys.executable, str(script), home, *more], env=environment, start_new_session=True)


def working_in(folder: Path) -> list[psutil.Process]:
    """Processes that a run folder was given to."""
    return [
        one for one in psutil.process_iter(["cmdline"]) if str(folder) in (one.info["cmdline"] or ()) and alive(one)
    ]


async def killed(process: subprocess.Popen[bytes], folder: Path) -> None:
    os.killpg(process.pid, signal.SIGKILL)
    process.wait()
    await until(lambda: not working_in(folder), 20)


async def test_it_is_finished_by_the_next_with_the_very_same_adapter(harbour: Harbour, tmp_path: Path) -> None:
    job = await harbour.asked()
    paths = harbour.settings.paths
    folder, adapter = paths.job(job.id), paths.adapters / "harbour" / "v1"
    process = started(harbour)
    try:
        await until(lambda: len(list(folder.glob("checkpoint/step-*.pt"))) == 2)
        assert working_in(folder)
        await killed(process, folder)
        assert not (folder / "result.json").exists()
        reached = max(int(file.stem[5:]) for file in folder.glob("checkpoint/step-*.pt"))
        undisturbed = tmp_path / "undisturbed"
        undisturbed.mkdir()
        for name in ("train.jsonl", "held_out.jsonl", "run.json"):
            shutil.copy(folder / name, undisturbed)

        process = started(harbour, "hold")
        seen: list[int] = []
        await harbour.until(job.id, lambda job: step_of(folder, seen) and job.progress.get("sentence") == "Measuring")
        assert min(seen) >= reached
        assert adapter.exists()
        await killed(process, folder)
        assert (await harbour.job(job.id)).state == "running"
        weights = (adapter / "adapter_model.safetensors").read_bytes()

        process = started(harbour)
        ended = await harbour.until(job.id, lambda job: job.state not in ACTIVE)
        assert (ended.state, ended.error, ended.attempts) == ("done", None, 3)
        await until(lambda: not folder.exists())
    finally:
        os.killpg(process.pid, signal.SIGKILL)
        process.wait()
    assert [(str(view.name), view.state) for view in await history(harbour.database, "harbour")] == [
        ("harbour@v1", "passed")
    ]
    assert (adapter / "adapter_model.safetensors").read_bytes() == weights
    async for _ in run_training(RunFolder(undisturbed), tmp_path / "log"):
        pass
    assert (undisturbed / "adapter" / "adapter_model.safetensors").read_bytes() == weights
