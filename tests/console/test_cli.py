"""The command line as a person and as a script meet it: results, sentences, exit codes."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
EXPORT = ROOT / "demo" / "exports" / "garden.json"


def parlance(home: Path, *words: str) -> subprocess.CompletedProcess[str]:
    environment = dict(os.environ) | {"PARLANCE_HOME": str(home), "COLUMNS": "200"}
    command = [sys.executable, "-m", "console.cli", *words]
    return subprocess.run(command, capture_output=True, text=True, env=environment, cwd=ROOT, timeout=120, check=False)


def _refused(done: subprocess.CompletedProcess[str], says: str) -> None:
    assert done.returncode == 1
    assert done.stdout == ""
    *progress, sentence = done.stderr.strip().splitlines()
    assert says in sentence
    assert all(line.endswith("…") for line in progress)  # no traceback, nothing but steps


def test_an_assistant_is_added_filled_and_shown(home: Path) -> None:
    added = json.loads(parlance(home, "assistant", "add", "garden", "--json").stdout)
    assert (added["name"], added["base_model"], added["in_service"]) == ("garden", "demo", None)

    done = parlance(home, "import", str(EXPORT), "--assistant", "garden", "--speaker", "wren", "--json")
    assert done.returncode == 0, done.stderr
    found = json.loads(done.stdout)
    assert found["messages"] > 600
    assert found["examples"] > 0
    assert 0 < found["conversations"] < found["messages"]
    assert found["speaker"] == "Wren Abernathy"
    assert all(set(step) == {"step", "in", "out"} for step in found["funnel"])

    again = json.loads(parlance(home, "import", str(EXPORT), "--assistant", "garden", "--json").stdout)
    assert (again["messages"], again["new"], again["changed"]) == (found["messages"], 0, 0)
    assert again["examples"] == found["examples"]

    listed = parlance(home, "assistant", "list")
    assert "garden" in listed.stdout
    assert json.loads(parlance(home, "versions", "garden", "--json").stdout) == []
    assert json.loads(parlance(home, "jobs", "--json").stdout) == []
    routed = json.loads(parlance(home, "route", "default", "garden", "--json").stdout)
    assert routed == [{"scope": "default", "key": "", "assistant": "garden"}]


def test_a_small_import_is_kept_and_says_what_was_left_out_and_what_is_wanting(home: Path, tmp_path: Path) -> None:
    parlance(home, "assistant", "add", "garden")
    file = tmp_path / "_chat.txt"
    file.write_text(f"1/3/24, 10:00 - Odo: Ripe?\n1/3/24, 10:01 - Wren: Yes.\n1/3/24, 10:02 - Odo: {'x' * 70_000}\n")
    done = parlance(home, "import", str(file), "--assistant", "garden", "--speaker", "wren")
    assert done.returncode == 0, done.stderr
    assert "Left out: 1 that cannot be kept" in done.stdout and "65,536" in done.stdout
    assert "only 1 example" in done.stdout and "takes 40" in done.stdout and "Next:" not in done.stdout
    again = json.loads(parlance(home, "import", str(file), "--assistant", "garden", "--json").stdout)
    assert (again["new"], again["examples"]) == (0, 1) and "only 1 example" in again["wanting"]


def test_whatever_is_refused_is_one_sentence_and_exit_code_1(home: Path, tmp_path: Path) -> None:
    parlance(home, "assistant", "add", "garden")
    empty = tmp_path / "empty.json"
    empty.touch()
    _refused(parlance(home, "import", str(empty), "--assistant", "garden"), "empty")
    _refused(parlance(home, "import", str(EXPORT), "--assistant", "nobody"), "no assistant “nobody”")
    _refused(parlance(home, "import", str(EXPORT), "--assistant", "garden", "--speaker", "Zaphod"), "Wren Abernathy")
    _refused(parlance(home, "assistant", "add", "garden"), "already an assistant")
    _refused(parlance(home, "assistant", "add", "../up"), "cannot be an assistant's name")
    _refused(parlance(home, "assistant", "add", "x", "--base-model", "nonsense"), "no base model")
    _refused(parlance(home, "tune", "garden"), "0 answers to learn from")
    _refused(parlance(home, "rollback", "garden", "--json"), "nothing to go back to")
    _refused(parlance(home, "promote", "garden"), "retrain it first")
    _refused(parlance(home, "versions", "nobody"), "garden")


@pytest.mark.parametrize(
    "words",
    [["nonsense"], ["import"], ["chat", "x", "--json"], ["route", "web:1"], ["assistant", "add"], ["tune"]],
)
def test_wrong_usage_is_exit_code_2(home: Path, words: list[str]) -> None:
    done = parlance(home, *words)
    assert done.returncode == 2
    assert "Traceback" not in done.stderr


def test_the_doctor_finds_this_installation_well_and_an_open_key_not(home: Path) -> None:
    well = parlance(home, "doctor", "--json")
    assert well.returncode == 0, well.stdout
    checks = {finding["check"]: finding["level"] for finding in json.loads(well.stdout)}
    assert checks["Key"] == checks["Base model"] == checks["Engine"] == "ok"
    with (home / "secret" / "key").open() as key:
        os.fchmod(key.fileno(), 0o644)
    open_key = parlance(home, "doctor")
    assert (open_key.returncode, "chmod 600" in open_key.stdout) == (1, True)


def test_a_wrong_setting_is_named(home: Path) -> None:
    home.mkdir()
    (home / "parlance.toml").write_text("temperature = 'hot'\n")
    _refused(parlance(home, "assistant", "list"), "temperature")
