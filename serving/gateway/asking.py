"""Where the gateway asks for an answer: in the line that everybody stands in (`serving/entrance.py`).

Promises that leaving the iterator leaves the line and ends the request in the engine. Knows neither clients nor HTTP.
"""

from __future__ import annotations

from collections.abc import AsyncGenerator
from contextlib import aclosing
from dataclasses import dataclass

from config.errors import EngineUnavailable
from serving.client import Finished, Piece
from serving.entrance import Engine, Entrance
from serving.gateway.models import Served
from serving.gateway.prompt import Prepared
from serving.gateway.shapes import ToolCall
from serving.gateway.tool_calls import CallReader
from store.keys import KnownKey


@dataclass(frozen=True, slots=True)
class Ended:
    """The answer is whole. `finish_reason`: stop, length or tool_calls. Counts in tokens, `seconds` it took."""

    finish_reason: str
    prompt_tokens: int
    answer_tokens: int
    seconds: float


Said = str | ToolCall | Ended


def check_ready(engine: Engine) -> None:
    """Raises EngineUnavailable while it warms or is gone."""
    if engine.status.state != "ready":
        raise EngineUnavailable(engine.status.sentence)


async def ask(entrance: Entrance, served: Served, key: KnownKey, prepared: Prepared) -> AsyncGenerator[Said]:
    """Text and calls as they come, then one Ended. Each key is one asker. Raises as `Entrance.stream` does."""
    reader = CallReader()
    answer = entrance.stream(
        served.version, prepared.messages, prepared.sampling, assistant=served.assistant, person=f"key:{key.id}"
    )
    async with aclosing(answer) as events:
        async for event in events:
            if isinstance(event, Piece):
                for said in reader.feed(event.text) if prepared.tools else (event.text,):
                    yield said
            else:
                for said in reader.finish():
                    yield said
                yield _ended(event, bool(reader.calls))


def _ended(finished: Finished, called: bool) -> Ended:
    reason = "tool_calls" if called and finished.finish_reason == "stop" else finished.finish_reason
    return Ended(reason, finished.prompt_tokens, finished.answer_tokens, finished.seconds)
