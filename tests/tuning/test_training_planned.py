"""A job's settings: by what there is to learn, what the machine has room for, and what its owner set."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from config.catalogue import find_model
from config.errors import BadInput, JobFailed
from config.hardware import Plan, plan, probe
from config.settings import Settings, load_settings
from store.assistants import add_assistant
from store.database import Database
from store.tables import Job
from tuning.job_steps import JobSteps
from tuning.training.planned import FEW_EXAMPLES, MANY_EXAMPLES, run_for
from tuning.training.run import Method, RunFolder, TrainingRun

DEMO = find_model("demo")


@pytest.fixture
def hardware(tmp_path: Path) -> Plan:
    return plan(probe(tmp_path), DEMO, rank=64)


def planned(hardware: Plan, method: Method = "lora", examples: int = 200) -> TrainingRun:
    return run_for(DEMO, hardware, method, examples=examples, system_prompt="Be kind.", replay_share=0.1)


def test_the_rank_of_an_adapter_grows_with_what_there_is_to_learn(hardware: Plan) -> None:
    counts = (FEW_EXAMPLES - 1, FEW_EXAMPLES, MANY_EXAMPLES - 1, MANY_EXAMPLES)
    assert [planned(hardware, examples=count).rank for count in counts] == [8, 16, 16, 32]
    assert planned(hardware, "full", 10).rank == planned(hardware, "partial", 10).rank == hardware.training_rank == 64


def test_what_cannot_be_learnt_in_4_bits_is_refused_in_a_sentence(hardware: Plan) -> None:
    short = replace(hardware, four_bits=True)
    assert planned(short).four_bits
    with pytest.raises(JobFailed, match="choose the method lora"):
        planned(short, "full")


@pytest.mark.parametrize("given", [None, "0", "0.35"])
async def test_a_job_replays_the_share_that_is_set_and_a_tenth_where_none_is(
    given: str | None, database: Database, home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    if given is not None:
        monkeypatch.setenv("PARLANCE_REPLAY_SHARE", given)
    settings: Settings = load_settings()
    async with database.session() as session:
        assistant = await add_assistant(session, "garden", "Be kind.", "demo")
    run = RunFolder(settings.paths.job(1))
    run.folder.mkdir(parents=True)
    run.train.write_text("{}\n" * 40)
    job = Job(id=1, assistant_id=assistant.id, asked_by="test", settings=None, version=1)
    await JobSteps(database, settings, None, job, assistant)._write_run()  # type: ignore[arg-type]
    assert run.read_settings().replay_share == float(given or 0.1)


@pytest.mark.parametrize("given", ["0.5", "-0.1", "much"])
def test_a_share_that_no_run_takes_is_refused_where_it_is_set(given: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PARLANCE_REPLAY_SHARE", given)
    with pytest.raises(BadInput, match="PARLANCE_REPLAY_SHARE"):
        load_settings()
