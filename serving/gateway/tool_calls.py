"""Tools, on their way to the model and back: told to it by its template, and its calls read out of what it says.

Models of this kind call a tool by writing `<tool_call>{"name": …, "arguments": {…}}</tool_call>`. Promises that what
is no call that can be read is given back as the text that it is, and that no piece of a tag is shown while it may
still become one. Knows no HTTP.
"""

from __future__ import annotations

import json
import secrets
from dataclasses import dataclass, field
from typing import Any

from serving.answer import Sampling
from serving.gateway.shapes import FunctionCall, ToolCall
from serving.prompt import Tool

OPEN, CLOSE = "<tool_call>", "</tool_call>"


@dataclass(frozen=True, slots=True)
class ToolSampling(Sampling):
    """How an answer is drawn by a model that is told of `tools`."""

    tools: tuple[Tool, ...] = ()

    def body(self) -> dict[str, Any]:
        """As fields of a request. “none” is for the engine alone: its template tells of the tools all the same, and
        what the model says comes as text, so that it is read here, whichever model it is."""
        return Sampling.body(self) | {"tools": [dict(tool) for tool in self.tools], "tool_choice": "none"}


@dataclass(slots=True)
class CallReader:
    """Reads calls out of an answer that comes in pieces. `calls` so far."""

    calls: list[ToolCall] = field(default_factory=list)
    _held: str = ""

    def feed(self, piece: str) -> list[str | ToolCall]:
        """What `piece` completes: text that is shown, and calls."""
        self._held += piece
        found: list[str | ToolCall] = []
        while True:
            before, opened, rest = self._held.partition(OPEN)
            if not opened:
                kept = _may_become_a_tag(self._held)
                self._show(self._held[: len(self._held) - kept], found)
                self._held = self._held[len(self._held) - kept :]
                return found
            inside, closed, after = rest.partition(CLOSE)
            if not closed:
                self._show(before.rstrip(), found)
                self._held = OPEN + rest
                return found
            self._show(before.rstrip(), found)
            self._close(inside, OPEN + inside + CLOSE, found)
            self._held = after

    def finish(self) -> list[str | ToolCall]:
        """What is left when the answer has ended; a call whose last tag is missing is one all the same."""
        found: list[str | ToolCall] = []
        if self._held.startswith(OPEN):
            self._close(self._held[len(OPEN) :], self._held, found)
        else:
            self._show(self._held, found)
        self._held = ""
        return found

    def _show(self, text: str, found: list[str | ToolCall]) -> None:
        if text and not (self.calls and text.isspace()):
            found.append(text)

    def _close(self, inside: str, whole: str, found: list[str | ToolCall]) -> None:
        call = _read(inside)
        if call is None:
            found.append(whole)
        else:
            self.calls.append(call)
            found.append(call)


def _may_become_a_tag(text: str) -> int:
    """How many characters at the end are to be held back: the beginning of a tag, and the space before it."""
    tag = next((n for n in range(min(len(OPEN) - 1, len(text)), 0, -1) if text.endswith(OPEN[:n])), 0)
    return len(text) - len(text[: len(text) - tag].rstrip())


def _read(inside: str) -> ToolCall | None:
    """The call that stands between two tags; None where none does."""
    try:
        said = json.loads(inside)
    except ValueError:
        return None
    if not isinstance(said, dict) or not isinstance(said.get("name"), str):
        return None
    arguments = said.get("arguments", {})
    if not isinstance(arguments, dict):
        return None
    written = json.dumps(arguments, ensure_ascii=False)
    return ToolCall(id=f"call_{secrets.token_hex(12)}", function=FunctionCall(name=said["name"], arguments=written))
