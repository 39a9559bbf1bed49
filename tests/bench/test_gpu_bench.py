"""The GPU bench without a GPU: it claims nothing, and every part of it runs in small and fills in all its figures."""

from __future__ import annotations

import json
import math
import os
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path

import pytest

from bench import gpu_card, gpu_correctness, gpu_hotload, gpu_serving, gpu_sharing, gpu_training
from bench.gpu_engine import MeasuredEngine
from bench.gpu_results import Bench, Figures, Results
from bench.gpu_table import table

ROOT = Path(__file__).resolve().parent.parent.parent
SMALL = 1
"""One of each is enough to see that it works."""


def part(gpu_bench: Bench, name: str) -> Bench:
    return replace(gpu_bench, part=name)


def whole(figures: Figures) -> bool:
    numbers = [value for value in figures.values() if isinstance(value, float)]
    return bool(figures) and all(math.isfinite(number) for number in numbers)


def run(*arguments: str) -> subprocess.CompletedProcess[str]:
    environment = os.environ | {"CUDA_VISIBLE_DEVICES": ""}
    command = [sys.executable, "-m", "bench.gpu", *arguments]
    return subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, check=False, timeout=300)


def test_without_a_gpu_it_says_so_and_claims_nothing(tmp_path: Path) -> None:
    done = run("--results", str(tmp_path))
    assert done.returncode == 0
    assert "No GPU" in done.stdout
    assert not list(tmp_path.iterdir())


def test_a_rehearsed_part_is_kept_as_it_goes_and_not_measured_twice(tmp_path: Path) -> None:
    given = ("--rehearse", "--part", "card", "--results", str(tmp_path), "--minutes", "2")
    assert run(*given).returncode == 0
    held = json.loads((tmp_path / "gpu-rehearsal.json").read_text())
    assert held["rehearsal"] is True
    assert held["parts"]["card"]["products"]["flops"] > 0
    again = run(*given)
    assert again.stdout.count("measured before") == 4
    assert json.loads((tmp_path / "gpu-rehearsal.json").read_text())["parts"] == held["parts"]


def test_what_there_is_no_time_for_is_noted_and_measured_another_time(tmp_path: Path) -> None:
    results = Results.open(tmp_path, "a card", rehearsal=False)
    late = Bench("card", "cuda", tmp_path, results, time.monotonic() + 5)
    late.take("products", 10, lambda: {"flops": 1.0})
    assert "skipped" in Results.open(tmp_path, "a card", rehearsal=False).parts["card"]["products"]
    Bench("card", "cuda", tmp_path, results, time.monotonic() + 50).take("products", 10, lambda: {"flops": 1.0})
    assert Results.open(tmp_path, "a card", rehearsal=False).get("card", "products")["flops"] == 1.0


def test_a_failed_measurement_is_kept_as_one_and_the_next_goes_on(tmp_path: Path) -> None:
    results = Results.open(tmp_path, "a card", rehearsal=False)
    trying = Bench("card", "cuda", tmp_path, results, time.monotonic() + 50)

    def fails() -> Figures:
        raise RuntimeError("out of memory")

    assert trying.take("products", 1, fails) == {}
    assert trying.take("memory", 1, lambda: {"bytes_a_second": 2.0}) == {"bytes_a_second": 2.0}
    assert "out of memory" in results.parts["card"]["products"]["failed"]
    assert "not measured" in table(results)


def test_a_rehearsal_never_lands_among_real_figures(tmp_path: Path) -> None:
    Results.open(tmp_path, "a card", rehearsal=False).put("card", "memory", {"bytes_a_second": 2.0})
    with pytest.raises(ValueError, match="real figures"):
        Results.open(tmp_path, "a card", rehearsal=True)


def test_no_figure_is_claimed_of_a_card_that_nobody_measured() -> None:
    for file in (ROOT / "bench" / "results").glob("gpu-*.json"):
        held = json.loads(file.read_text())
        assert held["rehearsal"] is False
        assert held["parts"]["card"]["identity"]["card_memory"] > 0


def test_the_card_part_fills_in_all_its_figures(gpu_bench: Bench) -> None:
    gpu_card.measure(part(gpu_bench, "card"))
    assert all(whole(gpu_bench.results.get("card", name)) for name in ("identity", "products", "memory", "transfer"))


def test_the_training_part_fills_in_all_its_figures(gpu_bench: Bench) -> None:
    training = part(gpu_bench, "training")
    shape = gpu_training.shape_for(training)
    location = gpu_training.model_folder(shape, gpu_bench.work).location
    ours = training.take("ours", 1, lambda: gpu_training.paced(training, shape, location, SMALL))
    assert whole(ours)
    assert ours["filled"] > 0.95
    assert 0.4 < ours["learnt_share"] < 0.6
    job = training.take("thousand_conversations", 1, lambda: gpu_training.job(training, shape, location))
    assert whole(job)
    assert not job["reckoned"]
    rival = training.take(
        "trl_checkpointing", 1, lambda: gpu_training.rival(training, shape, location, SMALL, checkpointing=True)
    )
    assert "skipped" in rival or whole(rival)
    assert whole({"share": gpu_training.verdict(training)["share_of_card"] or 0.0})


async def test_every_method_gives_an_adapter_that_the_engine_computes_as_the_trainer_does(
    gpu_bench: Bench, measured_engine: MeasuredEngine
) -> None:
    for method in gpu_correctness.METHODS:
        found = gpu_bench.results.get("correctness", method)
        assert found["same_rendering"]
        assert found["mean_difference"] < 1e-3 < found["without_adapter"]
        made = gpu_bench.results.get("correctness", f"{method}_trained")
        assert made["held_out"] < made["held_out_before"]


async def test_the_serving_part_fills_in_all_its_figures(gpu_bench: Bench, measured_engine: MeasuredEngine) -> None:
    serving = part(gpu_bench, "serving")
    counts, at_once = (1, 3), (2,)
    shape = gpu_training.shape_for(gpu_bench)
    names = gpu_serving.publish_adapters(shape, measured_engine.model, measured_engine.paths, 3)
    await gpu_serving.loaded(serving, measured_engine, [str(name) for name in names], counts, at_once)
    assert all(whole(gpu_bench.results.get("serving", name)) for name in ("base_at_2", "1_at_2", "3_at_2", "meeting_3"))
    assert gpu_serving.verdict(serving, counts, at_once)["most_of_one_at_2"] > 0


async def test_the_hot_load_part_fills_in_all_its_figures(gpu_bench: Bench, measured_engine: MeasuredEngine) -> None:
    hotload = part(gpu_bench, "hotload")
    assert gpu_hotload.floor(hotload)["bytes"] > 0
    await gpu_hotload.loaded(hotload, measured_engine)
    assert all(whole(gpu_bench.results.get("hotload", name)) for name in ("stages", "alone", "among_others"))


async def test_the_sharing_part_fills_in_all_its_figures(gpu_bench: Bench, measured_engine: MeasuredEngine) -> None:
    await gpu_sharing.measured(part(gpu_bench, "sharing"), measured_engine, 0.4)
    slept = gpu_bench.results.get("sharing", "sleep")
    assert whole(slept)
    assert slept["same_share"] == 1
    assert slept["versions_changed"] == 0
    assert slept["under_way_finished"] == slept["under_way"] > 0
    assert slept["asked_asleep_answered"]
    assert whole(gpu_bench.results.get("sharing", "together"))
