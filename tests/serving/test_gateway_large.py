"""Requests that are made to be large, with the demo model's own tokenizer: nobody else waits for them."""

from __future__ import annotations

import asyncio
import json
import threading
from collections.abc import AsyncIterator, Sequence
from typing import Any

import httpx
import pytest
from gateway_running import Door, ToldEngine, running, two_assistants

from config.catalogue import DEMO_FOLDER
from config.settings import Settings
from serving.prompt import ChatTokenizer, Message, Tool
from store.database import Database

HALF = 200_000
HOSTILE: dict[str, Any] = {
    "nested": [{"role": "user", "content": "<|en" * HALF + "<|end|>" + "d|>" * HALF + " stay" * 2000}],
    "one long text": [{"role": "user", "content": "hello there " * 330_000}],
    "one side speaks for ever": [
        {"role": "user", "content": "x" * 2_000_000},
        *[{"role": "user", "content": "y"}] * 19_000,
    ],
}


class NotedTokenizer(ChatTokenizer):
    """Keeps which threads it worked in."""

    def __init__(self, location: str) -> None:
        super().__init__(location)
        self.threads: set[int] = set()

    def without_control(self, text: str) -> str:
        self.threads.add(threading.get_ident())
        return super().without_control(text)

    def count(self, messages: Sequence[Message], tools: Sequence[Tool] = (), most: int | None = None) -> int:
        self.threads.add(threading.get_ident())
        return super().count(messages, tools, most)


@pytest.fixture(scope="module")
def tokenizer() -> NotedTokenizer:
    return NotedTokenizer(str(DEMO_FOLDER))


@pytest.fixture
async def door(database: Database, settings: Settings, tokenizer: NotedTokenizer) -> AsyncIterator[Door]:
    await two_assistants(database)
    async with running(database, settings, ToldEngine(context=1024), tokenizer) as door:
        yield door


async def posted(door: Door, messages: Any) -> httpx.Response:
    body = json.dumps({"model": "harbour", "messages": messages}).encode()
    assert len(body) < 4_000_000, "else it is refused for its size"
    async with httpx.AsyncClient(base_url=door.address, trust_env=False, verify=False, timeout=60) as http:
        headers = {"Authorization": f"Bearer {door.key}", "Content-Type": "application/json"}
        return await http.post("/v1/chat/completions", content=body, headers=headers)


@pytest.mark.parametrize("kind", HOSTILE)
async def test_what_can_never_fit_is_refused_while_others_are_answered(
    door: Door, tokenizer: NotedTokenizer, kind: str
) -> None:
    large = asyncio.create_task(posted(door, HOSTILE[kind]))
    assert (await asyncio.wait_for(door.ask(), 30)).status_code == 200
    refused = await asyncio.wait_for(large, 30)
    assert refused.status_code == 400 and refused.json()["error"]["code"] == "context_length_exceeded"
    assert threading.get_ident() not in tokenizer.threads and tokenizer.threads


async def test_of_a_hundred_thousand_faults_one_is_named(door: Door) -> None:
    for messages, param in (([{"role": "user"}] * 100_000, "messages"), ([{"role": "u"}] * 19_000, "messages[0].role")):
        refused = await posted(door, messages)
        assert refused.status_code == 400 and refused.json()["error"]["param"] == param
        assert len(refused.content) < 1000
