"""Pages and gateway on one port, both real: what opens one opens nothing of the other."""

from __future__ import annotations

from collections.abc import AsyncIterator

import httpx
import pytest
from fake_engine import FakeEngine, words
from gateway_running import ToolWords

from bots.conversation import Conversation
from bots.web.app import create_app
from config.settings import Settings
from console.doors import doors
from serving.entrance import Entrance
from serving.gateway.app import create_gateway
from serving.router import set_route
from store.assistants import add_assistant
from store.database import Database
from store.keys import add_key

HERE = "http://localhost"
HELLO = {"model": "harbour", "messages": [{"role": "user", "content": "Hello"}]}


async def tool_words() -> ToolWords:
    return ToolWords()


@pytest.fixture
async def http(database: Database, settings: Settings) -> AsyncIterator[httpx.AsyncClient]:
    """A browser that has a session on the page."""
    async with database.session() as session:
        await add_assistant(session, "harbour", "", "demo")
        await set_route(session, "default", "", "harbour")
    engine = FakeEngine()
    entrance = Entrance(engine)
    conversation = Conversation(database, settings, engine, words, entrance=entrance)
    both = doors(create_app(conversation), create_gateway(database, settings, engine, entrance, tool_words))
    async with httpx.AsyncClient(transport=httpx.ASGITransport(app=both), base_url=HERE) as browser:
        opened = await browser.post("/api/session", json={}, headers={"Origin": HERE})
        assert opened.status_code == 200 and browser.cookies
        yield browser
    await conversation.close()


@pytest.fixture
async def key(database: Database) -> dict[str, str]:
    """As a header."""
    async with database.session() as session:
        made, _ = await add_key(session, "program", None, a_minute=60, leads="assistant", by="test")
    return {"Authorization": f"Bearer {made.get_secret_value()}"}


async def test_a_pages_cookie_opens_nothing_of_the_gateway(http: httpx.AsyncClient) -> None:
    for answer in (await http.get("/v1/models"), await http.post("/v1/chat/completions", json=HELLO)):
        assert answer.status_code == 401 and answer.json()["error"]["code"] == "invalid_api_key"
        assert "set-cookie" not in answer.headers


async def test_a_key_opens_nothing_of_the_pages(http: httpx.AsyncClient, key: dict[str, str]) -> None:
    http.cookies.clear()
    assert (await http.get("/api/history", headers=key)).status_code == 403
    assert (await http.post("/api/messages", json={"text": "x", "id": "m-00000001"}, headers=key)).status_code == 403


async def test_no_rule_of_the_pages_stands_in_a_programs_way(http: httpx.AsyncClient, key: dict[str, str]) -> None:
    foreign = key | {"Origin": "https://elsewhere.example", "Sec-Fetch-Site": "cross-site", "Host": "other.example"}
    models = await http.get("/v1/models", headers=foreign)
    assert models.status_code == 200 and [one["id"] for one in models.json()["data"]] == ["harbour"]
    assert "content-security-policy" not in models.headers
    long = HELLO | {"user": "x" * 700_000}  # more than a page may send
    answer = await http.post("/v1/chat/completions", json=long, headers=foreign)
    assert (answer.status_code, answer.json()["choices"][0]["message"]["content"]) == (200, "Hello there.")


async def test_the_pages_keep_their_rules(http: httpx.AsyncClient) -> None:
    foreign = {"Origin": "https://elsewhere.example"}
    assert (await http.post("/api/session", json={}, headers=foreign)).status_code == 403
    page = await http.get("/")
    assert page.status_code == 200 and "default-src 'none'" in page.headers["content-security-policy"]
