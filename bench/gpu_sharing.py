"""One card for both: serving while training, each against itself alone; and asleep and awake again.

The engine is given the share of the card that `reserve` gives it, and is able to sleep, so that one start serves both.
Training runs in a process of its own (`python -m bench.gpu_sharing`), as a job's does, within its share. Answers before
sleeping and after waking are compared token for token, one at a time, so that each is computed in the same batch.
"""

from __future__ import annotations

import asyncio
import json
import os
import sys
import time
from dataclasses import replace
from pathlib import Path

from bench.gpu_engine import DUMMY, MeasuredEngine, card_free, engine, plan_for, why_not
from bench.gpu_load import Answered, Load
from bench.gpu_results import Bench, Figures, Results
from bench.gpu_shapes import model_folder, publish_adapters
from bench.gpu_training import Timed, paced, shape_for
from config.hardware import Gpu, card_shares
from config.names import VersionName
from serving.answer import Sampling
from serving.sleeping import Sleeper
from tuning.sharing import changed, scores
from tuning.training.run import MEMORY_SHARE_VARIABLE

ADAPTERS, QUESTIONS, ANSWER_TOKENS = 16, 4, 32
STEPS_SECONDS = 25.0
STEPPING = "stepping"
ROOT = Path(__file__).resolve().parent.parent


async def train_beside(bench: Bench, share: float, seconds: float, stepping: asyncio.Event) -> Figures:
    """The trainer's pace in a process of its own; `stepping` is set when its steps begin to count."""
    environment = os.environ | {MEMORY_SHARE_VARIABLE: str(share)}
    command = [sys.executable, "-m", "bench.gpu_sharing", str(bench.work / "beside"), str(seconds), bench.device]
    child = await asyncio.create_subprocess_exec(*command, env=environment, cwd=ROOT, stdout=asyncio.subprocess.PIPE)
    assert child.stdout is not None
    last = b""
    async for line in child.stdout:
        if line.strip() == STEPPING.encode():
            stepping.set()
        elif line.strip():
            last = line
    if await child.wait():
        raise RuntimeError("the training process ended badly")
    found: Figures = json.loads(last)
    return found


async def talk_until(load: Load, names: list[str], at_once: int, over: asyncio.Event) -> list[Answered]:
    """Answers without pause until `over`."""
    done: list[Answered] = []

    async def one_after_another(number: int) -> None:
        while not over.is_set():
            done.append(await load.ask(names[number % len(names)]))

    await asyncio.gather(*(one_after_another(number) for number in range(at_once)))
    return done


def pace_within(answers: list[Answered], began: float, ended: float) -> float:
    """Tokens a second that arrived between two times of the performance counter."""
    tokens = 0.0
    for one in answers:
        each = one.tokens / len(one.arrivals)
        tokens += each * sum(began <= at <= ended for at in one.arrivals)
    return tokens / (ended - began)


async def together(bench: Bench, load: Load, names: list[str], at_once: int, share: float) -> Figures:
    """Serving alone, training alone (the engine idle), and both at once; tokens a second."""
    seconds = 1.0 if bench.rehearse else STEPS_SECONDS

    began, over = time.perf_counter(), asyncio.Event()
    talking = asyncio.create_task(talk_until(load, names, at_once, over))
    await asyncio.sleep(seconds)
    await load.ask(names[0])  # on a busy processor no token need have come by now: one whole answer more has
    ended = time.perf_counter()
    over.set()
    alone = pace_within(await talking, began + seconds / 5, ended)
    training = await train_beside(bench, share, seconds, asyncio.Event())

    stepping, over = asyncio.Event(), asyncio.Event()
    beside = asyncio.create_task(train_beside(bench, share, seconds, stepping))
    waited = asyncio.create_task(stepping.wait())
    await asyncio.wait({beside, waited}, return_when=asyncio.FIRST_COMPLETED)
    began, talking = time.perf_counter(), asyncio.create_task(talk_until(load, names, at_once, over))
    try:
        both = await beside
    finally:
        waited.cancel()
        ended = time.perf_counter()
        over.set()
        answers = await talking
    return {"at_once": at_once, "training_share": share, "serving_alone": alone,
            "serving_beside": pace_within(answers, began, ended), "training_alone": training["tokens_a_second"],
            "training_beside": both["tokens_a_second"], "training_peak_bytes": both["peak_bytes"],
            "taken_in_parts": both["taken_in_parts"]}  # fmt: skip


async def said_by(running: MeasuredEngine, names: list[VersionName], tokens: int) -> list[str]:
    """Each version's likeliest answers to the same questions, one at a time."""
    sampling = Sampling(max_tokens=tokens, temperature=0.0)
    found = []
    for name in names:
        for number in range(QUESTIONS):
            question = f"What about {number + 2} of them for dinner, and a table by the window?"
            found.append((await running.client.answer(name, [{"role": "user", "content": question}], sampling)).text)
    return found


