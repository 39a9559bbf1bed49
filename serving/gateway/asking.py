"""Where the gateway asks for an answer: in the line that everybody stands in (`serving/entrance.py`).

Promises that leaving the iterator leaves the line and ends the request in the engine. Knows neither clients nor HTTP.
"""

from __future__ import annotations

from collections.abc import AsyncGenerator
from contextlib import aclosing
from dataclasses import dataclass

from serving.answer import Finished, Piece
from serving.entrance import Entrance
from serving.gateway.models import Served
from serving.gateway.prompt import Prepared
from serving.gateway.shapes import ToolCall
from serving.gateway.tool_calls import CallReader
from serving.waiting_line import LONGEST_WAIT
from store.keys import KnownKey


@dataclass(frozen=True, slots=True)
class Ended:
    """The answer is whole. `finish_reason`: stop, length or tool_calls. Counts in tokens, `seconds` it took."""

    finish_reason: str
    prompt_tokens: int
    answer_tokens: int
    seconds: float


Said = str | ToolCall | Ended


async def ask(
    entrance: Entrance, served: Served, key: KnownKey, prepared: Prepared, *, at_once: bool
) -> AsyncGenerator[Said]:
    """Text and calls as they come, or all of them `at_once`; then one Ended. Each key is one asker, and waits for
    LONGEST_WAIT in all, through restarts of the engine too. Raises as `Entrance.stream` does."""
    reader = CallReader()
    answer = entrance.stream(
        served.version, prepared.messages, prepared.sampling, assistant=served.assistant, person=f"key:{key.id}",
        patience=LONGEST_WAIT, at_once=at_once,
    )  # fmt: skip
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
