"""The plan follows the machine, and says why."""

from dataclasses import replace
from pathlib import Path

import pytest

from config.adapter_room import ENGINE_RANKS, FEWEST_SLOTS, LARGEST_TRAINED, LEAST_RANK, SLOTS_SHARE
from config.catalogue import CATALOGUE, DEMO_FOLDER, GIB, find_model, fits
from config.errors import BadInput
from config.hardware import Gpu, Hardware, plan, probe
from tuning.training.planned import MANY_EXAMPLES, rank_for

LAPTOP = Hardware(2, 16 * GIB, 12 * GIB, 100 * GIB, frozenset(), ())
WORKSTATION = replace(LAPTOP, cores=16, memory=128 * GIB, gpus=(Gpu("a card", 24 * GIB),))


def test_the_demo_model_comes_first_and_fits_a_laptop() -> None:
    assert CATALOGUE[0].name == "demo"
    assert fits(CATALOGUE[0], LAPTOP.memory, 0)[0]
    assert Path(CATALOGUE[0].location) == DEMO_FOLDER


def test_a_small_model_on_a_processor_is_served_in_float32() -> None:
    made = plan(LAPTOP, find_model("demo"))
    assert (made.device, made.dtype) == ("cpu", "float32")
    assert made.reasons


def test_a_large_model_on_a_processor_takes_bfloat16_only_where_it_is_native() -> None:
    model = find_model("qwen3-1.7b")
    assert plan(LAPTOP, model).dtype == "float32"
    assert plan(replace(LAPTOP, processor_flags=frozenset({"avx512_bf16"})), model).dtype == "bfloat16"


def test_a_card_is_shared_between_serving_and_training_and_slots_fit_it() -> None:
    model = find_model("qwen3-8b")
    made = plan(WORKSTATION, model, assistants=500)
    assert made.device == "cuda"
    assert made.max_loras * model.adapter_bytes(made.max_lora_rank) <= WORKSTATION.gpus[0].memory * 0.1
    assert 0 < made.gpu_memory_share < 1


@pytest.mark.parametrize("rank", [1, 5, 16, 17, 200])
def test_the_engines_rank_is_one_it_accepts_and_large_enough(rank: int) -> None:
    made = plan(LAPTOP, find_model("demo"), rank=rank)
    assert made.max_lora_rank in ENGINE_RANKS
    assert made.max_lora_rank >= rank


@pytest.mark.parametrize("name", [model.name for model in CATALOGUE])
@pytest.mark.parametrize("machine", [LAPTOP, WORKSTATION], ids=["laptop", "workstation"])
def test_training_makes_adapters_as_large_as_an_engine_here_has_room_for(machine: Hardware, name: str) -> None:
    model = find_model(name)
    made = plan(machine, model)
    assert made.max_lora_rank == LEAST_RANK, "an engine is as small as what lies there allows"
    assert made.training_rank in ENGINE_RANKS and LEAST_RANK <= made.training_rank <= LARGEST_TRAINED
    device = machine.gpus[0].memory if machine.gpus else machine.memory

    def takes(rank: int) -> float:
        return FEWEST_SLOTS * model.adapter_bytes(rank) / device

    assert takes(made.training_rank) <= SLOTS_SHARE or made.training_rank == LEAST_RANK
    grown = plan(machine, model, rank=made.training_rank)
    assert grown.max_lora_rank == made.training_rank and grown.max_loras >= FEWEST_SLOTS
    assert any(f"adapters up to rank {made.training_rank}" in reason for reason in made.reasons)


def test_where_memory_is_short_training_makes_smaller_adapters() -> None:
    ranks = [plan(replace(LAPTOP, memory=size * GIB), find_model("qwen3-1.7b")).training_rank for size in (4, 16, 64)]
    assert ranks == sorted(ranks)
    assert (ranks[0], ranks[-1]) == (LEAST_RANK, LARGEST_TRAINED)


def test_many_examples_and_whole_weights_get_adapters_of_a_larger_rank_than_an_engine_starts_with() -> None:
    made = plan(LAPTOP, find_model("demo"))
    assert rank_for("lora", MANY_EXAMPLES, made.training_rank) == 32 > made.max_lora_rank
    assert rank_for("full", 100, made.training_rank) == rank_for("partial", 100, made.training_rank) == LARGEST_TRAINED
    assert rank_for("lora", 100, made.training_rank) == 16


def test_more_assistants_get_more_slots() -> None:
    model = find_model("demo")
    assert plan(LAPTOP, model, assistants=30).max_loras > plan(LAPTOP, model, assistants=1).max_loras


def test_a_model_too_large_is_refused_with_numbers() -> None:
    good, why = fits(find_model("qwen3-8b"), 16 * GIB, 0)
    assert not good
    assert "GB" in why


def test_this_machine_can_be_probed(tmp_path: Path) -> None:
    found = probe(tmp_path / "not" / "there" / "yet")
    assert found.cores >= 1
    assert found.memory > found.memory_free > 0


def test_an_unknown_model_names_those_there_are(tmp_path: Path) -> None:
    with pytest.raises(BadInput, match="demo, qwen3"):
        find_model("nonsense")
    (tmp_path / "config.json").write_text("{}")
    with pytest.raises(BadInput, match="does not hold a model"):
        find_model(str(tmp_path))
