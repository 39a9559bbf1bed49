"""Training on the card: the trainer as it is, on rows of 2,048 tokens of which half are learnt, and a whole small job.

Held against the card's own rate of bf16 products and against TRL's SFTTrainer (bench/gpu_training_trl.py) on the same
rows, both with gradient checkpointing and without, the faster of each counting. Work a token, as is usual for adapters:
4 FLOPs for each weight of the frozen layers (2 forward, 2 for the gradients that pass through), attention over the
causal half three times, and the output head on learnt tokens alone. What is computed again in the backward pass is not
counted as work. Weights are random and drawn on the card; the trainer gets them in place of reading them.
"""

from __future__ import annotations

import gc
import json
import random
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any
from unittest.mock import patch

import torch

from bench.gpu_card import wait
from bench.gpu_results import Bench, Figures
from bench.gpu_shapes import LARGE, RANK, TINY, Shape, model_folder, random_model
from serving.prompt import ChatTokenizer
from tuning.training.batches import Step
from tuning.training.loop import Cancelled, Training
from tuning.training.planned import BATCH_TOKENS
from tuning.training.run import RunFolder, TrainingRun

WARM_UP_STEPS = 2
CONTEXT, ROWS = 2048, 8
"""Tokens of a row, and rows of a step. A rehearsal has an eighth of the one and a quarter of the other."""
TYPICAL, TYPICAL_TURNS, TYPICAL_WORDS = 1000, 8, 24
"""Conversations of a typical small community, their turns, and the words of a turn: about 250 tokens each."""
NOUNS = ("car", "table", "train", "hotel", "room", "dinner", "morning", "ticket", "number", "place", "price", "week")


def said(chance: random.Random, words: int) -> str:
    """So many words; about as many tokens."""
    return " ".join(chance.choice(NOUNS) for _ in range(words))


def conversations(count: int, turns: int, words: int, seed: int) -> list[str]:
    """Lines of a .jsonl file; person and assistant say the same amount."""
    chance = random.Random(seed)
    lines = []
    for _ in range(count):
        talk = [{"role": ("user", "assistant")[at % 2], "content": said(chance, words)} for at in range(turns)]
        lines.append(json.dumps({"messages": talk, "learn_from": 0, "at": 0}))
    return lines


def work_a_token(shape: Shape, length: float, learnt: float) -> float:
    """FLOPs a token, in rows of `length`, where the share `learnt` goes through the head."""
    attention = 6 * length * shape.heads * shape.head * shape.layers
    return 4 * shape.linear_parameters + attention + learnt * 4 * shape.width * shape.vocabulary


class Enough(Exception):
    """All steps that were to be timed are done."""


class Timed(Training):
    """The trainer, its optimizer steps timed until so many are done or so many seconds spent on them."""

    steps_wanted, seconds_wanted = 0, float("inf")

    def go(self) -> Any:
        self.pace = {"tokens": 0, "padded": 0, "learnt": 0, "steps": 0, "seconds": 0.0}
        self._seen = 0
        return super().go()

    def _step(self, step: Step) -> None:
        wait(self.device.type)
        began = time.perf_counter()
        super()._step(step)
        wait(self.device.type)
        self._seen += 1
        if self._seen > WARM_UP_STEPS:
            rows = [self.rows[place] for place in step.rows]
            self.pace["seconds"] += time.perf_counter() - began
            self.pace["tokens"] += sum(row.width for row in rows)
            self.pace["padded"] += max(row.width for row in rows) * len(rows)
            self.pace["learnt"] += sum(len(row.learnt) for row in rows)
            self.pace["steps"] += 1
        if self.pace["steps"] == self.steps_wanted or self.pace["seconds"] > self.seconds_wanted:
            raise Enough


def emptied(device: str) -> None:
    """The card without what nothing refers to any more, its peak forgotten."""
    gc.collect()
    if device == "cuda":
        torch.cuda.empty_cache()
        torch.cuda.reset_peak_memory_stats()


