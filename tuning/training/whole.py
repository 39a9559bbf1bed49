"""Linear weights themselves trained, all of them or the last layers', and turned into an adapter by truncated SVD.

The change of each weight, W - W₀, is a matrix; its largest singular values and their vectors make the best adapter of
that rank there is (Eckart and Young, 1936). How much of the change such an adapter keeps is reported, and what is
gated and served is the adapter. The untouched weights are kept beside, so that the model can still speak as it was.
What is trained is float32 whatever the model is: a step is smaller than what a bfloat16 weight can tell apart. A
bfloat16 model computes with its weights rounded.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch
from peft import LoraConfig, get_peft_model

from tuning.training import lora
from tuning.training.run import TrainingRun

LAST_SHARE = 0.25
"""Of the layers, how many `partial` trains: the last quarter, at least one."""
EXACT = 2048
"""Smaller side of a matrix up to which its whole decomposition is computed; beyond, only its beginning is, by random
projection with some room to spare."""
EXACT_ON_CARD = 512
"""The same on a card, which is slow at whole decompositions."""
SPARE = 32
POWER_ITERATIONS = 4
_LAYER = re.compile(r"(?:^|\.)(?:layers|h|blocks)\.(\d+)\.")


class Whole:
    """A model whose own linear weights are trained. See tuning/training/tuned.py for what it promises."""

    rate = 1.0

    def __init__(self, base: Any, run: TrainingRun) -> None:
        torch.manual_seed(run.seed)
        self.model = base
        self.kept: float | None = None
        self._rank = run.rank
        lora.save_memory(base, run)
        base.requires_grad_(False)
        self._layers = _layers(base, partial=run.method == "partial")
        self._linear = _linear(base, self._layers)
        for module in self._linear.values():
            module.weight.requires_grad_(True)
        self._before = {name: module.weight.detach().clone() for name, module in self._linear.items()}
        for module in self._linear.values():
            if module.weight.dtype is not torch.float32:
                module.weight = torch.nn.Parameter(module.weight.detach().float())
                module.forward = _Rounded(module)

    def trained(self) -> dict[str, torch.nn.Parameter]:
        return {f"{name}.weight": module.weight for name, module in self._linear.items()}

    @contextmanager
    def untouched(self) -> Iterator[None]:
        learnt = {name: module.weight.data for name, module in self._linear.items()}
        self._set(self._before)
        try:
            yield
        finally:
            self._set(learnt)

    def finish(self, folder: Path) -> Any:
        pairs: dict[str, tuple[torch.Tensor, torch.Tensor]] = {}
        held = whole = 0.0
        for name, module in self._linear.items():
            change = module.weight.detach().float() - self._before[name].float()
            up, down = truncated(change, self._rank)
            pairs[name] = (up, down)
            whole += change.square().sum().item()
            held += (up @ down).square().sum().item()  # a projection: what is held is no larger than the whole
        self.kept = held / whole if whole else 1.0
        for name, module in self._linear.items():
            module.__dict__.pop("forward", None)
            module.weight = torch.nn.Parameter(self._before[name])
        self.model.requires_grad_(False)
        model = get_peft_model(self.model, self._config())
        self._fill(model, pairs)
        lora.save_adapter(model, folder)
        return lora.load_adapter(model.unload(), folder)

    def _config(self) -> LoraConfig:
        """As alpha is the rank, an adapter's product counts as it is."""
        if self._layers is None:
            return LoraConfig(r=self._rank, lora_alpha=self._rank, target_modules="all-linear", task_type="CAUSAL_LM")
        ends = sorted({name.rsplit(".", 1)[-1] for name in self._linear})
        return LoraConfig(
            r=self._rank, lora_alpha=self._rank, target_modules=ends, layers_to_transform=self._layers,
            task_type="CAUSAL_LM",
        )  # fmt: skip

    @torch.no_grad()  # type: ignore[untyped-decorator]
    def _fill(self, model: Any, pairs: dict[str, tuple[torch.Tensor, torch.Tensor]]) -> None:
        adapted = {name.removeprefix("base_model.model."): module for name, module in model.named_modules()}
        for name, (up, down) in pairs.items():
            layer = adapted[name]
            layer.lora_B["default"].weight.copy_(up)
            layer.lora_A["default"].weight.copy_(down)

    def _set(self, weights: dict[str, torch.Tensor]) -> None:
        for name, module in self._linear.items():
            module.weight.data = weights[name].to(module.weight.dtype)


class _Rounded:
    """Stands in for a layer's forward: its float32 weight rounded to what it is given, the gradient float32 again."""

    def __init__(self, module: torch.nn.Linear) -> None:
        self._module = module

    def __call__(self, x: torch.Tensor) -> torch.Tensor:
        return torch.nn.functional.linear(x, self._module.weight.to(x.dtype), self._module.bias)


def truncated(change: torch.Tensor, rank: int) -> tuple[torch.Tensor, torch.Tensor]:
    """(out, rank) and (rank, in), whose product is the closest to `change` (out, in) that any of that rank can be.

    Where a matrix is smaller than the rank, the rest is zero.
    """
    if min(change.shape) <= (EXACT if change.device.type == "cpu" else EXACT_ON_CARD):
        left, sizes, right = torch.linalg.svd(change, full_matrices=False)
    else:
        torch.manual_seed(0)
        left, sizes, turned = torch.svd_lowrank(change, q=min(rank + SPARE, *change.shape), niter=POWER_ITERATIONS)
        right = turned.t()
    count = min(rank, len(sizes))
    roots = sizes[:count].sqrt()
    up = change.new_zeros(change.shape[0], rank)
    down = change.new_zeros(rank, change.shape[1])
    up[:, :count] = left[:, :count] * roots
    down[:count] = roots[:, None] * right[:count]
    return up, down


def _layers(base: Any, *, partial: bool) -> list[int] | None:
    """Numbers of the layers that are trained; None for all."""
    if not partial:
        return None
    numbers = {int(found[1]) for name, _ in base.named_modules() if (found := _LAYER.search(f"{name}."))}
    count = max(numbers, default=0) + 1
    return list(range(count - max(1, round(count * LAST_SHARE)), count))


def _linear(base: Any, layers: list[int] | None) -> dict[str, torch.nn.Linear]:
    """The linear layers that are trained, by name: never the output head, which no adapter may change."""
    head = base.get_output_embeddings()
    found = {}
    for name, module in sorted(base.named_modules()):
        layer = _LAYER.search(name)
        if not isinstance(module, torch.nn.Linear) or module is head or layer is None:
            continue
        if layers is None or int(layer[1]) in layers:
            found[name] = module
    return found
