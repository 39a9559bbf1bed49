"""What of a model is trained, and how it becomes an adapter: the seam between the loop and the three methods.

`lora` trains an adapter. `partial` and `full` train linear weights themselves, of the last layers or of all; what they
learnt is then turned into an adapter (tuning/training/whole.py), so that it is served, gated and taken back like any
other. Knows nothing of data or losses.
"""

from __future__ import annotations

from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any, Protocol

import torch

from tuning.training import four_bits, fused, lora
from tuning.training.lora import Weights
from tuning.training.run import TrainingRun
from tuning.training.whole import Whole

WHOLE_RATE = 0.1
"""Of LoRA's learning rate, what training the weights themselves takes: LoRA Without Regret (Schulman et al., 2025)."""


class Tuned(Protocol):
    """A model being trained. `model` computes with what is learnt so far; `rate` is its share of LoRA's rate."""

    model: Any
    rate: float
    kept: float | None
    """After `finish`: of the change that was learnt, the share that the adapter holds; None where it is all of it."""

    def trained(self) -> dict[str, torch.nn.Parameter]:
        """What is trained, by name, always in the same order."""
        ...

    def untouched(self) -> AbstractContextManager[None]:
        """Inside, the model computes as if nothing had been learnt."""
        ...

    def finish(self, folder: Path) -> Any:
        """Write the adapter's two files into `folder`; gives the base model with it loaded again from there, computing
        as it will be served."""
        ...


class Adapter:
    """An adapter of low rank on every linear layer."""

    rate = 1.0

    def __init__(self, base: Any, run: TrainingRun) -> None:
        self._run = run
        self.model = lora.attach(base, run)
        self.kept: float | None = None
        fused.fuse(self.model, bfloat16=run.fast_products and fused.fast_bfloat16())

    def trained(self) -> dict[str, torch.nn.Parameter]:
        return lora.trained(self.model)

    def untouched(self) -> AbstractContextManager[None]:
        return lora.untouched(self.model)

    def finish(self, folder: Path) -> Any:
        fused.part(self.model)
        lora.save_adapter(self.model, folder)
        again = lora.load_adapter(self.model.unload(), folder)
        if self._run.four_bits:
            four_bits.read_whole(again, self._run)
        return again


def prepare(base: Any, run: TrainingRun) -> Tuned:
    """The base model made ready for the run's method."""
    if run.method == "lora":
        return Adapter(base, run)
    tuned = Whole(base, run)
    tuned.rate = WHOLE_RATE
    return tuned


def weights_of(tuned: Tuned) -> Weights:
    """A copy of what is trained, on the processor."""
    return {name: parameter.detach().to("cpu", copy=True) for name, parameter in tuned.trained().items()}


@torch.no_grad()  # type: ignore[untyped-decorator]
def put_weights(tuned: Tuned, weights: Weights) -> None:
    """Set what is trained."""
    for name, parameter in tuned.trained().items():
        parameter.copy_(weights[name])
