"""An engine that plays along: it finds every new version better, and can hang or break off where a test wants it to.

What it says of a conversation that the trainer computed is what the trainer computed, so that whole jobs, real trainer
and real gate, pass without a vLLM.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

from config.catalogue import find_model
from config.names import RESERVED_PREFIX, VersionName
from config.paths import Paths
from serving.answer import Finished, Sampling, Scored
from serving.prompt import ChatTokenizer, Message
from tuning.training.run import RunFolder


@dataclass
class PlayedEngine:
    """`script`: what befalls the next questions, one each: None for nothing, an error to raise, an event to wait for.
    `away`: errors for the next who ask for the engine itself. `says`: its answer to a question put with some sampling.
    Keeps what it was asked."""

    paths: Paths
    script: list[Exception | asyncio.Event | None] = field(default_factory=list)
    away: list[Exception | asyncio.Event] = field(default_factory=list)
    says: Callable[[Sequence[Message], Sampling], str] = lambda messages, sampling: "Aye, at dawn."
    warmed: list[VersionName] = field(default_factory=list)
    asked: list[tuple[VersionName, list[Message], Sampling]] = field(default_factory=list)
    scored: int = 0
    taken: int = 0
    context: int = 1024

    def __post_init__(self) -> None:
        self._tokenizer = ChatTokenizer(find_model("demo").location)

    @asynccontextmanager
    async def ready(self) -> AsyncIterator[Any]:
        self.taken += 1
        if self.away:
            await _befall(self.away.pop(0))
        yield self

    async def score(self, version: VersionName, messages: Sequence[Message]) -> Scored:
        self.scored += 1
        await self._next()
        ids = self._tokenizer.render(messages).ids
        if version.assistant.startswith(RESERVED_PREFIX):
            return Scored(ids, [None] + [-9.0] * (len(ids) - 1))
        if (computed := self._computed().get(tuple(ids))) is not None:
            return Scored(ids, computed)
        return Scored(ids, [None] + [-8.9] * (len(ids) - 1))

    async def answer(self, version: VersionName, messages: Sequence[Message], sampling: Sampling) -> Finished:
        await self._next()
        self.asked.append((version, list(messages), sampling))
        return Finished(self.says(messages, sampling), "stop", 7, 5, 0.1, 0.2)

    async def warm(self, version: VersionName) -> None:
        await self._next()
        self.warmed.append(version)

    async def _next(self) -> None:
        if self.script:
            await _befall(self.script.pop(0))
        await asyncio.sleep(0)

    def _computed(self) -> dict[tuple[int, ...], list[float | None]]:
        runs = [RunFolder(file.parent) for file in self.paths.jobs.glob("*/parity.json")]
        return {tuple(row.ids): row.logprobs for run in runs for row in run.read_parity().rows}


async def _befall(what: Exception | asyncio.Event | None) -> None:
    if isinstance(what, Exception):
        raise what
    if what is not None:
        await what.wait()
