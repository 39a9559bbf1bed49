"""The bench of the three methods measures what a job would make: its data, its settings."""

from __future__ import annotations

import json
from pathlib import Path

from bench.methods import MODEL, learnable, settings_of
from config.settings import Settings, load_settings
from console.assistant_commands import DEFAULT_PROMPT
from console.demo.stage import GARDEN
from store.assistants import add_assistant
from store.database import Database
from store.tables import Job
from tuning.job_steps import JobSteps
from tuning.training.run import RunFolder


async def test_it_learns_the_community_s_own_log_and_keeps_the_last_of_it_apart(tmp_path: Path) -> None:
    folder = tmp_path / "data"
    folder.mkdir()
    curated = await learnable(GARDEN, tmp_path / "bench", folder)
    learnt, held_out = (
        [json.loads(line) for line in (folder / name).read_text().splitlines()]
        for name in ("train.jsonl", "held_out.jsonl")
    )
    assert len(learnt) == curated.train > 100 and len(held_out) == curated.held_out > 10
    assert max(one["at"] for one in learnt) <= min(one["at"] for one in held_out)


async def test_it_trains_with_the_settings_of_a_job(tmp_path: Path, database: Database, settings: Settings) -> None:
    settings = load_settings(home=settings.home, base_model=MODEL)
    async with database.session() as session:
        assistant = await add_assistant(session, "garden", DEFAULT_PROMPT, MODEL)
    run = RunFolder(settings.paths.job(1))
    run.folder.mkdir(parents=True)
    run.train.write_text("{}\n" * 173)
    job = Job(id=1, assistant_id=assistant.id, asked_by="test", settings={"method": "partial"}, version=1)
    await JobSteps(database, settings, None, job, assistant)._write_run()  # type: ignore[arg-type]
    assert run.read_settings() == settings_of("partial", 173, tmp_path)
