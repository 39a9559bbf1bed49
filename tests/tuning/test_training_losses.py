"""The losses: equal to a plain forward pass over everything, whatever is left out on the way."""

from __future__ import annotations

from contextlib import AbstractContextManager

import pytest
import torch
from peft import LoraConfig, PeftModel, get_peft_model
from transformers import LlamaConfig, LlamaForCausalLM

from tuning.training import losses
from tuning.training.batches import Row, collate
from tuning.training.lora import untouched
from tuning.training.losses import Replay, ReplayLoss, mean_loss, summed_loss

ROWS = [Row([5, 6, 7, 8, 9, 10, 11], [2, 3, 6]), Row([12, 13, 14], [1, 2]), Row([20, 21, 22, 23], [3])]


@pytest.fixture
def model() -> PeftModel:
    torch.manual_seed(0)
    shape = LlamaConfig(
        vocab_size=64, hidden_size=32, intermediate_size=48, num_hidden_layers=2, num_attention_heads=2,
        num_key_value_heads=1, tie_word_embeddings=True,
    )  # fmt: skip
    tuned = get_peft_model(LlamaForCausalLM(shape), LoraConfig(r=4, target_modules="all-linear", task_type="CAUSAL_LM"))
    for name, parameter in tuned.named_parameters():
        if "lora_B" in name:
            torch.nn.init.normal_(parameter, std=0.2)
    return tuned.eval()


@torch.no_grad()
def plain(model: PeftModel, row: Row) -> torch.Tensor:
    """Log-probabilities over the vocabulary at a row's learnt places, by the plainest way: (learnt, vocabulary)."""
    logits = model(input_ids=torch.tensor([row.ids])).logits[0].float()
    return torch.log_softmax(logits[[place - 1 for place in row.learnt]], dim=-1)


def expected(model: PeftModel) -> float:
    pairs = [(plain(model, row), [row.ids[place] for place in row.learnt]) for row in ROWS]
    return -sum(float(logprobs[n, target]) for logprobs, targets in pairs for n, target in enumerate(targets))


def test_the_summed_loss_of_a_padded_batch_is_that_of_its_rows_alone(model: PeftModel) -> None:
    assert summed_loss(model, collate(ROWS)).item() == pytest.approx(expected(model), rel=1e-5)


def test_the_mean_is_over_learnt_tokens_and_not_over_batches(model: PeftModel) -> None:
    batches = [collate(ROWS[:1]), collate(ROWS[1:])]
    assert mean_loss(model, batches, lambda: None) == pytest.approx(expected(model) / 6, rel=1e-5)


def test_the_head_sees_learnt_positions_alone(model: PeftModel) -> None:
    seen: list[int] = []
    hook = model.get_output_embeddings().register_forward_hook(lambda _, given, __: seen.append(given[0].shape[-2]))
    summed_loss(model, collate(ROWS))
    hook.remove()
    assert seen == [6]


@pytest.mark.parametrize("cache", [0, losses.CACHE_BYTES])
def test_kl_is_from_the_untouched_model_with_and_without_the_cache(
    model: PeftModel, cache: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    def without() -> AbstractContextManager[None]:
        return untouched(model)

    monkeypatch.setattr(losses, "CACHE_BYTES", cache)
    there = Replay(model, ROWS, [], without, torch.device("cpu"), 16).loss([2, 0])
    wanted = 0.0
    for row in (ROWS[2], ROWS[0]):
        student = plain(model, row)
        with untouched(model):
            teacher = plain(model, row)
        wanted += float((teacher.exp() * (teacher - student)).sum())
    assert there.kl.item() == pytest.approx(wanted, rel=1e-4)
    assert wanted > 0.01
    with untouched(model):
        assert Replay(model, ROWS, [], without, torch.device("cpu"), 16).loss([1]).kl.item() == pytest.approx(
            0, abs=1e-5
        )


def test_what_the_model_wrote_itself_is_held_and_not_taught(model: PeftModel) -> None:
    def without() -> AbstractContextManager[None]:
        return untouched(model)

    def loss(taught: list[Row], own: list[Row], places: list[int]) -> ReplayLoss:
        return Replay(model, taught, own, without, torch.device("cpu"), 16).loss(places)

    alone, both = loss([ROWS[0]], [], [0]), loss([ROWS[0]], [ROWS[2]], [0, 1])
    assert both.cross_entropy.item() == pytest.approx(alone.cross_entropy.item(), rel=1e-4)
    assert both.kl.item() > 1.01 * alone.kl.item()
    assert loss([], [ROWS[2]], [0]).cross_entropy.item() == 0
