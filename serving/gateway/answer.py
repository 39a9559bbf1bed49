"""An answer as a client gets it: whole, or as a stream of chunks.

Promises that a stream says how it ended, even where it broke off: with a reason and [DONE], or with an error. Knows
nothing of keys and prompts.
"""

from __future__ import annotations

import json
import secrets
import time
from collections.abc import AsyncGenerator, AsyncIterator
from dataclasses import dataclass, field
from typing import Any, Literal, cast

import structlog

from config.errors import ParlanceError
from serving.gateway.asking import Ended, Said
from serving.gateway.errors import OURS, ApiError, translated
from serving.gateway.shapes import AnswerMessage, ChatCompletion, Choice, ToolCall, Usage

log = structlog.get_logger()


@dataclass(frozen=True, slots=True)
class Envelope:
    """What every part of one answer carries. `model` is what gave it, `key` the name of who asked."""

    model: str
    key: str
    id: str = field(default_factory=lambda: f"chatcmpl-{secrets.token_hex(12)}")
    created: int = field(default_factory=lambda: int(time.time()))

    def chunk(self, choices: list[dict[str, Any]], **more: Any) -> str:
        """One event of a stream."""
        body = {"id": self.id, "object": "chat.completion.chunk", "created": self.created, "model": self.model}
        return _event(body | {"choices": choices} | more)

    def note(self, ended: Ended) -> None:
        """In the log, without a word of what was said."""
        log.info(
            "gateway_answer", id=self.id, key=self.key, model=self.model, prompt_tokens=ended.prompt_tokens,
            answer_tokens=ended.answer_tokens, reason=ended.finish_reason, seconds=round(ended.seconds, 3),
        )  # fmt: skip


async def whole(envelope: Envelope, said: AsyncIterator[Said]) -> ChatCompletion:
    """Everything, once it is there."""
    text: list[str] = []
    calls: list[ToolCall] = []
    ended: Ended | None = None
    async for one in said:
        if isinstance(one, str):
            text.append(one)
        elif isinstance(one, ToolCall):
            calls.append(one)
        else:
            ended = one
    if ended is None:
        raise ApiError(503, "The engine broke off before the answer was complete; ask again.", "engine_unavailable")
    envelope.note(ended)
    content = "".join(text)
    message = AnswerMessage(content=content if content or not calls else None, tool_calls=calls or None)
    return ChatCompletion(
        id=envelope.id,
        created=envelope.created,
        model=envelope.model,
        choices=[Choice(message=message, finish_reason=_reason(ended))],
        usage=_usage(ended),
    )


async def chunks(
    envelope: Envelope, first: Said, rest: AsyncGenerator[Said], include_usage: bool
) -> AsyncGenerator[str]:
    """The stream's text. With `include_usage` every chunk names its usage: none, until the last one, which has no
    choices."""
    more: dict[str, Any] = {"usage": None} if include_usage else {}
    calls = 0

    def shown(one: Said) -> str:
        nonlocal calls
        if isinstance(one, str):
            return envelope.chunk([_choice({"content": one})], **more)
        if isinstance(one, ToolCall):
            calls += 1
            return envelope.chunk([_choice({"tool_calls": [{"index": calls - 1, **one.model_dump()}]})], **more)
        envelope.note(one)
        return envelope.chunk([_choice({}, one.finish_reason)], **more)

    yield envelope.chunk([_choice({"role": "assistant", "content": ""})], **more)
    yield shown(first)
    last = first
    try:
        async for one in rest:
            yield shown(one)
            last = one
    except ParlanceError as error:
        log.warning("gateway_broke_off", id=envelope.id, key=envelope.key, reason=str(error))
        yield _event(translated(error).body())
        return
    except Exception as error:
        log.error("gateway_broke_off", id=envelope.id, key=envelope.key, reason=type(error).__name__)
        yield _event(ApiError(500, OURS).body())
        return
    if include_usage and isinstance(last, Ended):
        yield envelope.chunk([], usage=_usage(last).model_dump())
    yield "data: [DONE]\n\n"


def _choice(delta: dict[str, Any], reason: str | None = None) -> dict[str, Any]:
    return {"index": 0, "delta": delta, "logprobs": None, "finish_reason": reason}


def _event(body: dict[str, Any]) -> str:
    return f"data: {json.dumps(body, ensure_ascii=False, separators=(',', ':'))}\n\n"


def _reason(ended: Ended) -> Literal["stop", "length", "tool_calls"]:
    return cast("Literal['stop', 'length', 'tool_calls']", ended.finish_reason)


def _usage(ended: Ended) -> Usage:
    return Usage(
        prompt_tokens=ended.prompt_tokens,
        completion_tokens=ended.answer_tokens,
        total_tokens=ended.prompt_tokens + ended.answer_tokens,
    )
