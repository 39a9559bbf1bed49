"""Checkpoints: two are kept, a damaged one is passed over, another run's is never used."""

from __future__ import annotations

from pathlib import Path

import pytest

from tuning.training.checkpoint import load, save


def test_only_the_last_two_are_kept_and_the_newest_is_loaded(tmp_path: Path) -> None:
    for step in (1, 2, 30):
        save(tmp_path, step, {"fingerprint": "a", "step": step})
    assert len(list(tmp_path.iterdir())) == 2
    assert (load(tmp_path, "a") or {})["step"] == 30


@pytest.mark.parametrize("harm", ["cut", "altered", "emptied"])
def test_a_damaged_checkpoint_is_passed_over_for_the_one_before(tmp_path: Path, harm: str) -> None:
    for step in (1, 2):
        save(tmp_path, step, {"fingerprint": "a", "step": step})
    newest = max(tmp_path.iterdir())
    content = bytearray(newest.read_bytes())
    content[len(content) // 2] ^= 1
    newest.write_bytes({"cut": bytes(content[:-100]), "altered": bytes(content), "emptied": b""}[harm])
    notes: list[str] = []
    assert (load(tmp_path, "a", notes.append) or {})["step"] == 1
    assert len(notes) == 1 and "damaged, so it went on from what was saved before" in notes[0]


def test_where_only_a_damaged_checkpoint_is_left_it_begins_again_and_that_is_told(tmp_path: Path) -> None:
    save(tmp_path, 1, {"fingerprint": "a", "step": 1})
    next(tmp_path.iterdir()).write_bytes(b"")
    notes: list[str] = []
    assert load(tmp_path, "a", notes.append) is None
    assert notes == ["What was saved of the learning was damaged, so it began again."]


def test_a_checkpoint_of_other_settings_or_data_is_not_used(tmp_path: Path) -> None:
    for step in (7, 8):
        save(tmp_path, step, {"fingerprint": "a", "step": step})
    assert load(tmp_path, "b") is None
    save(tmp_path, 1, {"fingerprint": "b", "step": 1})
    assert (load(tmp_path, "b") or {})["step"] == 1


def test_without_a_checkpoint_there_is_none(tmp_path: Path) -> None:
    assert load(tmp_path / "nothing", "a") is None
