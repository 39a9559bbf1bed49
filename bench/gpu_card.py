"""The card itself: matrix products, memory, the way to it from the machine. What every other figure is held against.

Everything is timed between two points at which the card has finished all work. Random numbers, since a card multiplies
zeros faster than it ever will weights.
"""

from __future__ import annotations

import time
from collections.abc import Callable

import torch

from bench.gpu_results import Bench, Figures

GIB = 1 << 30


def wait(device: str) -> None:
    """Until the card has done all that was asked of it."""
    if device == "cuda":
        torch.cuda.synchronize()


def best_seconds(device: str, work: Callable[[], object], rounds: int, warm_up: int = 3) -> float:
    """Seconds of one call: the best of `rounds`, after `warm_up` that do not count."""
    for _ in range(warm_up):
        work()
    best = float("inf")
    for _ in range(rounds):
        wait(device)
        began = time.perf_counter()
        work()
        wait(device)
        best = min(best, time.perf_counter() - began)
    return best


def products(bench: Bench) -> Figures:
    """bf16 products of the shapes that an 8B model's layers make of 8,192 tokens, and a square one; FLOPs a second."""
    size = 128 if bench.rehearse else 8192
    half = size // 2
    sides = {"square": (size, size, size), "attention": (size, half, half), "feed_forward": (size, half, 3 * half)}
    figures: Figures = {}
    for name, (rows, inner, columns) in sides.items():
        left = torch.randn(rows, inner, device=bench.device, dtype=torch.bfloat16)
        right = torch.randn(inner, columns, device=bench.device, dtype=torch.bfloat16)
        # Several in a row: one alone is over before the next can be asked for.
        times = 2 if bench.rehearse else 20

        def work(left: torch.Tensor = left, right: torch.Tensor = right, times: int = times) -> None:
            for _ in range(times):
                torch.mm(left, right)

        seconds = best_seconds(bench.device, work, 3) / times
        figures[f"{name}_flops"] = 2 * rows * inner * columns / seconds
    figures["flops"] = max(value for key, value in figures.items() if key.endswith("_flops"))
    return figures


def memory(bench: Bench) -> Figures:
    """Bytes a second of a copy within the card's memory, read and written both counted."""
    count = (1 << 22 if bench.rehearse else 4 * GIB) // 2
    source = torch.empty(count, device=bench.device, dtype=torch.bfloat16).normal_()
    target = torch.empty_like(source)
    seconds = best_seconds(bench.device, lambda: target.copy_(source), 5)
    return {"bytes_a_second": 2 * 2 * count / seconds, "bytes": 2 * count}


def transfer(bench: Bench) -> Figures:
    """Bytes a second from the machine's memory to the card and back, pinned and not, in pieces of one adapter of an 8B
    model (87 MB) and of one of its matrices (128 kB)."""
    large, small = (1 << 20, 1 << 12) if bench.rehearse else (87 << 20, 128 << 10)
    pinned_possible = bench.device == "cuda"
    figures: Figures = {}
    for name, size in (("adapter", large), ("matrix", small)):
        here = torch.empty(size, dtype=torch.uint8)
        there = torch.empty(size, dtype=torch.uint8, device=bench.device)
        ways = {"pageable": here} | ({"pinned": here.pin_memory()} if pinned_possible else {})
        for way, source in ways.items():
            seconds = best_seconds(bench.device, lambda s=source, t=there: t.copy_(s, non_blocking=True), 10)  # type: ignore[misc]
            figures[f"{name}_{way}_bytes_a_second"] = size / seconds
        seconds = best_seconds(bench.device, lambda s=here, t=there: s.copy_(t), 10)  # type: ignore[misc]
        figures[f"{name}_back_bytes_a_second"] = size / seconds
    figures["to_card_bytes_a_second"] = max(v for k, v in figures.items() if k.startswith("adapter_p"))
    return figures


def identity(bench: Bench) -> Figures:
    """Which card, and what else makes up the machine."""
    import os

    import psutil

    figures: Figures = {"cores": len(os.sched_getaffinity(0)), "memory": psutil.virtual_memory().total}
    if bench.device == "cuda":
        about = torch.cuda.get_device_properties(0)
        figures |= {
            "name": about.name,
            "card_memory": about.total_memory,
            "multiprocessors": about.multi_processor_count,
        }
        figures |= {"cuda": torch.version.cuda, "capability": list(torch.cuda.get_device_capability(0))}
    else:
        figures |= {"name": "no card: a rehearsal", "card_memory": 0}
    return figures


def measure(bench: Bench) -> None:
    """About half a minute on a card."""
    bench.take("identity", 2, lambda: identity(bench))
    bench.take("products", 10, lambda: products(bench))
    bench.take("memory", 10, lambda: memory(bench))
    bench.take("transfer", 10, lambda: transfer(bench))
