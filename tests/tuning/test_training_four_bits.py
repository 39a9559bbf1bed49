"""Where memory has no room for the base as it is, it is learnt on in 4 bits, and measured as it will be served."""

from __future__ import annotations

import shutil
from pathlib import Path
from types import SimpleNamespace

import pytest
import torch
from peft import PeftModel
from pydantic import ValidationError
from safetensors.torch import load_file
from small_training import new_run
from transformers import LlamaForCausalLM

from config.errors import BadInput, JobFailed
from tuning.training import four_bits, lora
from tuning.training.loop import Training
from tuning.training.run import RunFolder, TrainingRun


@pytest.fixture(scope="module")
def learnt(tmp_path_factory: pytest.TempPathFactory, base: Path) -> RunFolder:
    """A run on a base in 4 bits, finished."""
    folder, run = new_run(tmp_path_factory.mktemp("four") / "run", base, four_bits=True, rank=32)
    Training(folder, run, lambda: False).go()
    return folder


def scored(model: PeftModel, ids: list[int]) -> list[float]:
    with torch.no_grad():
        logprobs = torch.log_softmax(model(input_ids=torch.tensor([ids])).logits[0], dim=-1)
    return [float(logprobs[at, token]) for at, token in enumerate(ids[1:])]


def test_it_learns_in_every_layer_and_says_on_what(learnt: RunFolder) -> None:
    result = learnt.read_result()
    assert result is not None
    assert result.held_out < 0.99 * result.held_out_base
    assert result.four_bits
    assert "bitsandbytes" in result.versions
    weights = load_file(learnt.adapter / "adapter_model.safetensors")
    ups = [weight for name, weight in weights.items() if "lora_B" in name]
    assert len(ups) == 4 * 7
    # Each was measured before the first step: what held it must not keep gradients back afterwards.
    assert all(weight.abs().max() > 0 for weight in ups)


def test_parity_is_computed_on_the_base_as_it_is_served(learnt: RunFolder, base: Path) -> None:
    served = PeftModel.from_pretrained(LlamaForCausalLM.from_pretrained(base), str(learnt.adapter)).eval()
    held = lora.load_adapter(four_bits.load(TrainingRun(model=str(base), four_bits=True)), learnt.adapter)
    rows = learnt.read_parity().rows
    assert len(rows) >= 4
    apart = 0.0
    for row in rows[:4]:
        told = [value for value in row.logprobs if value is not None]
        assert told == pytest.approx(scored(served, row.ids), abs=1e-4)
        apart += sum(abs(a - b) for a, b in zip(told, scored(held, row.ids), strict=True))
    assert apart > 0.1  # and it is not what the base in 4 bits would have said


def test_two_runs_give_the_same_adapter_byte_for_byte(learnt: RunFolder, tmp_path: Path, base: Path) -> None:
    folder, run = new_run(tmp_path, base, four_bits=True, rank=32)
    Training(folder, run, lambda: False).go()
    for name in ("adapter_model.safetensors", "adapter_config.json"):
        assert (folder.adapter / name).read_bytes() == (learnt.adapter / name).read_bytes()


def test_the_untouched_model_is_there_while_the_adapter_learns(base: Path) -> None:
    run = TrainingRun(model=str(base), four_bits=True, dropout=0.0)
    held = four_bits.load(run)
    ids = torch.tensor([[5, 6, 7, 8, 9]])
    with torch.no_grad():
        before = held(input_ids=ids).logits
        model = lora.attach(held, run)
        for parameter in lora.trained(model).values():
            parameter.add_(0.1)
        assert not torch.equal(model(input_ids=ids).logits, before)
        with lora.untouched(model):
            assert torch.equal(model(input_ids=ids).logits, before)


def test_four_bits_take_a_fraction_of_the_layers_memory_and_leave_the_rest_as_it_is(base: Path) -> None:
    held, whole = four_bits.load(TrainingRun(model=str(base), four_bits=True)), LlamaForCausalLM.from_pretrained(base)
    taken, given = (sum(p.nbytes for p in model.model.layers.parameters()) for model in (held, whole))
    assert taken < 0.2 * given
    for name, parameter in whole.named_parameters():
        if "proj" not in name:
            assert torch.equal(held.get_parameter(name), parameter), name


@pytest.mark.parametrize("method", ["partial", "full"])
def test_weights_themselves_cannot_be_trained_in_4_bits(base: Path, method: str) -> None:
    with pytest.raises(ValidationError, match="choose the method lora"):
        TrainingRun.model_validate({"model": str(base), "four_bits": True, "method": method})


def test_memory_too_short_for_the_base_may_do_for_it_in_4_bits(base: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    size = sum(parameter.nbytes for parameter in LlamaForCausalLM.from_pretrained(base).parameters())
    memory = SimpleNamespace(available=int(size * 0.6))
    monkeypatch.setattr("tuning.training.lora.psutil.virtual_memory", lambda: memory)
    with pytest.raises(JobFailed, match="free memory"):
        lora.load_base(TrainingRun(model=str(base)))
    assert lora.load_base(TrainingRun(model=str(base), four_bits=True)).is_quantized


def test_a_model_whose_files_are_laid_out_otherwise_is_refused_before_anything_is_learnt(
    base: Path, tmp_path: Path
) -> None:
    other = tmp_path / "other"
    shutil.copytree(base, other)
    torch.save(load_file(other / "model.safetensors"), other / "pytorch_model.bin")
    (other / "model.safetensors").unlink()
    assert lora.load_base(TrainingRun(model=str(other))).num_parameters() > 0
    with pytest.raises(BadInput, match="cannot be learnt on in 4 bits"):
        lora.load_base(TrainingRun(model=str(other), four_bits=True))


def test_computing_activations_again_gives_the_same_gradients(base: Path) -> None:
    gradients = []
    for again in (False, True):
        run = TrainingRun(model=str(base), four_bits=True, dropout=0.0, gradient_checkpointing=again)
        model = lora.attach(four_bits.load(run), run).train()
        ids = torch.tensor([[5, 6, 7, 8, 9, 10]])
        model(input_ids=ids, labels=ids).loss.backward()
        gradients.append({name: parameter.grad for name, parameter in lora.trained(model).items()})
    kept, computed = gradients
    assert len(kept) == 4 * 7 * 2
    for name, gradient in kept.items():
        torch.testing.assert_close(computed[name], gradient, msg=name)
