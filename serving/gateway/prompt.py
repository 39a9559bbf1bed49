"""What a client's messages become before the engine sees them, and how the answer is drawn.

Promises that the assistant's own prompt stands first unless the key says otherwise, that no client can write control
tokens, that a conversation reads as those that the assistant learnt from (what one side says in a row is one turn), and
that what this base model cannot do is refused in words. Knows neither HTTP nor the engine.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol, cast

from config.settings import Settings
from serving.answer import Sampling
from serving.gateway.errors import ApiError, too_long
from serving.gateway.shapes import ChatMessage, ChatRequest, ToolCall
from serving.gateway.tool_calls import ToolSampling
from serving.prompt import Message, Tool
from store.keys import Leads

LEAST_ANSWER = 16
"""Tokens that a prompt must leave, where so many are wanted: less would be no answer."""
SMALLEST_TOP_P = 1e-6
"""What 0 stands for: the likeliest token alone."""

Turn = dict[str, Any]


class Tokenizer(Protocol):
    """Of the base model; `serving.prompt.ChatTokenizer` is one."""

    knows_tools: bool

    def count(self, messages: Sequence[Message], tools: Sequence[Tool] = (), most: int | None = None) -> int:
        """Tokens of a prompt that waits for an answer; where they are more than `most`, some number above it."""
        ...

    def without_control(self, text: str) -> str:
        """`text` without the model's control tokens."""
        ...


@dataclass(frozen=True, slots=True)
class Prepared:
    """What the engine is asked. `tools`: whether the answer may hold calls of them."""

    messages: Sequence[Message]
    sampling: Sampling
    tools: bool


def prepare(
    asked: ChatRequest, tokenizer: Tokenizer, system_prompt: str, leads: Leads, context: int, settings: Settings
) -> Prepared:
    """The prompt and the sampling for a request to an assistant that has `system_prompt`. Takes as long as tokenizing
    does. Raises ApiError 400."""
    _refuse_what_is_not_done(asked)
    clean = _Cleaner(tokenizer)
    tools = _tools(asked, tokenizer, clean)
    messages = _messages(asked.messages, clean, system_prompt, leads)
    tokens = tokenizer.count(_as_templates_take(messages), tools, context)
    wanted = asked.longest_answer or settings.max_answer_tokens
    room = context - tokens
    if room < min(wanted, LEAST_ANSWER):
        raise too_long(tokens, context)
    sampling = Sampling(
        max_tokens=min(wanted, room),
        temperature=settings.temperature if asked.temperature is None else asked.temperature,
        top_p=max(SMALLEST_TOP_P, 1.0 if asked.top_p is None else asked.top_p),
        repetition_penalty=settings.repetition_penalty,
        seed=asked.seed,
        stop=asked.stops,
    )
    if tools:
        sampling = ToolSampling(**_fields(sampling), tools=tuple(tools))
    return Prepared(cast("Sequence[Message]", messages), sampling, bool(tools))


def _fields(sampling: Sampling) -> dict[str, Any]:
    return {name: getattr(sampling, name) for name in Sampling.__dataclass_fields__}


def _refuse_what_is_not_done(asked: ChatRequest) -> None:
    if asked.n is not None and asked.n != 1:
        raise _refused("n", "One answer is given to a request; leave n out, and ask again for another one.")
    if asked.response_format is not None and asked.response_format.type != "text":
        raise _refused("response_format", "Answers are plain text here; leave response_format out.")
    if asked.tool_choice not in (None, "none", "auto"):
        raise _refused("tool_choice", "An assistant here decides itself whether it calls a tool; use auto or none.")


def _refused(param: str, sentence: str) -> ApiError:
    return ApiError(400, sentence, "unsupported_value", param=param)


class _Cleaner:
    """Text without control tokens, wherever it is in a JSON value."""

    def __init__(self, tokenizer: Tokenizer) -> None:
        self.text = tokenizer.without_control

    def value(self, value: Any) -> Any:
        if isinstance(value, str):
            return self.text(value)
        if isinstance(value, Mapping):
            return {self.text(str(name)): self.value(one) for name, one in value.items()}
        if isinstance(value, list):
            return [self.value(one) for one in value]
        return value


def _tools(asked: ChatRequest, tokenizer: Tokenizer, clean: _Cleaner) -> list[Tool]:
    """Those that the model is told of. Raises ApiError where its template knows none, and some are needed."""
    wanted = asked.tools if asked.tools and asked.tool_choice != "none" else []
    if tokenizer.knows_tools:
        return [clean.value(tool.model_dump(exclude_none=True)) for tool in wanted]
    if wanted:
        raise _refused("tools", "The base model of this assistant knows no tools; switch them off in your client.")
    if any(message.role == "tool" or message.tool_calls for message in asked.messages):
        raise _refused("messages", "The base model of this assistant knows no tools; leave out what they said.")
    return []


def _messages(given: Sequence[ChatMessage], clean: _Cleaner, system_prompt: str, leads: Leads) -> list[Turn]:
    """The system prompt first, then the turns. What clients say as system stands together at the beginning, the one
    place where every template takes it."""
    instructed = [clean.text(one.text) for one in given if one.role in ("system", "developer")]
    client = "\n\n".join(text for text in instructed if text.strip())
    system = "\n\n".join(filter(None, (system_prompt, client))) if leads == "assistant" else client or system_prompt
    turns: list[Turn] = [{"role": "system", "content": system}] if system else []
    said = [[turn["content"]] for turn in turns]  # of each turn, joined once, so that many do not cost their square
    for at, message in enumerate(given):
        if message.role in ("system", "developer"):
            continue
        turn: Turn = {"role": message.role, "content": clean.text(message.text)}
        if message.role == "assistant" and message.tool_calls:
            turn["tool_calls"] = [_call(call, clean, at) for call in message.tool_calls]
        elif message.role == "tool" and message.tool_call_id is not None:
            turn["tool_call_id"] = clean.text(message.tool_call_id)
        if turns and _joins(turns[-1], turn):
            said[-1].append(turn["content"])
        else:
            turns.append(turn)
            said.append([turn["content"]])
    for turn, texts in zip(turns, said, strict=True):
        turn["content"] = "\n".join(filter(None, texts))
    return turns


def _joins(before: Turn, turn: Turn) -> bool:
    """Whether both are one turn: the same side, and nothing but text."""
    same = before["role"] == turn["role"] and turn["role"] in ("user", "assistant")
    return same and "tool_calls" not in before and "tool_calls" not in turn


def _call(call: ToolCall, clean: _Cleaner, at: int) -> dict[str, Any]:
    """A call that was made, its arguments checked to be what templates read."""
    try:
        arguments = json.loads(call.function.arguments or "{}")
    except ValueError:
        arguments = None
    if not isinstance(arguments, dict):
        where = f"messages[{at}].tool_calls"
        raise ApiError(400, f"The arguments in {where} are not a JSON object; send those of the call.", param=where)
    function = {"name": clean.text(call.function.name), "arguments": json.dumps(clean.value(arguments))}
    return {"id": clean.text(call.id), "type": "function", "function": function}


def _as_templates_take(turns: Sequence[Turn]) -> Sequence[Message]:
    """The engine reads arguments out of their text before its template sees them; so it is counted like that."""
    shown = []
    for turn in turns:
        calls = [
            call | {"function": call["function"] | {"arguments": json.loads(call["function"]["arguments"])}}
            for call in turn.get("tool_calls", ())
        ]
        shown.append(turn | {"tool_calls": calls} if calls else turn)
    return cast("Sequence[Message]", shown)
