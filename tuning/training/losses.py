"""The losses: one pass through the decoder, the output head on learnt positions alone, sums in float32.

Whatever a model does with its logits after the head (scaling, soft caps) is kept, because it is the model's own
forward that runs; only what the head is given shrinks from every position to the learnt ones.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from typing import Any

import torch
from torch.nn.functional import cross_entropy, kl_div, log_softmax, nll_loss

from tuning.training.batches import Batch, Row, collate, group, parts

CACHE_BYTES = 256 << 20
"""The untouched model's log-probabilities on the replay rows are kept where they fit in this; else they are
computed anew at each step."""


def learnt_logits(model: Any, batch: Batch) -> torch.Tensor:
    """Logits that predict the learnt tokens: (learnt, vocabulary), float32."""
    head = model.get_output_embeddings()

    def pick(_: torch.nn.Module, given: tuple[torch.Tensor, ...]) -> tuple[torch.Tensor]:
        return (given[0].flatten(0, 1).index_select(0, batch.places).unsqueeze(0),)

    hook = head.register_forward_pre_hook(pick)
    try:
        # No mask: padding stands on the right, where causal attention never looks from a learnt position.
        logits: torch.Tensor = model(input_ids=batch.inputs, use_cache=False).logits
    finally:
        hook.remove()
    return logits.squeeze(0).float()


def summed_loss(model: Any, batch: Batch) -> torch.Tensor:
    """Sum over learnt tokens of their negative log-probability, in nats."""
    return cross_entropy(learnt_logits(model, batch), batch.targets, reduction="sum")


def mean_loss(model: Any, batches: Iterable[Batch], pause: Callable[[], None]) -> float:
    """Nats per learnt token over all batches, dropout off. `pause` is called after each batch and may raise."""
    total, count = 0.0, 0
    was_training = model.training
    model.eval()
    try:
        with torch.no_grad():
            for batch in batches:
                total += summed_loss(model, batch).item()
                count += len(batch.targets)
                pause()
    finally:
        model.train(was_training)
    return total / count


@dataclass(frozen=True, slots=True)
class ReplayLoss:
    """Over one batch of replay rows, summed over learnt tokens: cross entropy of those that are taught, and KL from the
    untouched model of all."""

    cross_entropy: torch.Tensor
    kl: torch.Tensor


class Replay:
    """Rows that hold a model to what it was, and the untouched model's word on them. `taught` is what it should say as
    well; `own`, numbered on from these, is only what it did say.

    `untouched` is a context in which `model` computes without its adapter. Where the vocabulary is small the untouched
    log-probabilities of all rows are computed once, each `budget` tokens in `count` parts; else at each step, which
    costs a forward pass more.
    """

    def __init__(
        self,
        model: Any,
        taught: Sequence[Row],
        own: Sequence[Row],
        untouched: Callable[[], AbstractContextManager[None]],
        device: torch.device,
        budget: int,
        count: int = 1,
    ) -> None:
        self._model, self._untouched, self._device = model, untouched, device
        self._rows, self._taught = [*taught, *own], len(taught)
        self._cache: list[torch.Tensor] | None = None
        vocabulary = model.get_output_embeddings().weight.shape[0]
        if sum(len(row.learnt) for row in self._rows) * vocabulary * 4 <= CACHE_BYTES:
            groups = group(self._rows, budget)
            self._cache = self._all([part for places in groups for part in parts(places, count)])

    def _all(self, groups: Sequence[Sequence[int]]) -> list[torch.Tensor]:
        cache: list[torch.Tensor] = [torch.empty(0)] * len(self._rows)
        for places in groups:
            logprobs = self._teacher([self._rows[place] for place in places])
            each = logprobs.split([len(self._rows[place].learnt) for place in places])
            for place, its in zip(places, each, strict=True):
                cache[place] = its.clone()
        return cache

    @torch.no_grad()  # type: ignore[untyped-decorator]
    def _teacher(self, rows: Sequence[Row]) -> torch.Tensor:
        was_training = self._model.training
        self._model.eval()
        try:
            with self._untouched():
                return log_softmax(learnt_logits(self._model, collate(rows).to(self._device)), dim=-1)
        finally:
            self._model.train(was_training)

    def tokens(self, places: Sequence[int]) -> int:
        """Learnt tokens of the rows at `places`."""
        return sum(len(self._rows[place].learnt) for place in places)

    def taught(self, places: Sequence[int]) -> int:
        """Learnt tokens of those rows at `places` that are taught."""
        return sum(len(self._rows[place].learnt) for place in places if place < self._taught)

    def loss(self, places: Sequence[int]) -> ReplayLoss:
        """Of the rows at `places`, those that are taught first, with gradients."""
        rows = [self._rows[place] for place in places]
        batch = collate(rows).to(self._device)
        teacher = torch.cat([self._cache[place] for place in places]) if self._cache else self._teacher(rows)
        student = log_softmax(learnt_logits(self._model, batch), dim=-1)
        taught = self.taught(places)
        return ReplayLoss(
            nll_loss(student[:taught], batch.targets[:taught], reduction="sum"),
            kl_div(student, teacher, log_target=True, reduction="sum"),
        )
