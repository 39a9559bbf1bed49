"""The figures on a real GPU, all by one script: `python -m bench.gpu [--part NAME …] [--minutes N] [--rehearse]`

It finds what is installed, measures what it can, and writes `bench/results/gpu-CARD.json` after every single
measurement; started again, it goes on with what is missing. On a machine without a GPU it says so and exits 0, and
nothing is claimed. `--rehearse` runs every part on the processor with shapes so small that they show only that the
script works; its figures go into a temporary folder unless `--results` names another, and are marked as a rehearsal.
`--table` prints what is measured as Markdown, for docs/benchmarks.md.

The parts, each in a process of its own so that the card is empty before the next and a crash is only one part's:

    card         matrix products, memory, the way to the card          1 minute
    training     8B shape, LoRA r=16, beside TRL's SFTTrainer          7 minutes
    correctness  trainer and engine compared at bf16, 0.6B shape       4 minutes
    serving      8B shape, 1 to 512 adapters                           7 minutes
    hotload      adapters never seen, and what others notice           4 minutes
    sharing      serving while training; sleeping and waking           6 minutes

The environment: torch with CUDA (2.11 for CUDA 13 wants `vllm` 0.25.1, newer torch the vllm that pins it), with
transformers, peft, accelerate and aiohttp, and for the rival `trl` and `datasets`. This project must be installed (`pip
install --no-deps --no-build-isolation .` does it without a network), because the engine finds the adapter resolver by
its entry point. Nothing is downloaded: shapes and weights are made on the spot (bench/gpu_shapes.py). What is not
installed is noted as skipped. 8B in bf16 with 512 adapters wants about 80 GiB of the card, 64 GiB of memory, 5 GiB of
disk.
"""

from __future__ import annotations

import argparse
import asyncio
import importlib
import inspect
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from bench.gpu_results import Bench, Results

ROOT = Path(__file__).resolve().parent.parent
PARTS = {"card": 1.0, "training": 7.0, "correctness": 4.0, "serving": 7.0, "hotload": 4.0, "sharing": 6.0}
"""Minutes that each takes at most, unless --minutes says otherwise."""
LAST_SECONDS = 20.0
"""What a part is given to put its things away after its time; then it is ended."""


def card_here() -> str | None:
    """The card's name; None where torch is not installed or sees none."""
    try:
        import torch
    except ImportError:
        return None
    return str(torch.cuda.get_device_name(0)) if torch.cuda.is_available() else None


def run_part(name: str, bench: Bench) -> None:
    """In this process."""
    measured = importlib.import_module(f"bench.gpu_{name}").measure(bench)
    if inspect.isawaitable(measured):

        async def through() -> None:
            await measured

        asyncio.run(through())


def start_part(name: str, seconds: float, asked: argparse.Namespace) -> int:
    """In a process of its own, ended when its time is long over; its exit status."""
    command = [sys.executable, "-m", "bench.gpu", "--child", name, "--minutes", str(seconds / 60)]
    command += ["--work", str(asked.work), "--results", str(asked.results), *(["--rehearse"] if asked.rehearse else [])]
    search = os.pathsep.join(filter(None, (str(ROOT), os.environ.get("PYTHONPATH"))))
    environment = os.environ | {"PYTHONPATH": search, "PYTHONUNBUFFERED": "1", "TOKENIZERS_PARALLELISM": "false"}
    child = subprocess.Popen(command, env=environment)
    try:
        return child.wait(timeout=seconds + LAST_SECONDS)
    except subprocess.TimeoutExpired:
        child.terminate()
        try:
            return child.wait(timeout=LAST_SECONDS)
        except subprocess.TimeoutExpired:
            child.kill()
            return child.wait()


def main() -> int:
    """0 done, or no GPU; 1 where a part ended badly."""
    ask = argparse.ArgumentParser(prog="python -m bench.gpu", description=(__doc__ or "").split("\n", 1)[0])
    ask.add_argument("--part", action="append", choices=PARTS, help="only this; may be given several times")
    ask.add_argument("--minutes", type=float, help="for all that is asked for together; each part keeps its own limit")
    ask.add_argument("--rehearse", action="store_true", help="on the processor, with tiny shapes; claims nothing")
    ask.add_argument("--results", type=Path, help="folder for gpu-CARD.json (default: bench/results)")
    ask.add_argument("--work", type=Path, help="folder for models and adapters (default: a temporary one)")
    ask.add_argument("--table", action="store_true", help="print what is measured so far as Markdown, and end")
    ask.add_argument("--child", choices=PARTS, help=argparse.SUPPRESS)
    asked = ask.parse_args()
    began = time.monotonic()
    card = "rehearsal" if asked.rehearse else card_here()
    if card is None:
        print("No GPU was found by torch here, so nothing is measured and nothing is claimed.")
        return 0
    with tempfile.TemporaryDirectory(prefix="parlance-gpu-") as scratch:
        asked.work = (asked.work or Path(scratch) / "work").absolute()
        fallback = Path(scratch) / "results" if asked.rehearse else ROOT / "bench" / "results"
        asked.results = (asked.results or fallback).absolute()
        results = Results.open(asked.results, card, rehearsal=asked.rehearse)
        if asked.table:
            from bench.gpu_table import table

            print(table(results))
            return 0
        if asked.child:
            until = began + asked.minutes * 60
            run_part(asked.child, Bench(asked.child, "cpu" if asked.rehearse else "cuda", asked.work, results, until))
            return 0
        total = asked.minutes * 60 if asked.minutes else float("inf")
        bad = []
        for name in asked.part or PARTS:
            seconds = min(PARTS[name] * 60, total - (time.monotonic() - began) - LAST_SECONDS)
            if seconds < 20:
                print(f"[{name}] no time left")
                continue
            print(f"[{name}] {seconds / 60:.1f} minutes at most", flush=True)
            if start_part(name, seconds, asked):
                bad.append(name)
        if bad:
            print(f"Ended badly: {', '.join(bad)}.")
        print(f"Figures so far: {results.file}" if not asked.rehearse else "Rehearsed; its figures mean nothing.")
        return 1 if bad else 0


if __name__ == "__main__":
    sys.exit(main())
