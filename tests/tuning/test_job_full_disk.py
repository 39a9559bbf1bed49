"""A whole job on a disk that is really full: it says so, waits, and goes on from its checkpoint once there is room."""

from __future__ import annotations

import os
import time
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import Any

import pytest
from full_disk import fill, mounted
from harbour import Harbour, alive, make_harbour, running, step_of, trainers, until
from small_training import new_run

from config.catalogue import DEMO_FOLDER
from config.errors import DiskFull
from config.settings import load_settings
from store.database import open_database
from tuning.curation import curate
from tuning.jobs import ACTIVE
from tuning.training.process import run_training
from tuning.training.run import TrainingRun
from tuning.versions import history


@pytest.fixture
def disk(tmp_path: Path) -> Iterator[Path]:
    """A disk of its own for the home."""
    with mounted(tmp_path / "disk") as place:
        yield place


@pytest.fixture(autouse=True)
def soon(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("tuning.setback.FIRST_PAUSE", 0.5)
    monkeypatch.setattr("tuning.setback.LONGEST_PAUSE", 1.0)


class FilledBefore:
    """Curation, before which the disk fills up, once."""

    def __init__(self, disk: Path) -> None:
        self._disk = disk
        self.ballast: Path | None = None

    async def curate(self, *given: Any) -> Any:
        self.ballast = self.ballast or fill(self._disk)
        return await curate(*given)

    def free(self) -> None:
        assert self.ballast is not None
        self.ballast.unlink()


async def test_it_waits_at_curation_and_at_training_and_ends_well_from_its_checkpoint(
    disk: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PARLANCE_HOME", str(disk / "home"))
    settings = load_settings()
    database = await open_database(settings)
    try:
        harbour = await make_harbour(database, settings, tmp_path)
        job = await harbour.asked()
        folder = settings.paths.job(job.id)
        filled = FilledBefore(disk)
        monkeypatch.setattr("tuning.job_steps.curate", filled.curate)
        monkeypatch.setattr("tuning.training.planned.TrainingRun", partial(TrainingRun, checkpoint_every=0))
        async with running(harbour.runner):
            await until(lambda: filled.ballast)
            await says_that_the_disk_is_full(harbour, job.id)
            assert not (folder / "curated.json").exists()
            filled.free()
            await until(lambda: list(folder.glob("checkpoint/step-*.pt")))
            ballast = fill(disk)
            try:
                await says_that_the_disk_is_full(harbour, job.id)
                assert not any(map(alive, trainers()))
                reached = max(int(file.stem[5:]) for file in folder.glob("checkpoint/step-*.pt"))
                assert reached > 0
                assert not list(folder.glob("**/.*.pt.*"))  # half a checkpoint takes room from what waits for it
            finally:
                ballast.unlink()
            seen: list[int] = []
            freed = time.time()
            ended = await harbour.until(job.id, lambda job: step_of(folder, seen, freed) and job.state not in ACTIVE)
        assert (ended.state, ended.error) == ("done", None)
        assert (await history(database, "harbour"))[0].state == "passed"
        assert min(seen) >= reached
    finally:
        await database.close()


async def says_that_the_disk_is_full(harbour: Harbour, job_id: int) -> None:
    said = await harbour.until(job_id, lambda job: job.state == "queued" and job.progress, 40)
    assert said.progress["sentence"].startswith("The disk is full, so the retrain waits")
    assert said.error is None


@pytest.mark.parametrize("left", [0, 4096, 40960])
async def test_a_trainer_that_finds_no_room_says_so_even_where_it_can_write_nothing_down(
    disk: Path, tmp_path: Path, left: int
) -> None:
    """Neither its sentence, nor its progress, nor a line of its log, which a library may take for another error."""
    folder, settings = new_run(disk / "run", DEMO_FOLDER, checkpoint_every=0)
    folder.settings.write_text(settings.model_dump_json())
    (disk / "log").touch()
    ballast = fill(disk)
    os.truncate(ballast, ballast.stat().st_size - left)
    with pytest.raises(DiskFull):
        async for _ in run_training(folder, disk / "log"):
            pass
