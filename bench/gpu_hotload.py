"""An adapter the engine has never seen: how long until its first token, what that is made of, and what others notice.

The floor is its bytes over the measured rate from the machine's memory to the card. Three ways are timed: asked for
cold, as by a person right after the pointer moved without warming; the warming that a promotion does before it moves
the pointer; and the first person after that. The stages that make up the cold way are timed apart, in this process.
"""

from __future__ import annotations

import asyncio
import statistics
import time
from typing import Any

import torch
from safetensors import safe_open

from bench.gpu_card import wait
from bench.gpu_engine import MeasuredEngine, engine, plan_for, why_not
from bench.gpu_load import Answered, Load, percentile
from bench.gpu_results import Bench, Figures
from bench.gpu_shapes import RANK, model_folder, publish_adapters
from bench.gpu_training import shape_for
from config.names import VersionName
from serving.adapters import WEIGHTS, digest_of

SEEN, STREAMS = 20, 64
PAUSE = 0.75
"""Seconds from one load to the next, so that each one's stall can be told from the others'."""
WANTED = {"first_ms": 100, "stall_ms": 50}


def floor(bench: Bench) -> Figures:
    """Bytes of one adapter, and the milliseconds they take on the way to the card."""
    size = 2 * shape_for(bench).adapter_parameters(RANK)
    rate = bench.results.get("card", "transfer").get("to_card_bytes_a_second")
    return {"bytes": size, "floor_ms": 1000 * size / rate if rate else None}


def stages(bench: Bench, running: MeasuredEngine, name: VersionName) -> Figures:
    """What a load is made of, each alone: the digest, reading, pinning, copying. Milliseconds."""
    folder = running.paths.adapter(name)

    def ms(work: Any, rounds: int = 3) -> float:
        times = []
        for _ in range(rounds):
            began = time.perf_counter()
            work()
            wait(bench.device)
            times.append(time.perf_counter() - began)
        return 1000 * min(times)

    def read() -> list[torch.Tensor]:
        with safe_open(folder / WEIGHTS, framework="pt", device="cpu") as file:
            return [file.get_tensor(key).clone() for key in file.keys()]  # noqa: SIM118 - it is no dict

    tensors = read()
    figures: Figures = {"digest_ms": ms(lambda: digest_of(folder)), "read_ms": ms(read), "tensors": len(tensors)}
    ways = {"copy_pageable_ms": tensors}
    if bench.device == "cuda":
        figures["pin_ms"] = ms(lambda: [one.pin_memory() for one in tensors])
        ways["copy_pinned_ms"] = [one.pin_memory() for one in tensors]
        flat = torch.cat([one.flatten() for one in tensors]).pin_memory()
        figures["copy_in_one_piece_ms"] = ms(lambda: flat.to(bench.device, non_blocking=True))
    for way, given in ways.items():
        figures[way] = ms(lambda given=given: [one.to(bench.device, non_blocking=True) for one in given])
    return figures


async def alone(load: Load, running: MeasuredEngine, cold: list[VersionName], warmed: list[VersionName]) -> Figures:
    """No other load: cold, warming, first after warming, and one the engine knows well, in milliseconds."""
    known = [1000 * (await load.ask(str(running.untuned), 1)).to_first for _ in range(len(cold))]
    first = [1000 * (await load.ask(str(name), 1)).to_first for name in cold]
    warming, after = [], []
    for name in warmed:
        began = time.perf_counter()
        await running.client.warm(name)
        warming.append(1000 * (time.perf_counter() - began))
        after.append(1000 * (await load.ask(str(name), 1)).to_first)
    middle = statistics.median
    return {"known_ms": middle(known), "first_ms": middle(first), "first_worst_ms": max(first),
            "cost_ms": middle(first) - middle(known), "warming_ms": middle(warming), "after_warming_ms": middle(after),
            "loads": len(first)}  # fmt: skip


