"""The whole way with the real engine: page, conversation, router, prompt, client, vLLM."""

from __future__ import annotations

import pytest
from waiting import until
from web_server import Browser, serving

from bots.conversation import Conversation
from bots.seams import base_model_tokenizer
from serving.router import set_route
from store.assistants import add_assistant

SYSTEM = "You are the harbour office."


@pytest.fixture
async def browser(database, engine, settings):
    async with database.session() as session:
        await add_assistant(session, "harbour", SYSTEM, "demo")
        await set_route(session, "default", "", "harbour")
    conversation = Conversation(database, settings, engine.supervisor, base_model_tokenizer(settings))
    async with serving(conversation) as site:
        made = Browser(site.address)
        await made.open()
        yield made
        await made.http.aclose()


async def test_a_person_is_answered_by_the_real_engine_piece_by_piece(browser):
    cursor = (await browser.history())["cursor"]
    await browser.say("Hello, can you help me with a boat?")
    entries = await browser.read_until("done", cursor)
    pieces = [entry["text"] for entry in entries if entry["kind"] == "piece"]
    answer = next(entry for entry in entries if entry["kind"] == "answer")
    assert len(pieces) > 1 and "".join(pieces) == answer["text"]
    assert answer["version"] == "base-demo@v0" and answer["state"] == "said"


async def test_a_stopped_answer_is_kept_as_far_as_it_was_said_and_the_next_one_comes(browser):
    cursor = (await browser.history())["cursor"]
    await browser.say("Tell me everything that you know about trains.", "m-00000001")
    await browser.read_until("piece", cursor)
    await browser.say("/stop", "b-00000002")
    await browser.say("Thank you!", "m-00000003")

    async def both():
        items = [item for item in (await browser.history())["items"] if item["kind"] == "message"]
        return items if len(items) == 4 and items[-1]["state"] in ("said", "failed") else None

    items = await until(both)
    assert items[1]["state"] in ("cut", "said")


async def test_a_conversation_longer_than_the_window_goes_on(browser):
    for at in range(3):
        cursor = (await browser.history())["cursor"]
        await browser.say("I would like to book a table for two people tonight. " * 40, f"m-0000000{at}")
        entries = await browser.read_until("done", cursor)
        assert any(entry["kind"] == "answer" for entry in entries)
