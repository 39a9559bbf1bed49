"""What the untouched model says by itself: text it draws before it is tuned, on which it is later held to itself.

A divergence over a model's own samples is one from the model's own distribution, so that what nobody wrote down of its
abilities is held too; the shipped exchanges can only hold what they speak of. The model writes both sides of a
conversation from the beginning of its chat template on, at temperature 1, with nothing cut from the vocabulary.
Promises the same text for the same model, seed and number of parts on one machine.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch

from config.errors import BadInput
from serving.prompt import ChatTokenizer
from tuning.training.batches import Row

OWN_TEXTS, LENGTH = 192, 128
"""How many texts are drawn at most, and of how many tokens."""
AT_ONCE = 32
"""Texts of a batch."""
PROBE = "hello"


def own_words(
    model: Any, tokenizer: ChatTokenizer, texts: int, context: int, seed: int, pause: Callable[[], None], count: int = 1
) -> list[Row]:
    """`texts` rows drawn from `model`, of LENGTH tokens after the opening or as many as `context` has room for, all of
    which are held. A batch is drawn in `count` parts, `pause` called after each."""
    head = opening(tokenizer)
    length = min(LENGTH, context - len(head))
    rows: list[Row] = []
    with torch.random.fork_rng(devices=[model.device] if model.device.type == "cuda" else []):
        torch.manual_seed(seed)
        at_once = -(-AT_ONCE // count)
        for first in range(0, texts, at_once):
            prompt = torch.tensor([head] * min(at_once, texts - first), device=model.device)
            drawn = model.generate(
                prompt, attention_mask=torch.ones_like(prompt), max_new_tokens=length, do_sample=True,
                temperature=1.0, top_k=0, top_p=1.0, eos_token_id=None, pad_token_id=0,
            )  # fmt: skip
            rows += [Row(ids, list(range(len(head), len(ids)))) for ids in drawn.tolist()]
            pause()
    return rows


def opening(tokenizer: ChatTokenizer) -> list[int]:
    """Token ids of the chat template before a person's first word. Raises BadInput where it cannot be told."""
    rendered = tokenizer.render([{"role": "user", "content": PROBE}]).ids
    word = tokenizer.text_ids(PROBE)
    starts = range(len(rendered) - len(word), 0, -1)
    start = next((start for start in starts if rendered[start : start + len(word)] == word), None)
    if start is None:
        raise BadInput("This base model's chat template changes what people write; choose another base model.")
    return rendered[:start]
