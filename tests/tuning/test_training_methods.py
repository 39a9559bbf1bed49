"""Partial and full tuning become adapters; a step that memory is too small for is taken in parts."""

from __future__ import annotations

import copy
import errno
from pathlib import Path
from typing import Any

import pytest
import torch
from peft import PeftModel
from small_training import new_run, small_llama
from transformers import LlamaConfig, LlamaForCausalLM

from tuning.training import loop
from tuning.training.__main__ import sentence_for
from tuning.training.batches import Batch, parts
from tuning.training.loop import Training
from tuning.training.losses import summed_loss
from tuning.training.memory import activation_bytes, fits_without_saving
from tuning.training.run import RunFolder, TrainingRun
from tuning.training.whole import Whole, truncated


@pytest.mark.parametrize("method", ["partial", "full"])
def test_what_is_learnt_in_the_weights_becomes_an_adapter_that_learnt_it_too(
    tmp_path: Path, base: Path, method: str
) -> None:
    folder, run = new_run(tmp_path / method, base, method=method, rank=32)
    result = Training(folder, run, lambda: False).go()
    assert result.kept == pytest.approx(1.0, abs=1e-4)  # no matrix here has a larger rank
    assert result.held_out < 0.99 * result.held_out_base
    model = PeftModel.from_pretrained(LlamaForCausalLM.from_pretrained(base), str(folder.adapter)).eval()
    layers = {
        int(name.split("layers.")[1].split(".")[0]) for name, _ in model.named_modules() if "lora_A.default" in name
    }
    assert layers == ({3} if method == "partial" else {0, 1, 2, 3})
    for row in folder.read_parity().rows[:4]:
        with torch.no_grad():
            logprobs = torch.log_softmax(model(input_ids=torch.tensor([row.ids])).logits[0], dim=-1)
        told = [value for value in row.logprobs if value is not None]
        assert told == pytest.approx([float(logprobs[at, token]) for at, token in enumerate(row.ids[1:])], abs=1e-3)


@pytest.mark.parametrize("method", ["partial", "full"])
def test_two_runs_in_the_weights_give_the_same_adapter_byte_for_byte(tmp_path: Path, base: Path, method: str) -> None:
    made = []
    for name in ("one", "other"):
        folder, run = new_run(tmp_path / name, base, method=method, epochs=1, own_share=0.05, dropout=0.05)
        Training(folder, run, lambda: False).go()
        made.append(
            [(folder.adapter / f"adapter_{file}").read_bytes() for file in ("model.safetensors", "config.json")]
        )
    assert made[0] == made[1]


def test_a_small_rank_keeps_a_part_of_the_change_and_says_how_large(tmp_path: Path, base: Path) -> None:
    folder, run = new_run(tmp_path, base, method="full", rank=2)
    result = Training(folder, run, lambda: False).go()
    assert result.kept is not None and 0.05 < result.kept < 0.99


def test_the_untouched_model_is_there_while_its_weights_are_trained(base: Path) -> None:
    model = small_llama()
    before = copy.deepcopy(model.state_dict())
    tuned = Whole(model, TrainingRun(model=str(base), method="full"))
    with torch.no_grad():
        for parameter in tuned.trained().values():
            parameter.add_(1.0)
    assert not any(name.startswith("lm_head") for name in tuned.trained())
    with tuned.untouched():
        assert all(torch.equal(model.state_dict()[name], weight) for name, weight in before.items())
    name = next(iter(tuned.trained()))
    assert torch.equal(model.state_dict()[name], before[name] + 1.0)


def test_steps_too_small_for_a_bfloat16_weight_add_up_all_the_same(base: Path) -> None:
    model = small_llama().to(torch.bfloat16)
    before = copy.deepcopy(model.state_dict())
    tuned = Whole(model, TrainingRun(model=str(base), method="full", dtype="bfloat16"))
    ids = torch.tensor([[5, 6, 7, 8]])
    model(input_ids=ids).logits.float().sum().backward()
    assert all(p.grad is not None and p.grad.dtype is torch.float32 for p in tuned.trained().values())
    with torch.no_grad():
        for parameter in tuned.trained().values():
            for _ in range(64):
                parameter.add_(parameter.abs().mean() * 2**-12)
    learnt = model(input_ids=ids).logits
    with tuned.untouched():
        untouched = model(input_ids=ids).logits
    assert not torch.equal(learnt, untouched)
    name, parameter = next(iter(tuned.trained().items()))
    assert (parameter.detach() - before[name].float()).abs().mean() > parameter.abs().mean() / 80


