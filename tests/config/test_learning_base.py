"""The base is learnt on as it is wherever that fits, in 4 bits where only that does, and the plan says so in words."""

from __future__ import annotations

from dataclasses import replace

import pytest

from config.catalogue import CATALOGUE, GIB, find_model
from config.hardware import SERVING_TIMES, Gpu, GpuSharing, Hardware, card_shares, plan
from config.learning_base import base_on_card, base_on_processor

LAPTOP = Hardware(4, 16 * GIB, 12 * GIB, 100 * GIB, frozenset(), ())
LARGE = find_model("qwen3-8b")


def with_cards(*sizes: int) -> Hardware:
    return replace(LAPTOP, memory=128 * GIB, gpus=tuple(Gpu("a card", size * GIB) for size in sizes))


@pytest.mark.parametrize("room", range(1, 40))
def test_four_bits_are_for_want_of_memory_alone_and_never_take_more_than_there_is(room: int) -> None:
    for base in (base_on_card(16 * GIB, room * GIB), base_on_processor(16 * GIB, room * GIB)):
        assert base.four_bits == bool(base.reasons)
        assert base.fits == (base.needed <= room * GIB)
        if base.four_bits:
            assert base.fits
    assert not base_on_card(16 * GIB, 22 * GIB).four_bits
    assert base_on_card(16 * GIB, 21 * GIB).four_bits
    assert not base_on_card(16 * GIB, 10 * GIB).fits


def test_a_processor_learns_on_the_whole_base_until_memory_is_short() -> None:
    model = find_model("qwen3-1.7b")
    assert not plan(replace(LAPTOP, memory=64 * GIB, memory_free=50 * GIB), model).four_bits
    short = plan(LAPTOP, model)
    assert short.four_bits
    assert any("in 4 bits" in reason and "GiB of memory" in reason for reason in short.reasons)
    busy = replace(LAPTOP, memory=64 * GIB, memory_free=7 * GIB)
    assert plan(busy, model).four_bits


@pytest.mark.parametrize("free", [1, 2, 64])
def test_the_built_in_model_is_always_learnt_on_as_it_is(free: int) -> None:
    assert not plan(replace(LAPTOP, memory_free=free * GIB), CATALOGUE[0]).four_bits


def test_a_card_with_room_for_serving_and_a_small_base_is_shared_by_both() -> None:
    weights = LARGE.parameters * 2
    made = plan(with_cards(32), LARGE)
    assert made.four_bits
    assert made.gpu_memory_share * 32 * GIB >= weights * (SERVING_TIMES - 0.02)
    assert made.training_share * 32 * GIB >= base_on_card(weights, 12 * GIB).needed * 0.98
    assert made.gpu_memory_share + made.training_share <= 0.96
    assert any("in 4 bits" in reason for reason in made.reasons)
    assert not plan(with_cards(80), LARGE).four_bits


def test_a_card_too_small_even_for_that_needs_another_way_of_sharing() -> None:
    small = card_shares(Gpu("a small card", 24 * GIB), LARGE.parameters * 2, "reserve")
    assert not small.four_bits and small.training == 0
    turns = plan(with_cards(24), LARGE, sharing="sleep")
    assert not turns.four_bits  # alone on it, the base as it is has room


@pytest.mark.parametrize(("sharing", "four_bits"), [("separate", True), ("sleep", False)])
def test_the_card_that_tuning_has_decides(sharing: GpuSharing, four_bits: bool) -> None:
    made = plan(with_cards(80, 16), LARGE, sharing=sharing, training_gpu=1)
    assert made.four_bits == four_bits
    assert plan(with_cards(80, 16), LARGE, sharing=sharing, training_gpu=0).four_bits is False
