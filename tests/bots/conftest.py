from __future__ import annotations

import itertools
from collections.abc import AsyncIterator, Callable

import pytest
from fake_engine import FakeEngine, words
from web_server import Browser, Site, serving

from bots.conversation import Conversation
from bots.events import Event
from bots.incoming import Incoming, Role
from config.settings import Settings
from serving.router import set_route
from store.assistants import add_assistant
from store.database import Database

Say = Callable[..., "AsyncIterator[Event]"]


@pytest.fixture
def fake_engine() -> FakeEngine:
    return FakeEngine()


@pytest.fixture
async def conversation(database: Database, settings: Settings, fake_engine: FakeEngine) -> AsyncIterator[Conversation]:
    """With one assistant, harbour, that answers everywhere."""
    async with database.session() as session:
        await add_assistant(session, "harbour", "You are the harbour.", "demo")
        await set_route(session, "default", "", "harbour")
    made = Conversation(database, settings, fake_engine, words)
    yield made
    await made.close()


@pytest.fixture
def incoming() -> Callable[..., Incoming]:
    """Makes messages of one private web channel, each with an id of its own."""
    ids = itertools.count(1)

    def make(text: str, *, role: Role = "member", external_id: str | None = None, **more: object) -> Incoming:
        given: dict[str, object] = {"account": "web", "channel": "web:a", "author_id": "1", "author": "Ada"}
        return Incoming(text=text, role=role, external_id=external_id or f"id-{next(ids)}", **(given | more))  # type: ignore[arg-type]

    return make


@pytest.fixture
def ask(conversation: Conversation, incoming: Callable[..., Incoming]) -> Callable[..., object]:
    """Says something and gives all that came of it."""

    async def say(text: str, **more: object) -> list[Event]:
        return [event async for event in conversation.handle(incoming(text, **more))]

    return say


@pytest.fixture
async def site(conversation: Conversation) -> AsyncIterator[Site]:
    """The page, on a real server on loopback."""
    async with serving(conversation) as running:
        yield running


@pytest.fixture
async def browser(site: Site) -> AsyncIterator[Browser]:
    """Somebody who has it before them."""
    made = Browser(site.address)
    yield made
    await made.http.aclose()
