"""The gateway against its own schema: whatever follows it is answered, whatever does not is refused, as it says."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Iterator
from concurrent.futures import Future
from dataclasses import dataclass
from typing import Any

import hypothesis
import pytest
import schemathesis
from gateway_running import ToldEngine, ToolWords, running, two_assistants

from config.settings import load_settings
from serving.gateway.app import create_gateway
from store.database import open_database

EXAMPLES = 20


@dataclass
class Site:
    """A running gateway in a thread of its own: this library's requests wait where they are made."""

    address: str
    key: str


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    settings = load_settings(home=tmp_path_factory.mktemp("schema") / "home", base_model="demo")
    up: Future[Site] = Future()
    enough = asyncio.Event()
    loops: list[asyncio.AbstractEventLoop] = []

    async def run() -> None:
        loops.append(asyncio.get_running_loop())
        database = await open_database(settings)
        await two_assistants(database)
        engine = ToldEngine(context=1_000_000)
        async with running(database, settings, engine, ToolWords(knows_tools=True), a_minute=100_000) as door:
            up.set_result(Site(door.address, door.key))
            await enough.wait()
        await database.close()

    thread = threading.Thread(target=asyncio.run, args=(run(),))
    thread.start()
    yield up.result(timeout=30)
    loops[0].call_soon_threadsafe(enough.set)
    thread.join()


nobody: Any = None
described = create_gateway(
    nobody, nobody, nobody, nobody, nobody
).openapi()  # what it says of itself needs none of them
gateway = schemathesis.openapi.from_dict(described)


@gateway.parametrize()
@hypothesis.settings(max_examples=EXAMPLES, derandomize=True, deadline=None, database=None)
def test_what_the_schema_says_holds(case: Any, site: Site) -> None:
    if case.method == "POST" and case.meta.generation.mode.is_positive:
        _make_answerable(case.body)
    case.call_and_validate(base_url=site.address, headers={"Authorization": f"Bearer {site.key}"})


def _make_answerable(body: Any) -> None:
    """What no schema can say: that the model exists, and that the text of arguments is JSON."""
    body["model"] = "harbour"
    for message in body["messages"]:
        for call in message.get("tool_calls") or ():
            call["function"]["arguments"] = "{}"
