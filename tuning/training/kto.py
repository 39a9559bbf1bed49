"""Learning from votes: good answers made likelier and bad ones less so, by KTO (Ethayarajh et al., 2024).

Votes come one answer at a time, never in pairs, which is what KTO is for. An answer's reward is how much likelier the
model finds it now than before this phase; good answers are to lie above, bad ones below, the drift that the model shows
on answers to other questions. Weights of good and bad balance their numbers. Knows rows and a model, no files.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch.nn.functional import cross_entropy

from tuning.training.batches import Row, collate, parts
from tuning.training.losses import learnt_logits

BETA = 0.1
RATE = 0.1
"""Of the supervised phase's peak learning rate."""
TOGETHER = 8
CLIP = 1.0


@dataclass(frozen=True, slots=True)
class Voted:
    """One answer with what came before it; only the answer's tokens are learnt. `good`: as it was voted."""

    row: Row
    good: bool


def logprobs(model: Any, rows: Sequence[Row], device: torch.device) -> torch.Tensor:
    """(rows,): the log-probability of each row's learnt tokens, summed, in nats."""
    batch = collate(rows).to(device)
    each = -cross_entropy(learnt_logits(model, batch), batch.targets, reduction="none")
    return torch.stack([part.sum() for part in each.split([len(row.learnt) for row in rows])])


def mismatched(voted: Sequence[Voted]) -> list[Row]:
    """Each question with the answer to the next one: what the model's drift is measured on."""
    rows = []
    for one, other in zip(voted, [*voted[1:], *voted[:1]], strict=True):
        question = one.row.ids[: one.row.learnt[0]]
        answer = [other.row.ids[place] for place in other.row.learnt]
        rows.append(Row([*question, *answer], list(range(len(question), len(question) + len(answer)))))
    return rows


def loss(rewards: torch.Tensor, drift: torch.Tensor, good: torch.Tensor, weights: tuple[float, float]) -> torch.Tensor:
    """Mean KTO loss. `rewards` (n,) in nats; `drift` a number, not below 0; `good` (n,) of bool; `weights` of good and
    of bad answers."""
    above = torch.where(good, rewards - drift, drift - rewards)
    weight = torch.where(good, weights[0], weights[1])
    return (weight * (1 - torch.sigmoid(BETA * above))).mean()


def learn(
    model: Any, parameters: Sequence[torch.nn.Parameter], voted: Sequence[Voted], *, rate: float, seed: int,
    device: torch.device, pause: Callable[[], None], count: int = 1,
) -> None:  # fmt: skip
    """One pass over the votes, each step in `count` parts. `rate`: the supervised phase's peak learning rate; `pause`
    is called between steps and may raise."""
    order = list(voted)
    random.Random(seed).shuffle(order)  # noqa: S311
    groups = [order[start : start + TOGETHER] for start in range(0, len(order), TOGETHER)]
    # As the model is before: of the answers, and of each question with another's answer.
    before = [
        (
            _measured(model, [one.row for one in group], device, count),
            _measured(model, mismatched(group), device, count),
        )
        for group in groups
    ]
    weights = _balanced(sum(one.good for one in order), sum(not one.good for one in order))
    optimizer = torch.optim.AdamW(parameters, lr=rate * RATE, betas=(0.9, 0.98), weight_decay=0.0)
    optimizer.zero_grad()
    for group, (reference, drifting) in zip(groups, before, strict=True):
        drift = (_measured(model, mismatched(group), device, count) - drifting).mean().clamp(min=0)
        for places in parts(range(len(group)), count):
            some = [group[place] for place in places]
            good = torch.tensor([one.good for one in some], device=device)
            rewards = logprobs(model, [one.row for one in some], device) - reference[places[0] : places[-1] + 1]
            (loss(rewards, drift, good, weights) * (len(some) / len(group))).backward()
        torch.nn.utils.clip_grad_norm_(parameters, CLIP)
        optimizer.step()
        optimizer.zero_grad()
        pause()


@torch.no_grad()  # type: ignore[untyped-decorator]
def _measured(model: Any, rows: Sequence[Row], device: torch.device, count: int) -> torch.Tensor:
    """The same in `count` parts, without gradients."""
    cut = parts(range(len(rows)), count)
    return torch.cat([logprobs(model, [rows[place] for place in places], device) for places in cut])


def _balanced(good: int, bad: int) -> tuple[float, float]:
    """Weights with which both sides count the same, the rarer side by at most four times."""
    if not good or not bad:
        return 1.0, 1.0
    share = max(0.25, min(4.0, bad / good))
    return (share, 1.0) if share < 1 else (1.0, 1 / share)
