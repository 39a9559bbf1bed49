"""Dialogues that were written apart: each chain of replies is a conversation of its own, whatever its times say.

For sources whose messages are not a chat in time: dialogues made for tuning, passages of documents. Messages of one
chain follow each other. Knows no database and no assistant.
"""

from __future__ import annotations

from collections.abc import Iterator

from tuning.conversations import ChatMessage, Conversation

KINDS = ("dialogues", "document")
"""Kinds of sources that are read this way."""


class ChainBuilder:
    """Takes messages one by one; gives each conversation once the next one begins."""

    def __init__(self) -> None:
        self._chain: list[ChatMessage] = []

    def take(self, message: ChatMessage) -> Iterator[Conversation]:
        """Add one message. One that does not answer the message before it begins a conversation."""
        if self._chain and message.reply_to != self._chain[-1].external_id:
            yield from self.finish()
        self._chain.append(message)

    def finish(self) -> Iterator[Conversation]:
        """What is still open. The builder is empty then."""
        if self._chain:
            chain, self._chain = self._chain, []
            yield Conversation(chain)
