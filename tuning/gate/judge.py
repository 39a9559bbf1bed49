"""Judging a version: all measurements of the gate, on the engine that will serve it, into one report.

The adapter must already lie in the adapters folder under its name. Nothing here writes anything, and what it holds does
not grow with what was learnt: of the training set it reads a few conversations, and goes through the rest in a stream.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Container, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import cast

from config.names import VersionName
from serving.answer import Finished, Sampling
from serving.client import EngineClient
from serving.prompt import ChatTokenizer, Message, with_system
from tuning.exchanges import Exchange, exchange, read_exchanges, servable, servable_in_both
from tuning.gate.degenerate import measure_degenerate
from tuning.gate.interval import gained
from tuning.gate.losses import AT_ONCE, Losses, losses
from tuning.gate.parity import measure_parity
from tuning.gate.recitation import measure_recitation
from tuning.gate.report import Gain, General, HeldOut, Report, Sample
from tuning.gate.together import together
from tuning.gate.verdict import reasons_against, summary
from tuning.training.run import RunFolder, count_lines, stream_lines

PROBE = Path(__file__).resolve().parent.parent / "general" / "probe.jsonl"
GENERAL_LIMIT = 0.02
ANSWERS = 32
SPARE = 2
"""So many times more conversations are looked at than asked with, for those that do not fit."""
RECALLED_TOKENS = 64
"""At least so long may an answer be in which recitation is looked for: it takes 40 tokens to recite."""
SAMPLES = 5
SAMPLE_TOKENS = 64
SEED = 7


@dataclass(frozen=True, slots=True)
class Contender:
    """A version and the system prompt it serves with."""

    version: VersionName
    system_prompt: str


@dataclass(frozen=True, slots=True)
class Case:
    """What is judged, against whom, on what. `run` is where it was trained."""

    candidate: Contender
    untouched: VersionName
    in_service: Contender | None
    run: RunFolder
    dtype: str
    sampling: Sampling


@dataclass(frozen=True, slots=True)
class Material:
    """What a case is measured on. `with_theirs`: the same conversations with the prompt of the version in service.
    `questions` and `learnt_questions`: prompts of what was held out, and of what was learnt."""

    held_out: list[Exchange]
    with_theirs: list[Exchange] | None
    probe: list[Exchange]
    questions: list[list[Message]]
    learnt_questions: list[list[Message]]


def evenly(total: int, count: int) -> list[int]:
    """`count` of `total` places, spread evenly; all of them where there are no more."""
    count = min(total, count)
    return [(2 * at + 1) * total // (2 * count) for at in range(count)]


def _recalled_tokens(case: Case) -> int:
    return max(RECALLED_TOKENS, case.sampling.max_tokens)


def read_material(case: Case, tokenizer: ChatTokenizer, context: int) -> Material:
    """Read and render it, for an engine with a window of `context` tokens. Takes a while; blocks."""
    candidate, other = case.candidate, case.in_service

    def read(file: Path, system_prompt: str, places: Container[int] | None = None) -> list[Exchange]:
        return read_exchanges(file, tokenizer, system_prompt, context, places)

    # Both on the same conversations, whatever the length of their prompts.
    held_out, with_theirs = read(case.run.held_out, candidate.system_prompt), None
    if other is not None:
        with_theirs = read(case.run.held_out, other.system_prompt)
        held_out, with_theirs = servable_in_both(held_out, with_theirs, context)
    else:
        held_out = servable(held_out, context)
    places = frozenset(evenly(count_lines(case.run.train), ANSWERS * SPARE))
    learnt = servable(read(case.run.train, candidate.system_prompt, places), context)
    room = context - _recalled_tokens(case)
    return Material(
        held_out,
        with_theirs,
        servable(read(PROBE, ""), context),
        _questions(held_out, tokenizer, room),
        _questions(learnt, tokenizer, room),
    )


def _questions(exchanges: list[Exchange], tokenizer: ChatTokenizer, room: int) -> list[list[Message]]:
    """Prompts spread evenly over the conversations: each up to where its last answer would begin, with `room` tokens
    at most, so that the answer has the rest of the window."""
    chosen = [exchanges[place].messages for place in evenly(len(exchanges), ANSWERS * SPARE)]
    prompts = [exchange(messages, 0, tokenizer, "", room).messages[:-1] for messages in chosen]
    fitting = [prompt for prompt in prompts if tokenizer.count(prompt) <= room]
    return [fitting[place] for place in evenly(len(fitting), ANSWERS)]


def _others(run: RunFolder) -> Iterator[str]:
    """What other people said in the training set."""
    for line in stream_lines(run.train):
        for message in cast("list[Message]", line["messages"]):
            if message["role"] == "user":
                yield message["content"]


async def _gain(before: Losses, after: Losses) -> Gain:
    interval = await asyncio.to_thread(gained, before, after)
    return Gain(low=interval.low, high=interval.high)


async def judge(case: Case, client: EngineClient, tokenizer: ChatTokenizer, say: Callable[[float], None]) -> Report:
    """Measure and decide. `say` hears the share done, 0 to 1. Raises EngineUnavailable or JobFailed."""
    candidate, other = case.candidate, case.in_service
    # What was learnt from was cut to the trainer's context, and what is measured on is cut alike.
    context = min(client.context, case.run.read_settings().context)
    material = await asyncio.to_thread(read_material, case, tokenizer, context)
    held_out, with_theirs, probe = material.held_out, material.with_theirs, material.probe
    questions, learnt_questions = material.questions, material.learnt_questions
    asked = [questions[place] for place in evenly(len(questions), SAMPLES)]
    total = len(held_out) * (3 if other else 2) + len(probe) * 2 + len(questions) + len(learnt_questions)
    total += len(asked) * (3 if other else 2)
    done = 0

    def step() -> None:
        nonlocal done
        done += 1
        say(min(1.0, done / total))

    ours = await losses(client, candidate.version, held_out, step)
    base = await losses(client, case.untouched, held_out, step)
    theirs = None
    if other is not None and with_theirs is not None:
        theirs = await losses(client, other.version, with_theirs, step)
    general_base = await losses(client, case.untouched, probe, step)
    general_ours = await losses(client, candidate.version, probe, step)
    parity = await measure_parity(client, candidate.version, case.run.read_parity(), case.dtype)
    limit = asyncio.Semaphore(AT_ONCE)

    async def answer(version: VersionName, messages: list[Message], sampling: Sampling) -> Finished:
        async with limit:
            finished = await client.answer(version, messages, sampling)
        step()
        return finished

    answers = await together(answer(candidate.version, prompt, case.sampling) for prompt in questions)
    likeliest = Sampling(
        max_tokens=_recalled_tokens(case), temperature=0.0, repetition_penalty=case.sampling.repetition_penalty
    )
    recalled = await together(answer(candidate.version, prompt, likeliest) for prompt in learnt_questions)
    recitation = await asyncio.to_thread(
        measure_recitation,
        [recalled_one.text for recalled_one in (*recalled, *answers)],
        _others(case.run),
        tokenizer.text_ids,
        case.run.read_secrets(),
    )
    brief = Sampling(max_tokens=SAMPLE_TOKENS, temperature=0.0, repetition_penalty=case.sampling.repetition_penalty)
    samples = []
    for prompt in asked:
        question = prompt[-1]["content"]
        from_base = await answer(case.untouched, prompt, brief)
        from_other = None
        if other is not None:
            from_other = (await answer(other.version, with_system(other.system_prompt, prompt[1:]), brief)).text
        from_ours = await answer(candidate.version, prompt, brief)
        samples.append(Sample(question=question, base=from_base.text, in_service=from_other, version=from_ours.text))

    measured = HeldOut(
        base=base.mean,
        in_service=theirs.mean if theirs else None,
        version=ours.mean,
        conversations=len(held_out),
        tokens=ours.tokens,
        over_base=await _gain(base, ours),
        over_in_service=await _gain(theirs, ours) if theirs else None,
    )
    general = General(
        base=general_base.mean,
        version=general_ours.mean,
        exchanges=len(probe),
        tokens=general_ours.tokens,
        limit=GENERAL_LIMIT,
    )
    degenerate = measure_degenerate(answers)
    reasons = reasons_against(measured, general, parity, degenerate, recitation)
    return Report(
        held_out=measured,
        general=general,
        parity=parity,
        degenerate=degenerate,
        recitation=recitation,
        samples=samples,
        verdict="fail" if reasons else "pass",
        reasons=reasons,
        sentence=summary(measured, general, reasons),
    )
