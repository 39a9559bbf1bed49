"""What OpenClaw sends, as it was seen on the wire: everything at once, and a great deal of it."""

from __future__ import annotations

import json
from typing import Any

TOOLS = ("read", "write", "edit", "exec", "process", "browser", "canvas", "nodes", "cron", "message", "memory_search")
"""Eleven."""
INSTRUCTIONS = "Be of use. Read the file before you change it, and say what you did in one sentence. "


def request(system_bytes: int, *, described: bool = True) -> dict[str, Any]:
    """A turn in the middle of a conversation, with instructions of so many bytes; tools `described` at length, as they
    are, or by name alone."""
    called = {"name": "read", "arguments": json.dumps({"path": "notes.md", "day": "Monday"})}
    call = {"id": "call_1", "type": "function", "function": called}
    return {
        "model": "harbour",
        "messages": [
            {"role": "system", "content": (INSTRUCTIONS * (system_bytes // len(INSTRUCTIONS) + 1))[:system_bytes]},
            {"role": "user", "content": [{"type": "text", "text": "[Mon 09:12] When does the boat leave?"}]},
            {"role": "assistant", "content": None, "tool_calls": [call]},
            {"role": "tool", "tool_call_id": "call_1", "content": "The boat leaves at nine."},
            {"role": "user", "content": "[Mon 09:13] Hello?"},
            {"role": "user", "content": [{"type": "text", "text": "[Mon 09:14] Are you there?"}]},
        ],
        "stream": True,
        "stream_options": {"include_usage": True},
        "max_completion_tokens": 24,
        "store": False,
        "tools": [_tool(name, described) for name in TOOLS],
        "tool_choice": "auto",
    }  # fmt: skip


def _tool(name: str, described: bool) -> dict[str, Any]:
    if not described:
        return {"type": "function", "function": {"name": name, "parameters": {"type": "object"}}}
    fields = {field: {"type": "string", "description": f"The {field} of it"} for field in ("path", "day", "text")}
    about = {"type": "object", "properties": fields, "required": ["path"], "additionalProperties": False}
    return {
        "type": "function",
        "function": {"name": name, "description": INSTRUCTIONS, "strict": False, "parameters": about},
    }
