"""One engine, many adapters: tokens a second and time to the first token at 1 to 512, beside one adapter and the base.

All in one run of one engine, 64 and 256 conversations at once. Before a measurement every adapter of it has answered
once, so that what is measured is having many and not meeting them. Loading is bench/gpu_hotload.py's.
"""

from __future__ import annotations

import asyncio

from bench.gpu_engine import MeasuredEngine, engine, plan_for, why_not
from bench.gpu_load import Load, figures
from bench.gpu_results import Bench, Figures
from bench.gpu_shapes import model_folder, publish_adapters
from bench.gpu_training import shape_for

COUNTS = (1, 4, 16, 64, 256, 512)
AT_ONCE = (64, 256)
ROUNDS_OF_ANSWERS = 4
"""Answers of a measurement, in multiples of what is asked at once."""
WANTED = 0.9


def sizes(bench: Bench) -> tuple[tuple[int, ...], tuple[int, ...]]:
    """Adapters, and conversations at once."""
    return ((1, 4, 12), (4, 8)) if bench.rehearse else (COUNTS, AT_ONCE)


async def measure(bench: Bench) -> None:
    """Everything that one engine start can tell."""
    counts, at_once = sizes(bench)
    wanted = [f"base_at_{n}" for n in at_once] + [f"{c}_at_{n}" for c in counts for n in at_once]
    if all(bench.results.has(bench.part, name) for name in wanted):
        return
    if reason := why_not():
        bench.results.put(bench.part, "engine", {"skipped": reason})
        bench.say(f"skipped: {reason}")
        return
    shape = shape_for(bench)
    model = model_folder(shape, bench.work)
    # Slots for as many adapters as there are conversations at once; all that there are stay in the machine's memory.
    plan = plan_for(bench, slots=max(at_once), kept=max(counts) + 8, requests=max(at_once))
    async with engine(bench, model, plan) as running:
        bench.results.put(bench.part, "engine", {"started_seconds": running.started, "slots": plan.max_loras,
                                                 "kept": plan.max_cpu_loras})  # fmt: skip
        names = await asyncio.to_thread(publish_adapters, shape, model, running.paths, max(counts))
        await loaded(bench, running, [str(name) for name in names], counts, at_once)
    bench.results.put(bench.part, "verdict", verdict(bench, counts, at_once))


async def loaded(
    bench: Bench, running: MeasuredEngine, names: list[str], counts: tuple[int, ...], at_once: tuple[int, ...]
) -> None:
    """The base, then ever more adapters; the most important counts first, should the time end."""
    words, answer = (20, 8) if bench.rehearse else (180, 128)
    async with Load(running.socket, running.key, prompt_words=words, answer=answer) as load:
        await load.run([running.model.name, names[0]], min(8, max(at_once)), 16)

        async def once(models: list[str], number: int) -> Figures:
            return figures(*await load.run(models, number, number * (2 if bench.rehearse else ROUNDS_OF_ANSWERS)))

        met = 0
        for count in sorted(counts, key=lambda c: (c not in (1, max(counts)), c)):
            fresh = names[met:count]
            if fresh and bench.results.has(bench.part, f"meeting_{count}"):
                await met_once(load, fresh)  # measured before, but this engine has not met them
            elif fresh:
                await bench.take_async(f"meeting_{count}", 70, lambda f=fresh: met_once(load, f))  # type: ignore[misc]
            met = max(met, count)
            for number in at_once:
                if count == 1:
                    # On a card the base can be asked beside adapters; on a processor that is wrong (docs), so the
                    # untuned adapter stands for it.
                    base = str(running.untuned) if bench.rehearse else running.model.name
                    await bench.take_async(f"base_at_{number}", 25, lambda n=number, b=base: once([b], n))  # type: ignore[misc]
                await bench.take_async(f"{count}_at_{number}", 25, lambda n=number, c=count: once(names[:c], n))  # type: ignore[misc]


async def met_once(load: Load, names: list[str]) -> Figures:
    """Each adapter's first answer of one token, eight at a time: seconds for all."""
    answers, seconds = [], 0.0
    gate = asyncio.Semaphore(8)

    async def first(name: str) -> None:
        async with gate:
            answers.append(await load.ask(name, 1))

    loop = asyncio.get_running_loop()
    began = loop.time()
    await asyncio.gather(*(first(name) for name in names))
    seconds = loop.time() - began
    return {"adapters": len(names), "seconds": seconds, "ms_each": 1000 * seconds / len(names)}


def verdict(bench: Bench, counts: tuple[int, ...], at_once: tuple[int, ...]) -> Figures:
    """Of one adapter's throughput, what is left at the most adapters; of the base's, what is left with one."""
    figures_: Figures = {"wanted": WANTED}
    for number in at_once:
        pace = {
            name: bench.results.get(bench.part, f"{name}_at_{number}").get("tokens_a_second")
            for name in ("base", "1", str(max(counts)))
        }
        one, most, base = pace["1"], pace[str(max(counts))], pace["base"]
        figures_[f"most_of_one_at_{number}"] = most / one if one and most else None
        figures_[f"one_of_base_at_{number}"] = one / base if one and base else None
    return figures_
