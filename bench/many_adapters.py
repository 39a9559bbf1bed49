"""What many adapters cost: tokens a second with 1 to 256 adapters in use, by an engine as Parlance starts it; by one of
the same plan that computes on a processor what adapters change as vLLM does (`vllm`); by one started with
`--max-loras 4` and nothing else said of adapters (`naive`); against the base model alone, by a fourth engine that takes
none; and what the first use of an adapter costs, against its floor.
Run: `python -m bench.many_adapters [--json] [--counts 1,4,16,64,256]`

Promises that all is measured on the same machine in the same run, the engines and counts in turns within each round,
every prompt begun differently so that no request profits from another's; one engine is asked while the others idle.
vLLM's way is measured in the first two rounds and the naive engine in the first alone, which tells, and takes long.
Untuned is the zero adapter, by which every untuned assistant is served. The floor of a first use is its bytes, read
from memory and copied once. Writes nothing that stays.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import statistics
import sys
import tempfile
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import AsyncExitStack
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from safetensors.torch import load_file

from bench.engine_without import engines_without
from bench.plain_engine import plain_engine
from bench.random_adapters import publish_random
from config.names import VersionName
from config.settings import Settings, load_settings
from serving.adapters import WEIGHTS, digest_of, ensure_untuned
from serving.answer import Sampling
from serving.client import EngineClient
from serving.on_processor import PRODUCTS_VARIABLE
from serving.prompt import with_system
from serving.supervisor import EngineSupervisor
from store.crypto import load_cipher

AT_ONCE, TOKENS, RANK = 32, 32, 16
REQUESTS, NAIVE_REQUESTS, ROUNDS, VLLM_ROUNDS = 256, 64, 3, 2
NAIVE_SLOTS = 4
BASE, UNTUNED = "none taken", "untuned"
FIRST_USES = 32
OPENING = ("table", "train", "taxi", "room", "ticket", "doctor", "film")


@dataclass(frozen=True, slots=True)
class FirstUse:
    """Milliseconds, medians: of an adapter's first request beyond its second, of checking its digest, of reading and
    parsing its file, and of its bytes read and copied once; `size` in bytes."""

    cost: float
    digest: float
    parsing: float
    floor: float
    size: int


async def tokens_a_second(client: EngineClient, names: Sequence[VersionName], requests: int, seed: int) -> float:
    """`requests` requests, AT_ONCE at a time, each of TOKENS tokens, over `names` in turn."""
    gate = asyncio.Semaphore(AT_ONCE)
    sampling = Sampling(max_tokens=TOKENS, temperature=1.0, seed=seed)
    counted = 0

    async def one(number: int) -> None:
        nonlocal counted
        prompt = with_system(
            f"You are helper number {seed}-{number}, and polite.",
            [{"role": "user", "content": f"I need a {OPENING[number % len(OPENING)]} at {number % 12} tonight."}],
        )
        async with gate:
            answer = await client.answer(names[number % len(names)], prompt, sampling)
        counted += answer.answer_tokens

    began = time.perf_counter()
    await asyncio.gather(*(one(number) for number in range(requests)))
    return counted / (time.perf_counter() - began)


async def first_uses(client: EngineClient, names: Sequence[VersionName], folders: Sequence[Path]) -> FirstUse:
    """Each adapter twice, one after another, with one token each."""
    cost, digest, parsing, floor = (list[float]() for _ in range(4))
    for name, folder in zip(names, folders, strict=True):
        began = time.perf_counter()
        await client.warm(name)
        between = time.perf_counter()
        await client.warm(name)
        cost.append(2 * between - began - time.perf_counter())
        weights = folder / WEIGHTS
        floor.append(_seconds(lambda: bytearray(weights.read_bytes())))  # noqa: B023 - called at once
        digest.append(_seconds(lambda: digest_of(folder)))  # noqa: B023
        parsing.append(_seconds(lambda: load_file(weights)))  # noqa: B023
    size = (folders[0] / WEIGHTS).stat().st_size
    shown = [1000 * statistics.median(column) for column in (cost, digest, parsing, floor)]
    return FirstUse(shown[0], shown[1], shown[2], shown[3], size)


def _seconds(work: Callable[[], object]) -> float:
    began = time.perf_counter()
    work()
    return time.perf_counter() - began


async def _started(stack: AsyncExitStack, settings: Settings, naive: bool) -> EngineSupervisor:
    supervisor = EngineSupervisor(settings, load_cipher(settings.paths.key_file, None))
    if naive:
        supervisor.plan = replace(supervisor.plan, max_loras=NAIVE_SLOTS, max_cpu_loras=NAIVE_SLOTS)
    stack.push_async_callback(supervisor.stop)
    supervisor.start()
    await supervisor.wait_ready()
    return supervisor


async def _engines(stack: AsyncExitStack, homes: Mapping[str, Settings]) -> dict[str, EngineSupervisor]:
    planned = await _started(stack, homes["planned"], naive=False)
    with engines_without(PRODUCTS_VARIABLE, options=["--lora-dtype"]):
        vllm = await _started(stack, homes["vllm"], naive=False)
        naive = await _started(stack, homes["naive"], naive=True)
    return {"planned": planned, "vllm": vllm, "naive": naive}


@dataclass(frozen=True, slots=True)
class Side:
    """One engine: in how many `rounds` it is asked, for how many `requests` at least, and whom by turns (`uses`)."""

    client: EngineClient
    rounds: int
    requests: int
    uses: Mapping[str, Sequence[VersionName]]


async def run(counts: Sequence[int], rounds: int, requests: int) -> dict[str, Any]:
    """Four engines, three of them with the same adapters, measured in turns."""
    async with AsyncExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="parlance-bench-")))
        homes = {
            side: load_settings(home=folder / side, base_model="demo", database_url=None)
            for side in ("planned", "vllm", "naive", "base")
        }
        names = [VersionName(f"assistant-{number}", 1) for number in range(max(counts))]
        for settings in homes.values():
            settings.paths.ensure()
        print(f"making {len(names)} adapters, then starting four engines, half a minute each", file=sys.stderr)
        paths = homes["planned"].paths
        model = EngineSupervisor(homes["planned"], load_cipher(paths.key_file, None)).model
        untuned = ensure_untuned(paths, model)
        folders = [publish_random(paths, model, name, RANK, seed) for seed, name in enumerate(names)]
        for other in ("vllm", "naive"):
            homes[other].paths.adapters.rmdir()
            homes[other].paths.adapters.symlink_to(paths.adapters)
        engines = await _engines(stack, homes)
        planned = engines["planned"]
        base = await stack.enter_async_context(plain_engine(model, planned.plan, homes["base"].paths))
        spare = min(FIRST_USES, len(names))
        first = await first_uses(planned.client, names[:spare], folders[:spare])
        for name in names[spare:]:
            await planned.client.warm(name)
        uses = {UNTUNED: [untuned]} | {str(count): names[:count] for count in counts}
        sides = {
            "base": Side(base, rounds, requests, {BASE: [untuned]}),
            "planned": Side(planned.client, rounds, requests, uses),
            "vllm": Side(engines["vllm"].client, min(rounds, VLLM_ROUNDS), requests, uses),
            "naive": Side(engines["naive"].client, 1, min(requests, NAIVE_REQUESTS), uses),
        }
        rates = await _in_rounds(sides, rounds)
        return {
            "slots": planned.plan.max_loras, "kept": planned.plan.max_cpu_loras, "reasons": planned.plan.reasons,
            "tokens_a_second": {side: {c: statistics.median(r) for c, r in by.items()} for side, by in rates.items()},
            "rounds": rates,
            "first_use": {name: getattr(first, name) for name in FirstUse.__slots__},
        }  # fmt: skip


async def _in_rounds(sides: Mapping[str, Side], rounds: int) -> dict[str, dict[str, list[float]]]:
    """Rates by side and use; what is asked in round 0 warms up and is not counted. Every other round goes backwards, so
    that a machine which grows slower or quicker meanwhile favours none."""
    rates: dict[str, dict[str, list[float]]] = {name: {} for name in sides}
    for number in range(rounds + 1):
        for name, side in sides.items():
            if number > side.rounds:
                continue
            for use, chosen in list(side.uses.items())[:: 1 if number % 2 else -1]:
                requests = max(side.requests, len(chosen)) if number else AT_ONCE  # so that each adapter is used
                rate = await tokens_a_second(side.client, chosen, requests, number)
                if number:
                    rates[name].setdefault(use, []).append(rate)
                print(f"round {number}: {name}, {use}: {rate:.0f} tokens/s", file=sys.stderr)
    return rates


def main() -> None:
    """Print a table, or with --json the same figures as one object."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--json", action="store_true")
    parser.add_argument("--counts", default="1,4,16,64,256", help="numbers of adapters in use")
    parser.add_argument("--rounds", type=int, default=ROUNDS)
    parser.add_argument("--requests", type=int, default=REQUESTS)
    arguments = parser.parse_args()
    counts = [int(count) for count in arguments.counts.split(",")]
    result = asyncio.run(run(counts, arguments.rounds, arguments.requests))
    if arguments.json:
        print(json.dumps(result))
        return
    by_side = result["tokens_a_second"]
    base, planned, vllm, naive = by_side["base"][BASE], by_side["planned"], by_side["vllm"], by_side["naive"]
    print(f"{'adapters in use':>16}{'tokens/s':>12}{'of base':>10}{'of one':>10}{'as vLLM':>10}{'naive':>10}")
    print(f"{BASE:>16}{base:12.0f}{1:10.0%}")
    for count, rate in planned.items():
        rounds = result["rounds"]["planned"]
        pairs = zip(rounds[count], rounds.get("1", rounds[count]), strict=True)  # of one round, minutes apart at most
        of_one = statistics.median(many / one for many, one in pairs)
        print(f"{count:>16}{rate:12.0f}{rate / base:10.0%}{of_one:10.0%}{vllm[count]:10.0f}{naive[count]:10.0f}")
    first = result["first_use"]
    print(
        f"first use of an adapter of {first['size'] / 1e6:.1f} MB: {first['cost']:.1f} ms more than the second; its "
        f"digest {first['digest']:.1f} ms, reading and parsing {first['parsing']:.1f} ms, its bytes copied once "
        f"{first['floor']:.1f} ms"
    )


if __name__ == "__main__":
    main()
