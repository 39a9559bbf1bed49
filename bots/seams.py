"""What conversation needs of the rooms above it, as it needs it: an engine to talk to, and its tokenizer.

The real ones come from `serving`; importing this costs nothing, so that a page is up before any model library is.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from typing import TYPE_CHECKING, Protocol

from config.catalogue import find_model
from config.settings import Settings
from serving.entrance import Engine
from serving.prompt import Message

if TYPE_CHECKING:
    from serving.prompt import ChatTokenizer

__all__ = ["Engine", "Tokenizer", "TokenizerSource", "base_model_tokenizer"]


class Tokenizer(Protocol):
    """Counts as the engine does; `serving.prompt.ChatTokenizer` is one."""

    def count(self, messages: Sequence[Message]) -> int:
        """Tokens of a prompt that waits for an answer."""
        ...

    def text_ids(self, text: str) -> list[int]:
        """Token ids of plain text."""
        ...

    def without_control(self, text: str) -> str:
        """`text` without the model's control tokens, should somebody have typed one."""
        ...


TokenizerSource = Callable[[], Awaitable[Tokenizer]]


def base_model_tokenizer(settings: Settings) -> Callable[[], Awaitable[ChatTokenizer]]:
    """Loads the base model's tokenizer at the first call, off the event loop, and keeps it."""
    loading: list[asyncio.Task[ChatTokenizer]] = []

    def load() -> ChatTokenizer:
        from serving.prompt import ChatTokenizer

        return ChatTokenizer(find_model(settings.base_model).location)

    async def source() -> ChatTokenizer:
        if not loading or (loading[0].done() and loading[0].exception() is not None):
            loading[:] = [asyncio.create_task(asyncio.to_thread(load))]
        return await asyncio.shield(loading[0])

    return source
