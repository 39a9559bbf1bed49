"""Whether what serves at bf16 on the card is what was trained there: trainer and engine, token by token.

The 0.6B shape, tuned by all three methods for a while on a language of a dozen words, so that the model grows sure of
what comes next (random weights alone would hide rounding in flat probabilities). Each adapter is published as a job's
is, and the engine's log-probabilities are compared with the trainer's own as the gate compares them. For `partial` and
`full`, also how much of the learnt change the adapter holds, and whether the adapter really lowers the held-out loss.
"""

from __future__ import annotations

import asyncio
import json
import shutil
import time
from functools import partial
from pathlib import Path

import torch

from bench.gpu_engine import MeasuredEngine, engine, plan_for, why_not
from bench.gpu_results import Bench, Figures
from bench.gpu_shapes import SMALL, TINY, Shape, model_folder
from bench.gpu_training import conversations, emptied, run_folder, settings_for
from config.catalogue import CatalogueModel
from config.names import VersionName
from serving.adapters import publish
from tuning.gate.parity import LIMITS, measure_parity
from tuning.training.loop import Training
from tuning.training.planned import BATCH_TOKENS
from tuning.training.run import Method, RunFolder

METHODS: tuple[Method, ...] = ("lora", "partial", "full")
RANKS = {"lora": 16, "partial": 64, "full": 64}
ENGINE_RANK = 64
TALKS = 400
HEADROOM = 3.0
"""The tolerance that follows: so many times the largest mean difference seen."""


def tuned(bench: Bench, model: CatalogueModel, method: Method) -> Figures:
    """One run of the trainer as a job's, and its adapter left in a folder of its own."""
    count = 24 if bench.rehearse else TALKS
    emptied(bench.device)
    settings = settings_for(bench, model.location)
    settings |= {"method": method, "rank": RANKS[method], "context": 512, "epochs": 2, "patience": 10}
    settings |= {
        "batch_tokens": 512 if bench.rehearse else BATCH_TOKENS["cuda"],
        "learning_rate": 1e-3 if method == "lora" else 2e-4,
    }
    settings |= {"general_limit": 1e9}
    place = folder_of(bench, method)
    shutil.rmtree(place, ignore_errors=True)
    folder, run = run_folder(place, conversations(count + 24, 8, 16, 3), 24, **settings)
    began = time.monotonic()
    result = Training(folder, run, lambda: False).go()
    emptied(bench.device)
    spent = time.monotonic() - began
    return {"seconds": spent, "held_out_before": result.held_out_base, "held_out": result.held_out,
            "kept": result.kept, "steps": result.steps, "peak_bytes": result.peak_memory}  # fmt: skip


def folder_of(bench: Bench, method: Method) -> Path:
    """Where this method's run lies."""
    return bench.work / "correctness" / method


async def compared(bench: Bench, running: MeasuredEngine, method: Method) -> Figures:
    """The engine against the trainer with the same adapter, and the adapter against none, on held-out text."""
    run = RunFolder(folder_of(bench, method))
    name = VersionName(f"tuned-{method}", 1)
    final = running.paths.adapter(name)
    if not final.exists():
        staged = running.paths.jobs / f"staged-{method}"
        shutil.copytree(run.adapter, staged)
        publish(staged, final, {"base_model": running.model.name})
    computed = run.read_parity()
    parity = await measure_parity(running.client, name, computed, run.read_settings().dtype)
    untuned = await measure_parity(running.client, running.untuned, computed, run.read_settings().dtype)
    return {"mean_difference": parity.mean_difference, "largest_difference": parity.largest_difference,
            "tokens": parity.tokens, "same_rendering": parity.same_rendering, "limit": parity.limit,
            "without_adapter": untuned.mean_difference}  # fmt: skip


def shape_of(bench: Bench) -> Shape:
    """0.6B on a card."""
    return TINY if bench.rehearse else SMALL


async def trained(bench: Bench) -> CatalogueModel:
    """The model with its weights on disk, and an adapter by each method."""
    shape = shape_of(bench)
    model = model_folder(shape, bench.work / "with-weights", weights=bench.device)
    for method in METHODS:
        # What was trained before is of no use where its folder is gone.
        if not folder_of(bench, method).joinpath("result.json").exists():
            bench.results.parts.get(bench.part, {}).pop(f"{method}_trained", None)
        train = partial(tuned, bench, model, method)
        await asyncio.to_thread(bench.take, f"{method}_trained", 60, train)
    if bench.device == "cuda":
        torch.cuda.empty_cache()
    return model


async def judged(bench: Bench, running: MeasuredEngine) -> None:
    """Every method's adapter on the engine; and the tolerance that follows from them."""
    for method in METHODS:
        if bench.results.has(bench.part, f"{method}_trained"):
            await bench.take_async(method, 20, lambda m=method: compared(bench, running, m))  # type: ignore[misc]
    means = [bench.results.get(bench.part, method).get("mean_difference") for method in METHODS]
    seen = [mean for mean in means if mean is not None]
    if seen:
        dtype = "float32" if bench.rehearse else "bfloat16"
        figures = {"largest_mean": max(seen), "suggested_limit": HEADROOM * max(seen), "limit_now": LIMITS[dtype]}
        bench.results.put(bench.part, "verdict", figures | {"dtype": dtype, "methods": json.dumps(METHODS)})


async def measure(bench: Bench) -> None:
    """Train by all methods, then one engine with the same weights."""
    if all(bench.results.has(bench.part, method) for method in METHODS):
        return
    model = await trained(bench)
    if reason := why_not():
        bench.results.put(bench.part, "engine", {"skipped": reason})
        bench.say(f"skipped: {reason}")
        return
    plan = plan_for(bench, slots=8, kept=8, requests=16, context=1024, share=0.5, rank=ENGINE_RANK)
    async with engine(bench, model, plan, (), home="correctness-home") as running:
        await judged(bench, running)
