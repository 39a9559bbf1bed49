"""Tuning on another machine, over real SSH: as here, and each thing that is in the way is told."""

from __future__ import annotations

import shutil
from dataclasses import replace
from pathlib import Path
from typing import Any

import asyncssh
import pytest
from another_machine import ROOT, AnotherMachine, a_run, files, install, nothing_left, trained
from harbour import Harbour, make_harbour, running, until

from config.catalogue import GIB, find_model
from config.errors import BadInput, JobFailed, MachineAway
from config.hardware import Gpu, Hardware, probe
from config.machine import Machine
from config.settings import Settings, load_settings
from console.doctor.machine import check_training_machine
from store.database import Database
from tuning import jobs
from tuning.elsewhere.place import plan_here, plan_to_learn
from tuning.elsewhere.training import run_training_on
from tuning.training.process import run_training

QUICK: dict[str, Any] = {"epochs": 2, "own_share": 0.0, "replay_share": 0.0}


async def test_what_is_learnt_there_is_what_is_learnt_here(there: AnotherMachine, base: Path, tmp_path: Path) -> None:
    here, far = a_run(tmp_path / "a", base, **QUICK), a_run(tmp_path / "b", base, **QUICK)
    async for _ in run_training(here, tmp_path / "log"):
        pass
    seen = await trained(there, far, base, tmp_path / "log")
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


async def test_each_thing_that_its_owner_can_mend_is_told(there: AnotherMachine, base: Path, tmp_path: Path) -> None:
    run = a_run(tmp_path / "run", base, **QUICK)
    ours = Path.home() / ".ssh"

    async def told(kind: type[Exception], machine: Machine) -> str:
        with pytest.raises(kind) as caught:
            async for _ in run_training_on(machine, run, find_model(str(base)), tmp_path / "log"):
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
    (ours / "known_hosts").write_bytes(b"\xff\xfe of no host\n")
    assert "The SSH settings of this account cannot be used to reach 127.0.0.1" in await told(JobFailed, there.machine)
    (ours / "known_hosts").write_text(known)
    asyncssh.generate_private_key("ssh-ed25519").write_private_key(str(ours / "id_ed25519"))
    assert "ssh-copy-id" in await told(JobFailed, there.machine)
    there.server.close()
    await there.server.wait_closed()
    assert "cannot be reached (Connection refused)" in await told(MachineAway, there.machine)
    assert not there.visits()


async def test_what_the_accounts_own_start_prints_there_is_passed_over(
    there: AnotherMachine, base: Path, tmp_path: Path
) -> None:
    python = there.folder / ".venv" / "bin" / "python"
    python.write_text(python.read_text().replace("cd ", 'echo "Welcome to {our} machine"; cd '))
    assert (await trained(there, a_run(tmp_path / "run", base, **QUICK), base, tmp_path / "log"))[-1].state == "done"


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


async def test_no_agent_is_passed_on(
    there: AnotherMachine, settings: Settings, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SSH_AUTH_SOCK", str(tmp_path / "agent"))
    (Path.home() / ".ssh" / "config").write_text("Host *\n  ForwardAgent yes\n")
    chosen = settings.model_copy(update={"training_machine": there.address})
    assert (await check_training_machine(chosen))[0].level == "ok"
    assert there.processes and there.agents == []


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
        ("ssh://Box@MyBox:22/srv", Machine("MyBox", "/srv", "Box", 22)),
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