def test_a_bfloat16_model_gets_its_own_weights_back_with_the_adapter(tmp_path: Path, base: Path) -> None:
    model = small_llama().to(torch.bfloat16)
    before = copy.deepcopy(model.state_dict())
    tuned = Whole(model, TrainingRun(model=str(base), method="full", dtype="bfloat16", rank=32))
    with torch.no_grad():
        for parameter in tuned.trained().values():
            parameter.add_(0.01)
    again = tuned.finish(tmp_path)
    held = {name.replace(".base_layer", ""): value for name, value in again.get_base_model().state_dict().items()}
    assert all(torch.equal(held[name], weight) and held[name].dtype is weight.dtype for name, weight in before.items())
    assert tuned.kept == pytest.approx(1.0, abs=1e-3)


def test_truncation_is_the_closest_of_its_rank() -> None:
    torch.manual_seed(3)
    change = torch.randn(40, 24) @ torch.diag(torch.logspace(0, -3, 24))
    sizes = torch.linalg.svdvals(change)
    for rank in (1, 5, 24, 64):
        up, down = truncated(change, rank)
        assert up.shape == (40, rank) and down.shape == (rank, 24)
        assert (change - up @ down).norm().item() == pytest.approx(sizes[rank:].norm().item(), abs=1e-4)


def test_large_matrices_come_close_to_the_exact_truncation(monkeypatch: pytest.MonkeyPatch) -> None:
    torch.manual_seed(3)
    change = torch.randn(300, 200) @ torch.diag(torch.logspace(0, -2, 200)) @ torch.randn(200, 250)
    exact = truncated(change, 16)
    monkeypatch.setattr("tuning.training.whole.EXACT", 100)
    quick = truncated(change, 16)
    errors = [(change - up @ down).norm().item() for up, down in (exact, quick)]
    assert errors[1] <= errors[0] * 1.01


def test_a_step_that_does_not_fit_is_taken_in_parts_and_learns_the_same(
    tmp_path: Path, base: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    ends = {}
    for name in ("roomy", "short"):
        if name == "short":
            monkeypatch.setattr(loop, "summed_loss", _short_of_memory)
        folder, run = new_run(tmp_path / name, base, replay_share=0.0, own_share=0.0, epochs=1)
        Training(folder, run, lambda: False).go()
        ends[name] = _weights(folder)
    assert "taken in 4 parts" in capsys.readouterr().err
    for key, weight in ends["roomy"].items():
        assert torch.allclose(weight, ends["short"][key], atol=1e-5), key


def _weights(folder: RunFolder) -> dict[str, torch.Tensor]:
    from safetensors.torch import load_file

    return load_file(folder.adapter / "adapter_model.safetensors")


def _short_of_memory(model: Any, batch: Batch) -> torch.Tensor:
    if batch.inputs.shape[0] > 3:
        raise torch.OutOfMemoryError("CUDA out of memory.")
    return summed_loss(model, batch)


def test_where_not_even_one_conversation_fits_the_run_fails(
    tmp_path: Path, base: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def never(model: Any, batch: Batch) -> torch.Tensor:
        raise RuntimeError("[enforce fail] DefaultCPUAllocator: can't allocate memory: you tried to allocate 1 bytes.")

    monkeypatch.setattr(loop, "summed_loss", never)
    folder, run = new_run(tmp_path, base)
    with pytest.raises(RuntimeError, match="allocate memory"):
        Training(folder, run, lambda: False).go()


def test_parts_hold_every_place_once_in_order() -> None:
    for count in range(1, 9):
        found = parts(list(range(5)), count)
        assert [place for part in found for place in part] == [0, 1, 2, 3, 4]
        assert len(found) <= count and all(found)
    assert parts([], 4) == []


def test_a_large_card_need_not_compute_an_8b_models_activations_again_and_a_small_one_must() -> None:
    config = LlamaConfig(hidden_size=4096, intermediate_size=12288, num_hidden_layers=36)
    needed = activation_bytes(config, 2048)
    assert 10 << 30 < needed < 40 << 30
    assert not fits_without_saving(small_llama(), 16)  # a processor always does


def test_a_full_disk_is_said_to_be_full() -> None:
    assert "disk is full" in sentence_for(OSError(errno.ENOSPC, "No space left on device"))