@contextmanager
def given(base: Any) -> Iterator[None]:
    """Inside, the trainer is given `base` in place of weights read from a folder."""
    with patch("tuning.training.lora.load_base", lambda run: base):
        yield


def run_folder(place: Path, lines: list[str], held_out: int, **settings: Any) -> tuple[RunFolder, TrainingRun]:
    """What the trainer reads."""
    place.mkdir(parents=True, exist_ok=True)
    folder = RunFolder(place)
    folder.held_out.write_text("\n".join(lines[:held_out]))
    folder.train.write_text("\n".join(lines[held_out:]))
    run = TrainingRun.model_validate(settings)
    folder.settings.write_text(run.model_dump_json())
    return folder, run


def shape_for(bench: Bench) -> Shape:
    """8B on a card."""
    return TINY if bench.rehearse else LARGE


def settings_for(bench: Bench, location: str) -> dict[str, Any]:
    """Of every run here."""
    return {"model": location, "device": bench.device, "dtype": "float32" if bench.rehearse else "bfloat16",
            "rank": RANK, "threads": 2 if bench.rehearse else 8, "checkpoint_every": 3600.0}  # fmt: skip


def long_rows(bench: Bench, location: str, count: int) -> tuple[list[str], int, int]:
    """Conversations that fill a row, the length of one, and rows of a step."""
    context, rows = (CONTEXT // 8, ROWS // 4) if bench.rehearse else (CONTEXT, ROWS)
    tokenizer = ChatTokenizer(location)
    probe = json.loads(conversations(1, 2, 30, 0)[0])["messages"]
    pair = len(tokenizer.render(probe).ids)
    return conversations(count, 2 * (context // pair), 30, 1), context, rows


def paced(
    bench: Bench, shape: Shape, location: str, steps: int, *, seconds: float = 60.0, timed: type[Timed] = Timed,
    **changes: Any,
) -> Figures:  # fmt: skip
    """The trainer's own steps on rows of 2,048 tokens, replay off; so many, or those of about `seconds`."""
    lines, context, rows = long_rows(bench, location, 4 + ROWS * (steps + WARM_UP_STEPS))
    emptied(bench.device)
    settings = settings_for(bench, location) | {
        "context": context, "batch_tokens": context * rows, "replay_share": 0, "own_share": 0, "epochs": 1,
        "general_limit": 1000.0,
    } | changes  # fmt: skip
    folder, run = run_folder(bench.work / "pace", lines, 4, **settings)
    base = random_model(shape, bench.device, getattr(torch, run.dtype))
    with given(base):
        training = timed(folder, run, lambda: False)
    training.steps_wanted, training.seconds_wanted = steps, seconds
    with suppress(Enough):
        training.go()
    pace, parts = training.pace, training.in_parts.count
    peak = torch.cuda.max_memory_allocated() if bench.device == "cuda" else 0
    del training, base
    emptied(bench.device)
    return figures_of(bench, shape, pace, peak) | {"taken_in_parts": parts}


def figures_of(bench: Bench, shape: Shape, pace: dict[str, Any], peak: int) -> Figures:
    """Rates, and the share of the card's measured rate of products."""
    seconds, tokens = pace["seconds"], pace["tokens"]
    length = CONTEXT // 8 if bench.rehearse else CONTEXT
    work = work_a_token(shape, length, pace["learnt"] / tokens)
    figures = {"tokens_a_second": tokens / seconds, "learnt_tokens_a_second": pace["learnt"] / seconds,
               "learnt_share": pace["learnt"] / tokens, "steps": pace["steps"], "seconds": seconds,
               "peak_bytes": peak, "flops_a_token": work, "flops": work * tokens / seconds}  # fmt: skip
    if "padded" in pace:
        figures["filled"] = tokens / pace["padded"]
    card = bench.results.get("card", "products").get("flops")
    return figures | ({"share_of_card": figures["flops"] / card} if card else {})


def rival(bench: Bench, shape: Shape, location: str, steps: int, *, checkpointing: bool) -> Figures:
    """SFTTrainer on the same rows."""
    try:
        from bench.gpu_training_trl import theirs
    except ImportError as missing:
        return {"skipped": f"{missing.name} is not installed"}
    lines, context, rows = long_rows(bench, location, ROWS * (steps + WARM_UP_STEPS))
    emptied(bench.device)
    place = bench.work / "rival"
    place.mkdir(parents=True, exist_ok=True)
    (place / "train.jsonl").write_text("\n".join(lines))
    pace, peak = theirs(bench, shape, location, place, context, rows, steps, checkpointing=checkpointing)
    emptied(bench.device)
    return figures_of(bench, shape, pace, peak)


def job(bench: Bench, shape: Shape, location: str) -> Figures:
    """1,000 typical conversations through the trainer as a job runs it: replay, KL, measurements, early stop, adapter.

    Where the time ends first, what is left is reckoned from the steps done and said to be so.
    """
    count = 24 if bench.rehearse else TYPICAL
    lines = conversations(count + count // 10, TYPICAL_TURNS, TYPICAL_WORDS, 2)
    emptied(bench.device)
    epochs = 1 if bench.rehearse else 4
    # The weights are random, so that early stopping would tell nothing: all epochs are run.
    settings = settings_for(bench, location)
    settings |= {"context": 1024, "epochs": epochs, "patience": 100, "general_limit": 1e9, "checkpoint_every": 30.0}
    if not bench.rehearse:
        settings["batch_tokens"] = BATCH_TOKENS["cuda"]
    folder, run = run_folder(bench.work / f"job-{time.monotonic_ns()}", lines, count // 10, **settings)
    base = random_model(shape, bench.device, getattr(torch, run.dtype))
    until = time.monotonic() + max(30.0, bench.left() - 30)
    began = time.monotonic()
    with given(base):
        training = Training(folder, run, lambda: time.monotonic() > until)
    ready = time.monotonic() - began
    try:
        training.go()
        whole = True
    except Cancelled:
        whole = False
    spent = time.monotonic() - began
    done, steps = training.course.step, len(training.steps)
    tokens = sum(row.width for row in training.rows)
    peak = torch.cuda.max_memory_allocated() if bench.device == "cuda" else 0
    del training, base
    emptied(bench.device)
    seconds = spent if whole else ready + (spent - ready) * steps / max(1, done)
    return {"conversations": count, "tokens": tokens, "epochs": epochs, "seconds": seconds, "reckoned": not whole,
            "steps": steps, "steps_done": done, "ready_seconds": ready, "peak_bytes": peak}  # fmt: skip


def measure(bench: Bench) -> None:
    """Ours, TRL, and the job; then what follows from the first two."""
    shape, steps = shape_for(bench), 2 if bench.rehearse else 8
    location = model_folder(shape, bench.work).location
    bench.take("ours", 60, lambda: paced(bench, shape, location, steps))
    bench.take("trl_checkpointing", 60, lambda: rival(bench, shape, location, steps, checkpointing=True))
    bench.take("trl_no_checkpointing", 60, lambda: rival(bench, shape, location, steps, checkpointing=False))
    bench.take("thousand_conversations", 100, lambda: job(bench, shape, location))
    for setting in (False, True):
        name = f"ours_{'' if setting else 'no_'}checkpointing"
        bench.take(name, 45, lambda s=setting: paced(bench, shape, location, steps, gradient_checkpointing=s))  # type: ignore[misc]
    bench.results.put(bench.part, "verdict", verdict(bench))


def verdict(bench: Bench) -> Figures:
    """What was wanted: 45% of the card, 1.3 times TRL's faster setting."""
    ours = bench.results.get(bench.part, "ours")
    theirs = [bench.results.get(bench.part, f"trl_{way}checkpointing") for way in ("", "no_")]
    paces = [one["tokens_a_second"] for one in theirs if "tokens_a_second" in one]
    figures: Figures = {"share_of_card": ours.get("share_of_card"), "share_wanted": 0.45, "times_wanted": 1.3}
    figures["times_trl"] = ours["tokens_a_second"] / max(paces) if ours and paces else None
    return figures
