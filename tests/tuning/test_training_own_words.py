"""Texts that the untouched model writes, by which it is held to itself while it is tuned."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch

from serving.prompt import ChatTokenizer
from tuning.training import lora
from tuning.training.own_words import LENGTH, opening, own_words
from tuning.training.run import TrainingRun

MODEL = str(Path(__file__).resolve().parents[2] / "demo" / "model")


@pytest.fixture(scope="module")
def tokenizer() -> ChatTokenizer:
    return ChatTokenizer(MODEL)


@pytest.fixture(scope="module")
def model() -> Any:
    return lora.load_base(TrainingRun(model=MODEL))


def drawn(model: Any, tokenizer: ChatTokenizer, texts: int, seed: int = 0, context: int = 1024) -> list[list[int]]:
    rows = own_words(model, tokenizer, texts, context, seed, lambda: None)
    head = len(opening(tokenizer))
    assert all(row.learnt == list(range(head, len(row.ids))) for row in rows)
    return [row.ids for row in rows]


def test_a_text_begins_where_the_template_lets_a_person_begin(tokenizer: ChatTokenizer) -> None:
    head = opening(tokenizer)
    said = [tokenizer.render([{"role": "user", "content": text}]).ids for text in ("hello", "Boats?", "7 pm, please")]
    assert head
    assert all(ids[: len(head)] == head for ids in said)
    assert len({ids[len(head)] for ids in said}) == 3


def test_the_same_seed_draws_the_same_texts_and_another_others(model: Any, tokenizer: ChatTokenizer) -> None:
    torch.manual_seed(1)
    first, state = drawn(model, tokenizer, 3), torch.get_rng_state()
    torch.manual_seed(2)
    assert drawn(model, tokenizer, 3) == first != drawn(model, tokenizer, 3, seed=1)
    torch.manual_seed(1)
    assert torch.equal(state, torch.get_rng_state())  # whoever draws besides is not disturbed


def test_all_texts_asked_for_come_and_fit_the_context(model: Any, tokenizer: ChatTokenizer) -> None:
    assert [len(ids) for ids in drawn(model, tokenizer, 33, context=24)] == [24] * 33
    assert len(drawn(model, tokenizer, 1)[0]) == LENGTH + len(opening(tokenizer))
    assert drawn(model, tokenizer, 0) == []


def test_texts_are_drawn_from_the_models_own_distribution(model: Any, tokenizer: ChatTokenizer) -> None:
    """Over what a model draws from itself, its surprise is its uncertainty: colder or cut draws would surprise less."""
    ids, head = torch.tensor(drawn(model, tokenizer, 32, context=100)), len(opening(tokenizer))
    with torch.no_grad():
        logprobs = torch.log_softmax(model(ids).logits[:, head - 1 : -1], dim=-1)
    surprise = -logprobs.gather(2, ids[:, head:, None]).mean()
    uncertainty = -(logprobs.exp() * logprobs).sum(-1).mean()
    assert float(surprise) == pytest.approx(float(uncertainty), rel=0.06)
