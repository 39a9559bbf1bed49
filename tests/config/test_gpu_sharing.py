"""One GPU for serving and tuning: what each gets follows the policy, and says why."""

from dataclasses import replace

import pytest

from config.catalogue import GIB, find_model
from config.hardware import SERVING_GPU, Gpu, GpuSharing, Hardware, card_shares, no_other_card, plan
from config.paths import Paths
from serving.engine import command_line, environment

CARD = Gpu("a card", 140 * GIB)
WORKSTATION = Hardware(16, 128 * GIB, 100 * GIB, 100 * GIB, frozenset(), (CARD,))


@pytest.mark.parametrize("model", ["qwen3-0.6b", "qwen3-4b", "qwen3-8b"])
def test_reserved_shares_never_add_up_to_more_than_the_card(model: str) -> None:
    made = plan(WORKSTATION, find_model(model), sharing="reserve")
    assert made.gpu_memory_share + made.training_share <= 1
    assert made.training_share * CARD.memory > find_model(model).parameters * 2


def test_a_card_too_small_for_both_serves_and_says_what_tuning_needs() -> None:
    small = card_shares(Gpu("a small card", 24 * GIB), find_model("qwen3-8b").parameters * 2, "reserve")
    assert small.training == 0
    assert "gpu_sharing" in small.reasons[0]


@pytest.mark.parametrize("sharing", ["sleep", "separate"])
def test_taking_turns_or_with_a_card_each_both_get_a_whole_one(sharing: GpuSharing) -> None:
    made = plan(replace(WORKSTATION, gpus=(CARD, CARD)), find_model("qwen3-8b"), sharing=sharing)
    assert made.gpu_memory_share == made.training_share == pytest.approx(0.9)


@pytest.mark.parametrize("number", [SERVING_GPU, 2])
def test_the_card_that_serves_and_one_that_is_not_there_are_no_other_card(number: int) -> None:
    two = replace(WORKSTATION, gpus=(CARD, CARD))
    made = plan(two, find_model("qwen3-8b"), sharing="separate", training_gpu=number)
    assert made.training_share == 0
    assert any("tuning has no other card" in reason for reason in made.reasons)
    assert "training_gpu" in (no_other_card(two, number) or "")
    assert no_other_card(two, 1) is None


def test_only_an_engine_that_is_to_sleep_is_started_so_that_it_can(tmp_path: object) -> None:
    model = find_model("demo")
    paths = Paths(tmp_path)  # type: ignore[arg-type]
    sleeping, other = (plan(WORKSTATION, model, sharing=policy) for policy in ("sleep", "reserve"))  # type: ignore[arg-type]
    assert "--enable-sleep-mode" in command_line(model, sleeping, paths.engine_socket, ["q_proj"])
    assert "--enable-sleep-mode" not in command_line(model, other, paths.engine_socket, ["q_proj"])
    inherited = {"VLLM_SERVER_DEV_MODE": "1"}
    assert environment(model, sleeping, paths, "k", inherited)["VLLM_SERVER_DEV_MODE"] == "1"
    assert "VLLM_SERVER_DEV_MODE" not in environment(model, other, paths, "k", inherited)


def test_a_machine_without_a_card_has_nothing_to_share() -> None:
    made = plan(replace(WORKSTATION, gpus=()), find_model("demo"), sharing="sleep")
    assert not made.sleeps
    assert made.training_share == 0
