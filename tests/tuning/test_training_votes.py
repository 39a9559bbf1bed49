"""Votes are learnt from after the conversations: good answers become likelier than bad ones, at a small price."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import torch
from small_training import new_run
from transformers import LlamaForCausalLM

from serving.prompt import ChatTokenizer
from tuning.exchanges import exchange
from tuning.training import kto, lora
from tuning.training.batches import Row, row_of
from tuning.training.kto import Voted, logprobs, loss, mismatched
from tuning.training.loop import Training
from tuning.training.outcome import TrainingResult
from tuning.training.run import FEWEST_VOTES, RunFolder

GOOD, BAD = "Gladly, come aboard.", "No idea, go away."
CPU = torch.device("cpu")


def write_votes(folder: RunFolder, count: int) -> None:
    lines = []
    for number in range(count):
        said = GOOD if number % 2 else BAD
        turns = [{"role": "user", "content": f"May I come on boat {number}?"}, {"role": "assistant", "content": said}]
        lines.append(json.dumps({"messages": turns, "learn_from": 0, "good": said == GOOD}))
    folder.votes.write_text("\n".join(lines))


def trained(place: Path, model: Path, votes: int, **settings: Any) -> tuple[RunFolder, TrainingResult]:
    folder, run = new_run(place, model, epochs=1, **settings)
    if votes:
        write_votes(folder, votes)
    return folder, Training(folder, run, lambda: False).go()


def margin(model: Path, folder: RunFolder) -> float:
    """By how many nats the tuned model finds the good answer likelier than the bad one."""
    tokenizer = ChatTokenizer(str(model))
    tuned = lora.load_adapter(LlamaForCausalLM.from_pretrained(model), folder.adapter)
    rows = []
    for said in (GOOD, BAD):
        turns: Any = [{"role": "user", "content": "May I come on boat 7?"}, {"role": "assistant", "content": said}]
        row = row_of(exchange(turns, 0, tokenizer, "", 512), 512)
        assert row is not None
        rows.append(row)
    with torch.no_grad():
        good, bad = logprobs(tuned, rows, CPU).tolist()
    return float(good - bad)


def test_good_answers_become_likelier_than_bad_ones(tmp_path: Path, base: Path) -> None:
    plain, without = trained(tmp_path / "plain", base, 0)
    voted, result = trained(tmp_path / "voted", base, 80)
    assert (without.votes, without.votes_kept) == (0, None)
    assert (result.votes, result.votes_kept) == (80, True)
    assert margin(base, voted) > margin(base, plain) + 0.5
    assert result.held_out <= without.held_out * 1.01


def test_two_runs_with_votes_give_the_same_adapter_and_no_other_votes_share_their_digest(
    tmp_path: Path, base: Path
) -> None:
    made, results = [], []
    for name in ("one", "other", "turned"):
        folder, run = new_run(tmp_path / name, base, epochs=1, own_share=0.05, dropout=0.05)
        write_votes(folder, 60)
        if name == "turned":  # one answer is liked that was not
            folder.votes.write_text(folder.votes.read_text().replace('"good": false', '"good": true', 1))
        results.append(Training(folder, run, lambda: False).go())
        assert results[-1].votes_kept
        made.append(
            [(folder.adapter / f"adapter_{file}").read_bytes() for file in ("model.safetensors", "config.json")]
        )
    assert made[0] == made[1] != made[2]
    assert results[0].data_digest == results[1].data_digest != results[2].data_digest


def test_fewer_than_fifty_votes_change_nothing(tmp_path: Path, base: Path) -> None:
    weights = []
    for name, votes in (("none", 0), ("few", FEWEST_VOTES - 1)):
        folder, result = trained(tmp_path / name, base, votes)
        assert (result.votes, result.votes_kept) == (votes, None)
        weights.append((folder.adapter / "adapter_model.safetensors").read_bytes())
    assert weights[0] == weights[1]


def test_votes_that_cost_what_was_learnt_are_left_out_and_that_is_said(
    tmp_path: Path,
    base: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    plain, _ = trained(tmp_path / "plain", base, 0)
    monkeypatch.setattr(kto, "RATE", 50.0)
    folder, result = trained(tmp_path / "wild", base, 80)
    assert (result.votes, result.votes_kept) == (80, False)
    assert (folder.adapter / "adapter_model.safetensors").read_bytes() == (
        plain.adapter / "adapter_model.safetensors"
    ).read_bytes()


def test_the_loss_asks_for_good_above_the_drift_and_bad_below_it() -> None:
    good = torch.tensor([True, False])
    drift = torch.tensor(2.0)
    level = loss(torch.tensor([2.0, 2.0]), drift, good, (1.0, 1.0)).item()
    assert level == pytest.approx(0.5)
    assert loss(torch.tensor([9.0, -5.0]), drift, good, (1.0, 1.0)).item() < level
    assert loss(torch.tensor([-5.0, 9.0]), drift, good, (1.0, 1.0)).item() > level
    assert loss(torch.tensor([2.0, 2.0]), drift, good, (3.0, 1.0)).item() == pytest.approx(1.0)


def test_a_mismatched_row_is_one_question_with_the_next_ones_answer() -> None:
    voted = [Voted(Row([1, 2, 3, 4], [2, 3]), True), Voted(Row([5, 6, 7], [2]), False)]
    assert [(row.ids, row.learnt) for row in mismatched(voted)] == [([1, 2, 7], [2]), ([5, 6, 3, 4], [2, 3])]
