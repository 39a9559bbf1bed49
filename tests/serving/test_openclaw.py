"""OpenClaw's requests are answered, as long as they are, and as it wants to be answered."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from typing import Any

import openai
import openclaw
import pytest
from gateway_running import Door, ToldEngine, running, two_assistants
from running_engine import RunningEngine

from config.settings import Settings
from serving.prompt import ChatTokenizer
from store.database import Database
from store.tables import Assistant

LARGEST = 42_000
"""Bytes of its instructions."""


@pytest.fixture(scope="module")
def knowing(engine: RunningEngine) -> ChatTokenizer:
    """Of the demo model, whose template knows tools."""
    return ChatTokenizer(engine.supervisor.model.location)


@pytest.fixture
async def real(
    engine: RunningEngine, knowing: ChatTokenizer, database: Database, settings: Settings
) -> AsyncIterator[Door]:
    await two_assistants(database)
    async with database.session() as session:
        (await session.get_one(Assistant, 1)).in_service = None  # there are no files of its versions
    async with running(database, settings, engine.supervisor, knowing) as door:
        yield door


async def chunks(door: Door, **body: Any) -> list[Any]:
    async with door.client() as client:
        stream = await client.chat.completions.create(**body)
        return [chunk async for chunk in stream]


def ended_as_it_wants(said: list[Any]) -> tuple[str, Any]:
    """The text and the usage of a stream that has one reason, then the counts in a chunk without choices."""
    *told, last = said
    assert last.choices == [] and last.usage.total_tokens == last.usage.prompt_tokens + last.usage.completion_tokens
    assert all(len(chunk.choices) == 1 and chunk.usage is None for chunk in told)
    assert told[0].choices[0].delta.role == "assistant"
    reasons = [chunk.choices[0].finish_reason for chunk in told]
    assert reasons[:-1] == [None] * (len(reasons) - 1) and reasons[-1] in ("stop", "length", "tool_calls")
    return "".join(chunk.choices[0].delta.content or "" for chunk in told), last.usage


async def test_its_whole_request_with_shorter_instructions_is_answered_by_the_engine(
    real: Door, engine: RunningEngine
) -> None:
    asked = openclaw.request(300, described=False)
    text, usage = ended_as_it_wants(await chunks(real, **asked))
    assert text.strip() and 0 < usage.completion_tokens <= asked["max_completion_tokens"]
    assert 300 < usage.prompt_tokens < engine.client.context  # the eleven tools among it
    over_the_wire = await real.ask(**asked)
    assert over_the_wire.text.endswith("data: [DONE]\n\n")
    with pytest.raises(openai.BadRequestError) as caught:
        await chunks(real, **openclaw.request(LARGEST))
    assert caught.value.code == "context_length_exceeded"  # by which it knows to shorten the conversation


async def test_a_context_of_32768_tokens_has_room_for_all_of_it(
    knowing: ChatTokenizer, database: Database, settings: Settings
) -> None:
    """Counted by the demo model's tokenizer, whose tokens are shorter than those of models that serve OpenClaw."""
    await two_assistants(database)
    call = '<tool_call>{"name": "read", "arguments": {"path": "times.md"}}</tool_call>'
    told = ToldEngine([["I will look.\n", call[:9], call[9:]]], context=32768)
    async with running(database, settings, told, knowing) as door:
        said = await chunks(door, **openclaw.request(LARGEST))
    text, _ = ended_as_it_wants(said)
    assert text == "I will look." and said[-2].choices[0].finish_reason == "tool_calls"
    (made,) = [call for chunk in said[:-1] for call in chunk.choices[0].delta.tool_calls or ()]
    assert made.function.name == "read" and json.loads(made.function.arguments) == {"path": "times.md"}
    _, messages = told.requests[0]
    assert [message["role"] for message in messages] == ["system", "user", "assistant", "tool", "user"]
    assert len(messages[0]["content"].encode()) > LARGEST
    assert messages[-1]["content"] == "[Mon 09:13] Hello?\n[Mon 09:14] Are you there?"
    assert len(told.samplings[0].body()["tools"]) == 11
