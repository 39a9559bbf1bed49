"""Judging a version: all measurements of the gate, on the engine that will serve it, into one report.

The adapter must already lie in the adapters folder under its name. Nothing here writes anything.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from config.names import VersionName
from serving.client import EngineClient, Finished, Sampling
from serving.prompt import ChatTokenizer, Message, with_system
from tuning.exchanges import Exchange, read_exchanges, servable
from tuning.gate.degenerate import measure_degenerate
from tuning.gate.losses import AT_ONCE, mean_loss
from tuning.gate.parity import measure_parity
from tuning.gate.report import General, HeldOut, Report, Sample
from tuning.gate.verdict import reasons_against, summary
from tuning.training.run import RunFolder

PROBE = Path(__file__).resolve().parent.parent / "general" / "probe.jsonl"
GENERAL_LIMIT = 0.02
ANSWERS = 32
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


def _questions(exchanges: list[Exchange], count: int) -> list[list[Message]]:
    """Prompts spread evenly over the conversations: each up to where its last answer would begin."""
    every = max(1, len(exchanges) // count)
    return [exchange.messages[:-1] for exchange in exchanges[::every]][:count]


async def judge(case: Case, client: EngineClient, tokenizer: ChatTokenizer, say: Callable[[float], None]) -> Report:
    """Measure and decide. `say` hears the share done, 0 to 1. Raises EngineUnavailable or JobFailed."""
    candidate, other = case.candidate, case.in_service

    def read(file: Path, system_prompt: str) -> list[Exchange]:
        return servable(read_exchanges(file, tokenizer, system_prompt, client.context), client.context)

    held_out = read(case.run.held_out, candidate.system_prompt)
    probe = read(PROBE, "")
    questions = _questions(held_out, ANSWERS)
    asked = questions[:: max(1, len(questions) // SAMPLES)][:SAMPLES]
    total = len(held_out) * (3 if other else 2) + len(probe) * 2 + len(questions) + len(asked) * 2
    done = 0

    def step() -> None:
        nonlocal done
        done += 1
        say(min(1.0, done / total))

    ours = await mean_loss(client, candidate.version, held_out, step)
    base = await mean_loss(client, case.untouched, held_out, step)
    theirs = None
    if other is not None:
        with_theirs = read(case.run.held_out, other.system_prompt)
        theirs = await mean_loss(client, other.version, with_theirs, step)
    general_base = await mean_loss(client, case.untouched, probe, step)
    general_ours = await mean_loss(client, candidate.version, probe, step)
    parity = await measure_parity(client, candidate.version, case.run.read_parity(), case.dtype)
    limit = asyncio.Semaphore(AT_ONCE)

    async def answer(version: VersionName, messages: list[Message], sampling: Sampling) -> Finished:
        async with limit:
            finished = await client.answer(version, messages, sampling)
        step()
        return finished

    answers = await asyncio.gather(*(answer(candidate.version, prompt, case.sampling) for prompt in questions))
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
    )
    general = General(
        base=general_base.mean,
        version=general_ours.mean,
        exchanges=len(probe),
        tokens=general_ours.tokens,
        limit=GENERAL_LIMIT,
    )
    degenerate = measure_degenerate(answers)
    reasons = reasons_against(measured, general, parity, degenerate)
    return Report(
        held_out=measured,
        general=general,
        parity=parity,
        degenerate=degenerate,
        samples=samples,
        verdict="fail" if reasons else "pass",
        reasons=reasons,
        sentence=summary(measured, general, reasons),
    )