async def among_others(
    bench: Bench, load: Load, names: list[VersionName], talking: list[str], streams: int, answer: int
) -> Figures:
    """`streams` answers under way without end while adapters are loaded one after another: gaps between others' tokens
    in quiet times and around each load, and the loaded ones' first tokens."""
    done: list[Answered] = []
    stop = asyncio.Event()

    async def talk(number: int) -> None:
        while not stop.is_set():
            done.append(await load.ask(talking[number % len(talking)], answer))

    pause = 0.2 if bench.rehearse else PAUSE
    talks = [asyncio.create_task(talk(number)) for number in range(streams)]
    try:
        await asyncio.sleep(pause * 4)
        loads: list[tuple[float, float]] = []
        first = []
        for name in names:
            one = await load.ask(str(name), 1)
            loads.append((one.asked, one.arrivals[-1]))
            first.append(1000 * one.to_first)
            await asyncio.sleep(pause)
    finally:
        stop.set()
        await asyncio.gather(*talks)
    quiet, around = [], [0.0] * len(loads)
    everything: list[float] = []
    for answered in done:
        for ended, gap in answered.gaps:
            everything.append(1000 * gap)
            hit = [at for at, (began, over) in enumerate(loads) if began <= ended and ended - gap <= over]
            for at in hit:
                around[at] = max(around[at], 1000 * gap)
            if not hit:
                quiet.append(1000 * gap)
    usual = statistics.median(quiet)
    return {"streams": streams, "loads": len(loads), "first_ms": statistics.median(first), "quiet_ms": usual,
            "quiet_p99_ms": percentile(quiet, 0.99), "with_loads_p99_ms": percentile(everything, 0.99),
            "worst_gap_ms": statistics.median(around), "worst_gap_of_all_ms": max(around),
            "stall_ms": statistics.median(around) - usual}  # fmt: skip


async def loaded(bench: Bench, running: MeasuredEngine) -> None:
    """The stages, alone, among others."""
    seen, streams = (3, 4) if bench.rehearse else (SEEN, STREAMS)
    talking_count = 4
    count = talking_count + 1 + 3 * seen
    names = await asyncio.to_thread(publish_adapters, shape_for(bench), running.model, running.paths, count, 0, "fresh")
    talking, spare, rest = names[:talking_count], names[talking_count], names[talking_count + 1 :]
    for name in talking:
        await running.client.warm(name)
    bench.take("stages", 20, lambda: stages(bench, running, spare))
    words, answer = (20, 16) if bench.rehearse else (180, 256)
    async with Load(running.socket, running.key, prompt_words=words, answer=answer) as load:
        await bench.take_async("alone", 40, lambda: alone(load, running, rest[:seen], rest[seen : 2 * seen]))
        said = [str(name) for name in talking]
        await bench.take_async(
            "among_others", 60, lambda: among_others(bench, load, rest[2 * seen :], said, streams, answer)
        )
    among, by_itself = (bench.results.get(bench.part, name) for name in ("among_others", "alone"))
    figures: Figures = {f"{key}_wanted": value for key, value in WANTED.items()}
    figures |= {"after_promotion_ms": by_itself.get("after_warming_ms"), "never_seen_ms": by_itself.get("first_ms")}
    bench.results.put(bench.part, "verdict", figures | {"stall_ms": among.get("stall_ms")})


async def measure(bench: Bench) -> None:
    """The floor, then what one engine start can tell. Each try has an engine that has seen none of the adapters."""
    bench.take("floor", 1, lambda: floor(bench))
    if all(bench.results.has(bench.part, name) for name in ("stages", "alone", "among_others")):
        return
    if reason := why_not():
        bench.results.put(bench.part, "engine", {"skipped": reason})
        bench.say(f"skipped: {reason}")
        return
    model = model_folder(shape_for(bench), bench.work)
    plan = plan_for(bench, slots=64, kept=256, requests=STREAMS + 8)
    async with engine(bench, model, plan, home="hotload") as running:
        await loaded(bench, running)
