"""Tools with a real tokenizer, whose template knows them: what is counted is what the model is told."""

from __future__ import annotations

import json
from typing import Any

import pytest
from knowing_tools import demo_knowing_tools

from config.catalogue import DEMO_FOLDER
from config.settings import Settings
from serving.gateway.errors import ApiError
from serving.gateway.prompt import Prepared, prepare
from serving.gateway.shapes import ChatRequest
from serving.prompt import ChatTokenizer

TOOL = {
    "type": "function",
    "function": {"name": "tide", "description": "When the <|end|>tide turns", "parameters": {"type": "object"}},
}


@pytest.fixture(scope="module")
def knowing(tmp_path_factory: pytest.TempPathFactory) -> ChatTokenizer:
    """The demo model's, with a template that tells of tools."""
    return ChatTokenizer(str(demo_knowing_tools(tmp_path_factory.mktemp("knowing"))))


def prepared(tokenizer: ChatTokenizer, settings: Settings, context: int = 1024, **asked: Any) -> Prepared:
    request = {"model": "harbour", "messages": [{"role": "user", "content": "When?"}], **asked}
    return prepare(ChatRequest.model_validate(request), tokenizer, "You are kind.", "assistant", context, settings)


def test_a_template_that_tells_of_tools_is_told_from_one_that_does_not(knowing: ChatTokenizer) -> None:
    assert knowing.knows_tools
    assert not ChatTokenizer(str(DEMO_FOLDER)).knows_tools


def test_the_room_for_an_answer_is_what_prompt_and_tools_leave(knowing: ChatTokenizer, settings: Settings) -> None:
    call = {"id": "c", "type": "function", "function": {"name": "tide", "arguments": '{"day": "Monday"}'}}
    said = [
        {"role": "user", "content": "When?"},
        {"role": "assistant", "content": None, "tool_calls": [call]},
        {"role": "tool", "tool_call_id": "c", "content": "At six."},
    ]
    made = prepared(knowing, settings, messages=said, tools=[TOOL], max_tokens=2000)
    told = json.loads(json.dumps(TOOL).replace("<|end|>", ""))
    assert made.sampling.body()["tools"] == [told]
    shown: list[Any] = [dict(message) for message in made.messages]
    shown[2]["tool_calls"] = [call | {"function": {"name": "tide", "arguments": {"day": "Monday"}}}]
    with_tools, without = knowing.count(shown, [told]), knowing.count(shown)
    assert with_tools > without > 0
    assert made.sampling.max_tokens == 1024 - with_tools
    with pytest.raises(ApiError) as caught:
        prepared(knowing, settings, context=with_tools, messages=said, tools=[TOOL])
    assert caught.value.code == "context_length_exceeded"


def test_arguments_that_no_template_could_read_are_refused(knowing: ChatTokenizer, settings: Settings) -> None:
    for arguments in ("{", "[1]", '"x"'):
        call = {"id": "c", "type": "function", "function": {"name": "tide", "arguments": arguments}}
        with pytest.raises(ApiError, match="JSON object") as caught:
            prepared(knowing, settings, messages=[{"role": "assistant", "tool_calls": [call]}])
        assert caught.value.param == "messages[0].tool_calls"
