"""An engine that says what a test tells it to, with the real client's face, and a tokenizer that counts words."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass, field
from typing import Any

from config.errors import EngineUnavailable
from config.names import VersionName
from serving.answer import Finished, Piece, Sampling
from serving.prompt import Message
from serving.status import EngineStatus


class Words:
    """A tokenizer: a token a word."""

    def count(self, messages: Sequence[Message]) -> int:
        return sum(len(message["content"].split()) for message in messages)

    def text_ids(self, text: str) -> list[int]:
        return [0] * len(text.split())

    def without_control(self, text: str) -> str:
        return text.replace("<|end|>", "")


async def words() -> Any:
    return Words()


@dataclass
class FakeEngine:
    """`script`: what each request gives in turn: pieces, an error to raise, or an event to wait for. The last one is
    repeated. Requests are kept as (version, messages)."""

    script: list[list[str | Exception | asyncio.Event]] = field(default_factory=lambda: [["Hello", " there."]])
    context: int = 100
    status: EngineStatus = field(default_factory=lambda: EngineStatus("ready", "The engine is ready.", 0.0))
    requests: list[tuple[VersionName, list[Message]]] = field(default_factory=list)
    warmed: list[VersionName] = field(default_factory=list)
    closed: int = 0
    running: int = 0
    most_running: int = 0

    @property
    def client(self) -> Any:
        return self

    def be(self, state: Any, sentence: str) -> None:
        self.status = EngineStatus(state, sentence, 20.0 if state == "warming" else None)

    async def wait_ready(self) -> None:
        while self.status.state != "ready":
            if self.status.state in ("failed", "off"):
                raise EngineUnavailable(self.status.sentence)
            await asyncio.sleep(0.01)

    async def healthy(self) -> bool:
        return True

    async def warm(self, version: VersionName) -> None:
        self.warmed.append(version)

    async def stream(
        self, version: VersionName, messages: Sequence[Message], sampling: Sampling
    ) -> AsyncIterator[Piece | Finished]:
        self.requests.append((version, list(messages)))
        self.running += 1
        self.most_running = max(self.most_running, self.running)
        said: list[str] = []
        try:
            for step in self.script.pop(0) if len(self.script) > 1 else self.script[0]:
                if isinstance(step, Exception):
                    raise step
                if isinstance(step, asyncio.Event):
                    await step.wait()
                else:
                    said.append(step)
                    yield Piece(step)
                    await asyncio.sleep(0)
            yield Finished("".join(said), "stop", 7, len(said), 0.1, 0.2)
        finally:
            self.running -= 1
            self.closed += 1
