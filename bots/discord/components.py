"""Buttons as Discord draws them. A button's command is its `custom_id`, so it works for ever, whoever draws it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from bots.events import Button

PREFIX = "parlance:"
LONGEST_ID, LONGEST_LABEL, IN_A_ROW, ROWS = 100, 80, 5, 5
_ROW, _BUTTON = 1, 2
_STYLES = {"main": 1, "plain": 2, "quiet": 2}


def rows_of(buttons: Sequence[Button]) -> list[dict[str, Any]]:
    """Rows of at most five. Raises ValueError for a command too long for a button, and for more than 25."""
    drawn = [_drawn(button) for button in buttons]
    if len(drawn) > IN_A_ROW * ROWS:
        raise ValueError(f"{len(drawn)} buttons do not fit under one message")
    return [{"type": _ROW, "components": drawn[i : i + IN_A_ROW]} for i in range(0, len(drawn), IN_A_ROW)]


def command_of(custom_id: str) -> str | None:
    """The command of a button of ours; None for anything else."""
    command = custom_id.removeprefix(PREFIX)
    return command if custom_id.startswith(PREFIX) and command.startswith("/") else None


def _drawn(button: Button) -> dict[str, Any]:
    custom_id = PREFIX + button.command
    if len(custom_id) > LONGEST_ID:
        raise ValueError(f"a button of {len(custom_id)} characters")
    return {"type": _BUTTON, "style": _STYLES[button.weight], "label": button.label[:LONGEST_LABEL],
            "custom_id": custom_id}  # fmt: skip
