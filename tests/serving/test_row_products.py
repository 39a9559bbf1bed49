"""What adapters change, as our products for processors compute it, against the same in double precision."""

from __future__ import annotations

from collections.abc import Sequence
from types import SimpleNamespace

import numpy as np
import pytest
import torch

from serving.row_products import NONE, RowProducts, Rows, row_adder

INPUTS, OUTPUTS, RANK, SLOTS, MANY = 48, (32, 16, 16), 16, 5, 70
Matrices = tuple[torch.Tensor, ...]
BATCHES = {
    "one alone": [2],
    "each its own": [4, 0, 3, 1, 2],
    "some of one, and one that is left over": [1, 2, 1, 2, 1, 2, 1, 2, 1, 2, 1, 0, 0, 0, 0, 0, 0, 0, 0, 3],
    "some have none": [1, NONE, NONE, 4, 1],
    "none has one": [NONE] * 3,
    "a prompt of one": [3] * MANY,
    "a prompt without": [NONE] * MANY,
    "prompts between answers": [0, 3, *[1] * MANY, NONE, *[4] * (MANY - 1), *[0] * (3 * MANY), 2],
}


def products() -> RowProducts:
    return RowProducts(max_num_batched_tokens=512, max_batches=64, device="cpu")


def for_slots(wrapper: RowProducts, slots: Sequence[int]) -> None:
    """As vLLM does it before a batch: rows by an adapter's number, and the number in each slot."""
    numbers = tuple(slot + 1 for slot in slots)  # 0 for none
    mapping = SimpleNamespace(index_mapping=numbers, prompt_mapping=numbers, is_prefill=len(numbers) > SLOTS)
    wrapper.update_metadata(mapping, [slot + 1 for slot in range(SLOTS)], SLOTS + 1, 100)


def changed(
    x: torch.Tensor, a: Sequence[torch.Tensor], b: Sequence[torch.Tensor], slots: Sequence[int]
) -> torch.Tensor:
    """What is to be added to each row, in double precision."""
    made = torch.zeros(len(slots), sum(each.shape[2] for each in b), dtype=torch.float64)
    for row, slot in enumerate(slots):
        if slot != NONE:
            pairs = zip(a, b, strict=True)
            made[row] = torch.cat(
                [up[slot, 0].double() @ (down[slot, 0].double() @ x[row].double()) for down, up in pairs]
            )
    return made


def matrices(rank: int = RANK, inputs: int = INPUTS, outputs: Sequence[int] = OUTPUTS) -> tuple[Matrices, Matrices]:
    a = tuple(torch.randn(SLOTS, 1, rank, inputs).bfloat16() for _ in outputs)
    return a, tuple(torch.randn(SLOTS, 1, each, rank).bfloat16() for each in outputs)


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
@pytest.mark.parametrize("threads", [1, 2])
@pytest.mark.parametrize("slots", BATCHES.values(), ids=BATCHES.keys())
def test_each_row_gets_what_its_adapter_changes(slots: list[int], threads: int, dtype: torch.dtype) -> None:
    torch.manual_seed(0)
    a, b = matrices()
    x, y = torch.randn(len(slots), INPUTS).to(dtype), torch.randn(len(slots), sum(OUTPUTS)).to(dtype)
    expected = y.double() + changed(x, a, b, slots)
    former = torch.get_num_threads()
    torch.set_num_threads(threads)
    try:
        wrapper = products()
        for_slots(wrapper, slots)
        untouched = y.clone()
        wrapper.add_lora_linear(y, x, a, b, 1.0, OUTPUTS)
    finally:
        torch.set_num_threads(former)
    exact = dtype == torch.float32
    torch.testing.assert_close(y.double(), expected, rtol=1e-4 if exact else 2e-2, atol=1e-3 if exact else 0.5)
    none = [row for row, slot in enumerate(slots) if slot == NONE]
    assert torch.equal(y[none], untouched[none])


@pytest.mark.parametrize("lanes", [8, 16])
@pytest.mark.parametrize(
    ("rank", "inputs", "outputs"), [(16, 64, 16), (32, 48, 80), (64, 16, 32)], ids=["16", "32", "64"]
)
def test_registers_of_either_width_and_several_of_them_a_row(lanes: int, rank: int, inputs: int, outputs: int) -> None:
    torch.manual_seed(2)
    a, b = matrices(rank, inputs, [outputs])
    slots = [0, 0, 1, 3, 4, 4, 4]
    rows = [6, 2, 0, 1, 3, 4, 5]
    x, y = torch.randn(len(slots), inputs), torch.randn(len(slots), outputs + 3)
    of_row = [slots[rows.index(row)] for row in range(len(rows))]
    expected = y.double()
    expected[:, 3:] += changed(x, a, b, of_row)
    bits = [each[0].view(torch.uint16).numpy() for each in (a, b)]
    row_adder(lanes, 1)(y.numpy(), x.numpy(), *bits, 3, np.array(rows), np.array(slots))
    torch.testing.assert_close(y.double(), expected, rtol=1e-4, atol=1e-3)


@pytest.mark.parametrize("rank", [1, 16])
@pytest.mark.parametrize("slots", BATCHES.values(), ids=BATCHES.keys())
def test_sides_that_no_register_divides_are_computed_as_well(slots: list[int], rank: int) -> None:
    torch.manual_seed(3)
    a, b = matrices(rank, 50, (33, 16))
    x, y = torch.randn(len(slots), 50), torch.randn(len(slots), 49)
    expected = y.double() + changed(x, a, b, slots)
    wrapper = products()
    for_slots(wrapper, slots)
    wrapper.add_lora_linear(y, x, a, b, 1.0, (33, 16))
    torch.testing.assert_close(y.double(), expected, rtol=1e-4, atol=1e-3)


@pytest.mark.parametrize("scale", [1.0, 0.5])
def test_an_output_that_is_not_laid_out_in_one_piece_and_a_scale_are_heeded(scale: float) -> None:
    torch.manual_seed(1)
    slots = [*[1] * MANY, 0, 2]
    a, b = matrices(outputs=[32])
    x, whole = torch.randn(len(slots), 2 * INPUTS)[:, ::2], torch.zeros(len(slots), 64)
    wrapper = products()
    for_slots(wrapper, slots)
    wrapper.add_lora_linear(whole[:, 32:], x, a, b, scale, (32,))
    torch.testing.assert_close(whole[:, 32:].double(), scale * changed(x, a, b, slots), rtol=1e-4, atol=1e-3)
    assert not whole[:, :32].any()


def test_rows_are_in_the_order_of_their_slots() -> None:
    which = Rows(torch.tensor([7, *[3] * 3, NONE, NONE, 5, 3]))
    assert which.count == 8
    assert which.rows.tolist() == [1, 2, 3, 7, 6, 0] and which.slots.tolist() == [3, 3, 3, 3, 5, 7]
    nobody = Rows(torch.tensor([], dtype=torch.long))
    assert nobody.count == 0 and len(nobody.rows) == 0


def test_fewer_rows_than_were_announced_are_refused() -> None:
    wrapper = products()
    for_slots(wrapper, [0, 1, 2])
    a, b = matrices(outputs=[32])
    with pytest.raises(ValueError, match="3 rows were announced, and x has 2"):
        wrapper.add_lora_linear(torch.zeros(3, 32), torch.zeros(2, INPUTS), a, b, 1.0, (32,))
