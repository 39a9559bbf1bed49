"""What the trainer says of each token, for comparison with the engine that will serve the adapter.

Computed with the saved files loaded again, dropout off, logits in float32, one conversation at a time, so that what is
compared is what is served. Conversations are taken from the held-out ones until enough tokens are scored.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any, cast

import torch
from torch.nn.functional import cross_entropy

from serving.prompt import ChatTokenizer
from tuning.exchanges import read_exchanges, servable
from tuning.training.batches import Batch, parts
from tuning.training.losses import learnt_logits
from tuning.training.outcome import Parity, ParityRow

TOKENS = 700
"""At least so many are scored, where there is so much text."""


def parity_rows(
    model: Any, held_out: Path, tokenizer: ChatTokenizer, system_prompt: str, context: int, pause: Callable[[], None],
    count: int = 1,
) -> Parity:  # fmt: skip
    """Score held-out conversations that fit in `context` whole. `pause` is called after each and may raise. Of each
    conversation the logits, which take most of the memory, are computed in `count` parts."""
    device = next(model.parameters()).device
    rows: list[ParityRow] = []
    scored = 0
    for one in servable(read_exchanges(held_out, tokenizer, system_prompt, context), context):
        if scored >= TOKENS:
            break
        ids = one.rendered.ids
        rows.append(
            ParityRow(messages=cast("Any", one.messages), ids=ids, logprobs=_logprobs(model, ids, device, count))
        )
        scored += len(ids) - 1
        pause()
    return Parity(rows=rows)


@torch.no_grad()  # type: ignore[untyped-decorator]
def _logprobs(model: Any, ids: list[int], device: torch.device, count: int) -> list[float | None]:
    found: list[float | None] = [None]
    for places in parts(range(len(ids) - 1), count):
        targets = torch.tensor([ids[place + 1] for place in places])
        batch = Batch(torch.tensor([ids[:-1]]), torch.tensor(places), targets).to(device)
        found += (-cross_entropy(learnt_logits(model, batch), batch.targets, reduction="none")).tolist()
    return found
