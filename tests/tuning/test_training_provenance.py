"""A version says what it was made with: every setting, all the code and weights that decide what is learnt."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest
from small_training import new_run

from tuning.training.loop import Training
from tuning.training.provenance import ROOT, code_digest
from tuning.training.run import RunFolder, TrainingRun


@pytest.fixture
def copied(tmp_path: Path) -> Path:
    """What is digested, in another place."""
    shutil.copytree(ROOT / "tuning", tmp_path / "tuning", ignore=shutil.ignore_patterns("__pycache__"))
    (tmp_path / "serving").mkdir()
    for name in ("control_tokens.py", "prompt.py"):
        shutil.copy(ROOT / "serving" / name, tmp_path / "serving")
    return tmp_path


@pytest.mark.parametrize(
    "file",
    ["tuning/curation.py", "tuning/training/kto.py", "tuning/disentangle/weights.safetensors", "serving/prompt.py"],
)
def test_whatever_decides_what_is_learnt_changes_the_digest_of_the_code(copied: Path, file: str) -> None:
    assert code_digest(copied) == code_digest()
    (copied / file).write_bytes((copied / file).read_bytes() + b"\n")
    assert code_digest(copied) != code_digest()


def test_a_result_holds_every_setting_and_of_the_system_prompt_a_digest(tmp_path: Path, base: Path) -> None:
    folder, run = new_run(
        tmp_path, base, epochs=1, own_share=0.0, replay_share=0.03, kl_weight=0.7, dropout=0.02, system_prompt="Psst."
    )
    told = Training(folder, run, lambda: False).go().run
    assert set(told) == set(TrainingRun.model_fields) - {"system_prompt"} | {"system_prompt_digest"}
    assert all(told[name] == value for name, value in run if name != "system_prompt")
    assert "Psst" not in RunFolder(tmp_path).result.read_text()
