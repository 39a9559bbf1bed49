"""The fused layers: what PEFT computes, in less time, and nothing left behind when PEFT has them back."""

from __future__ import annotations

import pytest
import torch
from peft import LoraConfig, PeftModel, get_peft_model
from transformers import LlamaConfig, LlamaForCausalLM

from tuning.training.fused import fuse, part
from tuning.training.lora import trained, untouched

IDS = torch.tensor([[5, 6, 7, 8, 9, 10, 11, 12], [13, 14, 15, 16, 17, 18, 19, 20]])


def tuned(dropout: float = 0.0, *, exact: bool = True) -> PeftModel:
    torch.manual_seed(0)
    shape = LlamaConfig(
        vocab_size=64, hidden_size=32, intermediate_size=48, num_hidden_layers=2, num_attention_heads=2,
        num_key_value_heads=1, tie_word_embeddings=True, attention_bias=True,
    )  # fmt: skip
    base = LlamaForCausalLM(shape)
    for name, parameter in base.named_parameters():
        if "bias" in name:
            torch.nn.init.normal_(parameter, std=0.1)
    if exact:
        base = base.to(torch.bfloat16).float()
    config = LoraConfig(
        r=4, lora_alpha=4, use_rslora=True, lora_dropout=dropout, target_modules="all-linear", task_type="CAUSAL_LM"
    )
    model = get_peft_model(base, config)
    for name, parameter in model.named_parameters():
        if "lora_B" in name:
            torch.nn.init.normal_(parameter, std=0.2)
    return model.train()


def outcome(model: PeftModel) -> tuple[torch.Tensor, dict[str, torch.Tensor]]:
    """Logits, and each adapter weight's gradient of a loss."""
    model.zero_grad()
    logits = model(input_ids=IDS, use_cache=False).logits
    torch.nn.functional.cross_entropy(logits.flatten(0, 1), IDS.flatten()).backward()
    return logits.detach(), {name: p.grad.clone() for name, p in trained(model).items() if p.grad is not None}


def test_outputs_and_gradients_are_those_of_peft() -> None:
    model = tuned()
    logits, grads = outcome(model)
    assert fuse(model, bfloat16=False) == 14
    fused_logits, fused_grads = outcome(model)
    torch.testing.assert_close(fused_logits, logits, rtol=1e-4, atol=1e-5)
    assert len(grads) == 28
    for name, grad in grads.items():
        torch.testing.assert_close(fused_grads[name], grad, rtol=1e-3, atol=1e-6)


def test_products_in_bfloat16_stay_within_its_rounding_and_keep_the_direction_of_gradients() -> None:
    model = tuned()
    logits, grads = outcome(model)
    fuse(model, bfloat16=True)
    fused_logits, fused_grads = outcome(model)
    assert not torch.equal(fused_logits, logits)
    torch.testing.assert_close(fused_logits, logits, rtol=0.05, atol=0.02)
    for name, grad in grads.items():
        assert torch.cosine_similarity(fused_grads[name].flatten(), grad.flatten(), dim=0) > 0.999


def test_weights_that_are_not_bfloat16_numbers_are_not_rounded() -> None:
    model = tuned(exact=False)
    logits, _ = outcome(model)
    fuse(model, bfloat16=True)
    torch.testing.assert_close(outcome(model)[0], logits, rtol=1e-4, atol=1e-5)


def test_without_its_adapter_the_model_is_the_untouched_one() -> None:
    model = tuned(0.5)
    with untouched(model), torch.no_grad():
        before = model(input_ids=IDS).logits
        fuse(model, bfloat16=False)
        torch.testing.assert_close(model(input_ids=IDS).logits, before, rtol=1e-4, atol=1e-5)


def test_what_is_dropped_is_the_given_share_and_the_mean_stays() -> None:
    layer = torch.nn.Sequential(torch.nn.Linear(400, 400, bias=False))
    torch.nn.init.zeros_(layer[0].weight)
    model = get_peft_model(layer, LoraConfig(r=400, lora_alpha=400, lora_dropout=0.25, target_modules=["0"]))
    with torch.no_grad():
        for parameter in model.parameters():
            if parameter.requires_grad:
                parameter.copy_(torch.eye(400))
    for bfloat16 in (False, True):
        fuse(model, bfloat16=bfloat16)
        made = model.train()(torch.ones(500, 400))
        assert (made == 0).float().mean().item() == pytest.approx(0.25, abs=0.01)
        assert made.mean().item() == pytest.approx(1, abs=0.01)
        assert torch.equal(model.eval()(torch.ones(2, 400)), torch.ones(2, 400))


def test_gradients_with_dropout_are_those_of_what_was_kept() -> None:
    model = tuned(0.25)
    fuse(model, bfloat16=False)
    torch.manual_seed(4)
    before, grads = outcome(model)
    name, parameter = next((n, p) for n, p in trained(model).items() if "layers.1.mlp.up_proj.lora_A" in n)
    step = 1e-2 * grads[name] / grads[name].norm()
    losses = []
    for sign in (1, -1):
        with torch.no_grad():
            parameter.add_(sign * step)
        torch.manual_seed(4)
        logits = outcome(model)[0]
        losses.append(torch.nn.functional.cross_entropy(logits.flatten(0, 1).double(), IDS.flatten()).item())
        with torch.no_grad():
            parameter.sub_(sign * step)
    assert (losses[0] - losses[1]) / 2e-2 == pytest.approx(grads[name].norm().item(), rel=0.05)
    assert before.shape == (2, 8, 64)


def test_peft_has_its_layers_back_after_parting() -> None:
    model = tuned()
    logits, _ = outcome(model)
    fuse(model, bfloat16=True)
    part(model)
    assert torch.equal(outcome(model)[0], logits)


def halved(dropout: float = 0.0) -> PeftModel:
    """As on a card: the model in bfloat16, its adapter in float32."""
    model = tuned(dropout)
    for name, parameter in model.named_parameters():
        if "lora_" not in name:
            parameter.data = parameter.data.to(torch.bfloat16)
    return model


def test_a_bfloat16_models_layers_are_taken_over_within_its_rounding() -> None:
    model = halved()
    logits, grads = outcome(model)
    assert fuse(model, bfloat16=False) == 14
    fused_logits, fused_grads = outcome(model)
    assert fused_logits.dtype is torch.bfloat16
    torch.testing.assert_close(fused_logits, logits, rtol=0.05, atol=0.05)
    for name, grad in grads.items():
        assert fused_grads[name].dtype is torch.float32
        assert torch.cosine_similarity(fused_grads[name].flatten(), grad.flatten(), dim=0) > 0.98, name


def test_a_bfloat16_models_dropout_drops_its_share_and_keeps_the_mean() -> None:
    from tuning.training.fused import _keep_marks, _kept

    torch.manual_seed(1)
    x = torch.ones(400, 333, dtype=torch.bfloat16)
    keep = _keep_marks(x, 64)
    assert keep.float().mean().item() == pytest.approx(0.75, abs=0.01)
    assert torch.equal(_kept(x, keep), keep.to(torch.bfloat16))
    model = halved(0.25)
    fuse(model, bfloat16=False)
    assert not torch.equal(outcome(model)[0], outcome(model)[0])
    model.eval()
    assert torch.equal(outcome(model)[0], outcome(model)[0])


def test_an_untouched_bfloat16_model_speaks_as_it_was() -> None:
    model = halved()
    with untouched(model), torch.no_grad():
        before = model(input_ids=IDS, use_cache=False).logits
        fuse(model, bfloat16=False)
        assert torch.equal(model(input_ids=IDS, use_cache=False).logits, before)
