"""The gateway on a real server on loopback, over an engine that says what a test tells it to."""

from __future__ import annotations

import asyncio
import json
import socket
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

import httpx
import uvicorn
from fake_engine import FakeEngine, Words
from openai import AsyncOpenAI

from config.names import VersionName
from config.settings import Settings
from serving.answer import Finished, Piece, Sampling
from serving.entrance import Entrance
from serving.gateway.app import create_gateway
from serving.prompt import Message, Tool
from serving.waiting_line import WaitingLine
from store.assistants import add_assistant
from store.database import Database
from store.keys import KeyRow, Leads, add_key
from store.tables import Version

SYSTEM = "You are the harbour office."
GATED = "You are the harbour office of old."


class ToolWords(Words):
    """A tokenizer that counts words; `knows_tools` as the test wants it."""

    def __init__(self, knows_tools: bool = False) -> None:
        self.knows_tools = knows_tools

    def count(self, messages: Sequence[Message], tools: Sequence[Tool] = (), most: int | None = None) -> int:
        return super().count(messages) + len(tools)


@dataclass
class ToldEngine(FakeEngine):
    """Keeps how each answer was to be drawn."""

    samplings: list[Sampling] = field(default_factory=list)

    async def stream(
        self, version: VersionName, messages: Sequence[Message], sampling: Sampling
    ) -> AsyncIterator[Piece | Finished]:
        self.samplings.append(sampling)
        async for event in super().stream(version, messages, sampling):
            yield event


@asynccontextmanager
async def listening(app: Any) -> AsyncIterator[str]:
    """Its address, for as long as the block runs."""
    server = uvicorn.Server(uvicorn.Config(app, log_level="error", lifespan="off", timeout_graceful_shutdown=1))
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        task = asyncio.create_task(server.serve([listener]))
        async with asyncio.timeout(20):
            while not server.started:  # noqa: ASYNC110 - uvicorn has no event for it
                await asyncio.sleep(0.01)
        try:
            yield f"http://127.0.0.1:{listener.getsockname()[1]}"
        finally:
            server.should_exit = True
            await task


async def made_key(
    database: Database, name: str = "program", assistants: list[str] | None = None, *, a_minute: int = 1000,
    leads: Leads = "assistant",
) -> tuple[str, KeyRow]:  # fmt: skip
    async with database.session() as session:
        key, row = await add_key(session, name, assistants, a_minute=a_minute, leads=leads, by="test")
    return key.get_secret_value(), row


async def two_assistants(database: Database) -> None:
    """`harbour`, whose versions 1 and 2 passed and 3 failed, with 2 in service; and `garden`, untuned."""
    async with database.session() as session:
        harbour = await add_assistant(session, "harbour", SYSTEM, "demo")
        await add_assistant(session, "garden", "You are the garden.", "demo")
        for number, state in ((1, "passed"), (2, "passed"), (3, "failed")):
            session.add(
                Version(
                    assistant_id=harbour.id, number=number, state=state, digest="0" * 64, base_model="demo",
                    system_prompt=f"{GATED} {number}", report={"sentence": "Measured.", "reasons": ["It was worse."]},
                )
            )  # fmt: skip
        harbour.in_service = 2


@dataclass
class Door:
    """A running gateway, and clients of it."""

    address: str
    key: str
    database: Database
    engine: Any
    tokenizer: Any
    entrance: Entrance

    @property
    def line(self) -> WaitingLine:
        return self.entrance.line

    def client(self, key: str | None = None) -> AsyncOpenAI:
        """OpenAI's own client, which tries nothing twice."""
        http = httpx.AsyncClient(trust_env=False, verify=False, timeout=30)
        return AsyncOpenAI(api_key=key or self.key, base_url=f"{self.address}/v1", max_retries=0, http_client=http)

    async def ask(self, key: str | None = None, **body: Any) -> httpx.Response:
        """A plain request, as it goes over the wire."""
        body = {"model": "harbour", "messages": [{"role": "user", "content": "Hello"}]} | body
        async with httpx.AsyncClient(base_url=self.address, trust_env=False, verify=False, timeout=30) as http:
            headers = {"Authorization": f"Bearer {key or self.key}", "Content-Type": "application/json"}
            return await http.post("/v1/chat/completions", content=json.dumps(body), headers=headers)


@asynccontextmanager
async def running(
    database: Database, settings: Settings, engine: Any, tokenizer: Any, *, requests: int = 32, a_minute: int = 1000,
    longest: int | None = None,
) -> AsyncIterator[Door]:  # fmt: skip
    """The gateway over `engine`, with a key for all assistants."""

    async def source() -> Any:
        return tokenizer

    entrance = Entrance(engine, requests, longest, source)
    app = create_gateway(database, settings, engine, entrance, source)
    key, _ = await made_key(database, "everything", a_minute=a_minute)
    async with listening(app) as address:
        yield Door(address, key, database, engine, tokenizer, entrance)
