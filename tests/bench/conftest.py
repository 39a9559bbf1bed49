from __future__ import annotations

import time
from collections.abc import AsyncIterator
from dataclasses import replace

import pytest

from bench import gpu_correctness
from bench.gpu_engine import MeasuredEngine, engine, plan_for
from bench.gpu_results import Bench, Results


@pytest.fixture(scope="package")
def gpu_bench(tmp_path_factory: pytest.TempPathFactory) -> Bench:
    """The GPU bench in small, on the processor."""
    folder = tmp_path_factory.mktemp("gpu-bench")
    results = Results.open(folder / "results", "rehearsal", rehearsal=True)
    return Bench("card", "cpu", folder / "work", results, time.monotonic() + 3600)


@pytest.fixture(scope="package")
async def measured_engine(gpu_bench: Bench) -> AsyncIterator[MeasuredEngine]:
    """One engine that can sleep, for the bench and what it measures; with an adapter by each method of training."""
    bench = replace(gpu_bench, part="correctness")
    model = await gpu_correctness.trained(bench)
    chosen = plan_for(bench, slots=8, kept=64, requests=16, rank=gpu_correctness.ENGINE_RANK)
    async with engine(bench, model, chosen, ()) as started:
        await gpu_correctness.judged(bench, started)
        yield started
