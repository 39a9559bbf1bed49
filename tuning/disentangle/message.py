"""One message as the model sees it, whatever platform it came from."""

from __future__ import annotations

from collections.abc import Hashable
from typing import NamedTuple


class Message(NamedTuple):
    """`author` is the same for all of one person's messages, `name` what others call them; `at` in seconds.

    `answers` is the key of the message that this one is known to reply to, None where nobody said. A notice (somebody
    joined) is nobody's speech: it answers nothing and nothing answers it.
    """

    author: Hashable
    name: str
    at: float
    text: str
    key: Hashable = None
    answers: Hashable = None
    notice: bool = False
