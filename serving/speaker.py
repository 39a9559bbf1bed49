"""Who said it: how a user's text names its speaker where several people talk in one channel.

Training examples and served conversations both name speakers with `spoken_by`, so a model meets in service what it
learnt from. Where only one person talks to the assistant, nobody is named. Knows no channel and no prompt.
"""

from __future__ import annotations

UNNAMED = "Someone"
LONGEST_NAME = 32
"""Characters. Longer first words are cut: a name is a label, not a text."""


def short_name(name: str | None) -> str:
    """The first word of a display name, without a colon at its end; “Someone” where there is none."""
    words = (name or "").split()
    first = words[0].rstrip(":")[:LONGEST_NAME] if words else ""
    return first or UNNAMED


def spoken_by(name: str | None, text: str) -> str:
    """`text` as a user's turn that says who speaks: “Mara: Is the gate open?”."""
    return f"{short_name(name)}: {text}"
