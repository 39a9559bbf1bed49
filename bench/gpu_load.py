"""Chat-like load on an engine: so many conversations at once, each answer's first token and the gaps between the next.

Written close to the wire, so that the measuring process is not what is measured: no JSON is read but the last event of
an answer. Answers have a set length, whatever the model would say (`ignore_eos`). Knows nothing of what is loaded.
"""

from __future__ import annotations

import asyncio
import itertools
import json
import random
import statistics
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

import aiohttp

from bench.gpu_results import Figures
from bench.gpu_training import said

PROMPT_WORDS, ANSWER_TOKENS = 180, 128
SYSTEM = "You are a polite helper. " + "Keep to the point. " * 6


@dataclass(slots=True)
class Answered:
    """Of one answer, by the performance counter: asked, each token's arrival; `tokens` as the engine counts."""

    model: str
    asked: float
    arrivals: list[float] = field(default_factory=list)
    tokens: int = 0

    @property
    def to_first(self) -> float:
        return self.arrivals[0] - self.asked

    @property
    def gaps(self) -> list[tuple[float, float]]:
        """When each gap between two tokens ended, and its seconds."""
        return [(after, after - before) for before, after in itertools.pairwise(self.arrivals)]


class Load:
    """Asks one engine. A context: its connections close at the end."""

    def __init__(
        self, socket: Path, key: str, *, prompt_words: int = PROMPT_WORDS, answer: int = ANSWER_TOKENS
    ) -> None:
        self._socket, self._key = socket, key
        self._words, self._answer = prompt_words, answer
        self._chance = random.Random(5)

    async def __aenter__(self) -> Load:
        self._http = aiohttp.ClientSession(
            base_url="http://engine",
            connector=aiohttp.UnixConnector(str(self._socket), limit=0, keepalive_timeout=2.0),
            headers={"Authorization": f"Bearer {self._key}", "Content-Type": "application/json"},
            timeout=aiohttp.ClientTimeout(total=None, sock_read=300), trust_env=False,
        )  # fmt: skip
        return self

    async def __aexit__(self, *_: object) -> None:
        await self._http.close()

    def _body(self, model: str, answer: int) -> bytes:
        # Every prompt is another one, so that no prefix but the system prompt is shared.
        prompt = f"{self._chance.random():.9f} {said(self._chance, self._words)}"
        return json.dumps({
            "model": model, "stream": True, "stream_options": {"include_usage": True}, "temperature": 0.7,
            "max_tokens": answer, "ignore_eos": True,
            "messages": [{"role": "system", "content": SYSTEM}, {"role": "user", "content": prompt}],
        }).encode()  # fmt: skip

    async def ask(self, model: str, answer: int | None = None) -> Answered:
        """One answer to its end. Raises RuntimeError where the engine refuses or breaks off."""
        body = self._body(model, answer or self._answer)
        one = Answered(model, time.perf_counter())
        async with self._http.post("/v1/chat/completions", data=body) as response:
            if response.status != 200:
                raise RuntimeError(f"{response.status}: {(await response.text())[:500]}")
            last = b""
            async for line in response.content:
                if not line.startswith(b"data: {"):
                    continue
                if b'"usage":{' in line:
                    last = line
                elif b'"role"' not in line:  # the opening event, which comes before any token
                    one.arrivals.append(time.perf_counter())
        one.tokens = json.loads(last[6:])["usage"]["completion_tokens"] if last else 0
        if not one.arrivals or not one.tokens:
            raise RuntimeError(f"{model} broke off")
        return one

    async def run(self, models: Sequence[str], at_once: int, count: int) -> tuple[list[Answered], float]:
        """`count` answers, `at_once` under way at any time, `models` in turn; and the seconds until the last."""
        waiting = iter(range(count))
        done: list[Answered] = []

        async def one_after_another() -> None:
            for number in waiting:
                done.append(await self.ask(models[number % len(models)]))

        began = time.perf_counter()
        await asyncio.gather(*(one_after_another() for _ in range(at_once)))
        return done, time.perf_counter() - began


def percentile(values: Sequence[float], share: float) -> float:
    """The value below which that share lies."""
    ordered = sorted(values)
    return ordered[min(len(ordered) - 1, int(share * len(ordered)))]


def figures(answers: Sequence[Answered], seconds: float) -> Figures:
    """Tokens a second of all, time to the first token, gaps between tokens."""
    first = [one.to_first for one in answers]
    gaps = [gap for one in answers for _, gap in one.gaps]
    return {
        "answers": len(answers), "seconds": seconds, "tokens_a_second": sum(one.tokens for one in answers) / seconds,
        "first_token_ms": 1000 * statistics.median(first), "first_token_p99_ms": 1000 * percentile(first, 0.99),
        "between_ms": 1000 * statistics.median(gaps) if gaps else None,
        "between_p99_ms": 1000 * percentile(gaps, 0.99) if gaps else None,
    }  # fmt: skip