async def sleep(bench: Bench, running: MeasuredEngine, names: list[VersionName]) -> Figures:
    """Sleeping with answers under way, one asked for while asleep, and waking; what each took and what came back."""
    sleeper = Sleeper(running.socket)
    tokens = 8 if bench.rehearse else ANSWER_TOKENS
    before, scored = await said_by(running, names, tokens), await scores(running.client, names)
    free = card_free()
    async with Load(running.socket, running.key, prompt_words=20, answer=16 if bench.rehearse else 200) as load:
        under_way = [asyncio.create_task(load.ask(str(name))) for name in names[:4]]
        await asyncio.sleep(0.3)
        began = time.perf_counter()
        await sleeper.sleep()
        sleep_seconds = time.perf_counter() - began
        finished = [one.tokens for one in await asyncio.gather(*under_way)]
        asleep, free_asleep = await sleeper.asleep(), card_free()
        meanwhile = asyncio.create_task(load.ask(str(names[0]), 8))
        await asyncio.sleep(0.5)
        waited = not meanwhile.done()
        began = time.perf_counter()
        await sleeper.wake()
        wake_seconds = time.perf_counter() - began
        answered = (await meanwhile).tokens == 8
    after = await said_by(running, names, tokens)
    wrong = changed(scored, await scores(running.client, names), 0.01)
    same = sum(one == other for one, other in zip(before, after, strict=True))
    return {"sleep_seconds": sleep_seconds, "wake_seconds": wake_seconds, "slept": asleep,
            "freed_bytes": free_asleep - free if free is not None and free_asleep is not None else None,
            "under_way": len(finished), "under_way_finished": sum(count > 0 for count in finished),
            "asked_asleep_waited": waited, "asked_asleep_answered": answered, "answers": len(after),
            "same_share": same / len(after), "versions": len(names), "versions_changed": len(wrong)}  # fmt: skip


async def measured(bench: Bench, running: MeasuredEngine, share: float) -> None:
    """Both, on an engine that can sleep; `share` is what training may take of the card."""
    shape = shape_for(bench)
    count, at_once = (3, 4) if bench.rehearse else (ADAPTERS, 64)
    names = await asyncio.to_thread(publish_adapters, shape, running.model, running.paths, count, 0, "sharing")
    for name in names:
        await running.client.warm(name)
    await bench.take_async("sleep", 90, lambda: sleep(bench, running, names))
    words, answer = (20, 8) if bench.rehearse else (180, 128)
    async with Load(running.socket, running.key, prompt_words=words, answer=answer) as load:
        said = [str(name) for name in names]
        await bench.take_async("together", 180, lambda: together(bench, load, said, at_once, share))
    found = bench.results.get(bench.part, "together")
    if found:
        kept = {f"{side}_kept": found[f"{side}_beside"] / found[f"{side}_alone"] for side in ("serving", "training")}
        bench.results.put(bench.part, "verdict", kept)


async def measure(bench: Bench) -> None:
    """One engine start."""
    if all(bench.results.has(bench.part, name) for name in ("sleep", "together")):
        return
    if reason := why_not():
        bench.results.put(bench.part, "engine", {"skipped": reason})
        bench.say(f"skipped: {reason}")
        return
    shape = shape_for(bench)
    model = model_folder(shape, bench.work)
    card = bench.results.get("card", "identity").get("card_memory") or 140 << 30
    shares = card_shares(Gpu("the card", card), 2 * shape.parameters, "reserve")
    plan = replace(plan_for(bench, slots=32, kept=64, requests=72, share=shares.serving), sharing="sleep")
    async with engine(bench, model, plan, DUMMY, home="sharing") as running:
        bench.results.put(bench.part, "engine", {"started_seconds": running.started, "serving_share": shares.serving})
        await measured(bench, running, shares.training)


class Told(Timed):
    """Says when its steps begin to count."""

    def _step(self, step: object) -> None:
        if self._seen == 2:
            print(STEPPING, flush=True)
        super()._step(step)  # type: ignore[arg-type]


def main() -> None:
    """`python -m bench.gpu_sharing WORK SECONDS DEVICE`: the training side, its figures as the last line."""
    work, seconds, device = Path(sys.argv[1]), float(sys.argv[2]), sys.argv[3]
    bench = Bench("beside", device, work, Results(work / "none.json", "none", True), time.monotonic() + seconds + 300)
    shape = shape_for(bench)
    location = model_folder(shape, work).location
    print(json.dumps(paced(bench, shape, location, 40, seconds=seconds, timed=Told)), flush=True)


if __name__ == "__main__":
    main()
