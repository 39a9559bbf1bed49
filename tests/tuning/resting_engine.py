"""A measuring engine as a job's sharing sees one: it notes what is said to those who wait."""

from __future__ import annotations

from dataclasses import dataclass, field

from bench.gpu_engine import MeasuredEngine
from config.hardware import Plan
from config.names import VersionName
from config.paths import Paths
from serving.client import EngineClient


@dataclass
class RestingEngine:
    """`said` holds every sentence while it rested, and "up" or "restart" for the ends of it."""

    running: MeasuredEngine
    plan: Plan
    said: list[str] = field(default_factory=list)
    seconds: list[float | None] = field(default_factory=list)

    @property
    def client(self) -> EngineClient:
        return self.running.client

    @property
    def paths(self) -> Paths:
        return self.running.paths

    @property
    def untuned(self) -> VersionName:
        return self.running.untuned

    async def wait_ready(self) -> None:
        assert await self.client.healthy()

    def rest(self, sentence: str, seconds: float | None = None) -> None:
        self.said.append(sentence)
        self.seconds.append(seconds)

    def rise(self) -> None:
        self.said.append("up")

    async def restart(self, plan: Plan) -> None:
        self.said.append("restart")
