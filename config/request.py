"""What one message or call is on its way from whoever sent it to the engine: an id that every log line and the engine
carry, and for whom it is asked. Knows neither what was said nor who said it.

It travels in a context variable: what is started while it holds (tasks too) belongs to it, and nothing else does.
"""

from __future__ import annotations

import re
import secrets
import time
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass, field

_ID = re.compile(r"[A-Za-z0-9._-]{1,64}")


def new_id() -> str:
    """16 hex digits, never used before."""
    return secrets.token_hex(8)


@dataclass(slots=True)
class Request:
    """`origin`: chat, gateway, or internal (the gate, warming). `assistant` is whose answer it waits for, since
    `asked_at` (by `time.perf_counter`); both None until then."""

    origin: str
    id: str = field(default_factory=new_id)
    assistant: str | None = None
    asked_at: float | None = None

    def asks(self, assistant: str) -> None:
        """It begins to wait for an answer of `assistant`, perhaps in a line."""
        self.assistant, self.asked_at = assistant, time.perf_counter()


_CURRENT: ContextVar[Request | None] = ContextVar("parlance_request", default=None)


def current() -> Request | None:
    """The request that this code works for; None where it works for nobody in particular."""
    return _CURRENT.get()


@contextmanager
def working_for(origin: str, given_id: str | None = None) -> Iterator[Request]:
    """What happens within works for a new request, or for the one that it is part of. `given_id` is its sender's own id
    for it, kept where it is plain: up to 64 letters, digits, dots, - and _."""
    if (outer := _CURRENT.get()) is not None:
        yield outer
        return
    request = Request(origin, given_id) if given_id and _ID.fullmatch(given_id) else Request(origin)
    before = _CURRENT.set(request)
    try:
        yield request
    finally:
        _CURRENT.reset(before)
