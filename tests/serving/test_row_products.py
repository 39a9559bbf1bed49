"""What adapters change, as our products for processors compute it, against the same in double precision."""

from __future__ import annotations

from collections.abc import Sequence
from types import SimpleNamespace

import pytest
import torch

from serving.row_products import LONG, NONE, RowProducts, Rows

INPUTS, OUTPUTS, RANK, SLOTS = 48, (32, 16, 16), 8, 5
BATCHES = {
    "one alone": [2],
    "each its own": [4, 0, 3, 1, 2],
    "some of one, and one that is left over": [1, 2, 1, 2, 1, 2, 1, 2, 1, 2, 1, 0, 0, 0, 0, 0, 0, 0, 0, 3],
    "some have none": [1, NONE, NONE, 4, 1],
    "none has one": [NONE] * 3,
    "a prompt of one": [3] * (LONG + 5),
    "a prompt without": [NONE] * (LONG + 5),
    "prompts between answers": [0, 3, *[1] * LONG, NONE, *[4] * (LONG - 1), *[0] * (3 * LONG), 2],
}


def products() -> RowProducts:
    return RowProducts(max_num_batched_tokens=512, max_batches=64, device="cpu")


def for_slots(wrapper: RowProducts, slots: Sequence[int]) -> None:
    """As vLLM does it before a batch: rows by an adapter's number, and the number in each slot."""
    numbers = tuple(slot + 1 for slot in slots)  # 0 for none
    mapping = SimpleNamespace(index_mapping=numbers, prompt_mapping=numbers, is_prefill=len(numbers) > SLOTS)
    wrapper.update_metadata(mapping, [slot + 1 for slot in range(SLOTS)], SLOTS + 1, 100)


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
@pytest.mark.parametrize("threads", [1, 2])
@pytest.mark.parametrize("slots", BATCHES.values(), ids=BATCHES.keys())
def test_each_row_gets_what_its_adapter_changes(slots: list[int], threads: int, dtype: torch.dtype) -> None:
    torch.manual_seed(0)
    a = tuple(torch.randn(SLOTS, 1, RANK, INPUTS).to(dtype) for _ in OUTPUTS)
    b = tuple(torch.randn(SLOTS, 1, outputs, RANK).to(dtype) for outputs in OUTPUTS)
    x, y = torch.randn(len(slots), INPUTS).to(dtype), torch.randn(len(slots), sum(OUTPUTS)).to(dtype)
    expected = y.double()
    for row, slot in enumerate(slots):
        if slot != NONE:
            expected[row] += torch.cat(
                [bs[slot, 0].double() @ (as_[slot, 0].double() @ x[row].double()) for as_, bs in zip(a, b, strict=True)]
            )
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


@pytest.mark.parametrize("scale", [1.0, 0.5])
def test_an_output_that_is_not_laid_out_in_one_piece_and_a_scale_are_heeded(scale: float) -> None:
    torch.manual_seed(1)
    slots = [*[1] * LONG, 0, 2]
    a, b = torch.randn(SLOTS, 1, RANK, INPUTS), torch.randn(SLOTS, 1, 32, RANK)
    x, whole = torch.randn(len(slots), 2 * INPUTS)[:, ::2], torch.zeros(len(slots), 64)
    wrapper = products()
    for_slots(wrapper, slots)
    wrapper.add_lora_linear(whole[:, 32:], x, (a,), (b,), scale, (32,))
    expected = torch.stack([scale * (b[s, 0] @ (a[s, 0] @ x[row])) for row, s in enumerate(slots)])
    torch.testing.assert_close(whole[:, 32:], expected, rtol=1e-4, atol=1e-3)
    assert not whole[:, :32].any()


def test_long_runs_are_told_from_the_others_and_these_are_in_the_order_of_their_slots() -> None:
    rows = Rows(torch.tensor([7, *[3] * LONG, *[NONE] * LONG, 5, 3]))
    assert rows.runs == [(3, 1, 1 + LONG)]
    assert rows.rows.tolist() == [2 * LONG + 2, 2 * LONG + 1, 0] and rows.slots.tolist() == [3, 5, 7]
    nobody = Rows(torch.tensor([], dtype=torch.long))
    assert nobody.runs == [] and len(nobody.rows) == 0


def test_fewer_rows_than_were_announced_are_refused() -> None:
    wrapper = products()
    for_slots(wrapper, [0, 1, 2])
    a, b = torch.randn(SLOTS, 1, RANK, INPUTS), torch.randn(SLOTS, 1, 32, RANK)
    with pytest.raises(ValueError, match="3 rows were announced, and x has 2"):
        wrapper.add_lora_linear(torch.zeros(3, 32), torch.zeros(2, INPUTS), (a,), (b,), 1.0, (32,))
