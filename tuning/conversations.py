"""Who talks with whom: messages of one chat, in time order, become conversations.

A message joins, in this order: the conversation of the message it replies to; that of the person it names (“Mara, …”
or “@mara”); its own author's, within 3 minutes; that of the message before it, within 15 minutes. Else a new one
begins. So conversations that run through each other stay apart wherever people reply, name each other or go on.
Memory is bounded by the window below, however long the chat is. Knows no database and no assistant.
"""

from __future__ import annotations

import re
from collections import OrderedDict
from collections.abc import Iterator
from dataclasses import dataclass, field

GOES_ON_SECONDS = 3 * 60
FOLLOWS_SECONDS = 15 * 60
NAMED_SECONDS = 60 * 60
REMEMBERED_SECONDS = 48 * 60 * 60
"""A reply finds its conversation that long after the conversation's last message."""
MOST_OPEN = 512
MOST_MESSAGES = 200
"""In one conversation: a room that never falls silent must not become one endless conversation."""

_NAMED = re.compile(r"\s*@?(\w+)(?:\s+(\w+))?\s*[,:!?…–—-]")
_CALLED = re.compile(r"@(\w+)")


@dataclass(frozen=True, slots=True)
class ChatMessage:
    """One message. `id` is its row in the store, `author_id` its author's; `sent_at` in Unix seconds."""

    id: int
    external_id: str
    author_id: int
    author: str
    sent_at: int
    reply_to: str | None
    forwarded: bool
    text: str


@dataclass(slots=True, eq=False)
class Conversation:
    """Messages that belong together, in time order; never empty."""

    messages: list[ChatMessage] = field(default_factory=list)

    @property
    def began_at(self) -> int:
        return self.messages[0].sent_at

    @property
    def last_at(self) -> int:
        return self.messages[-1].sent_at


@dataclass(slots=True)
class _Seen:
    conversation: Conversation
    at: int


class ConversationBuilder:
    """Takes the messages of one chat one by one; gives each conversation once it is over."""

    def __init__(self) -> None:
        self._open: OrderedDict[int, Conversation] = OrderedDict()
        self._by_message: dict[str, Conversation] = {}
        self._by_author: dict[int, _Seen] = {}
        self._by_name: OrderedDict[str, int] = OrderedDict()
        self._last: _Seen | None = None

    def take(self, message: ChatMessage) -> Iterator[Conversation]:
        """Add one message; yields the conversations that are over by now."""
        while self._open:
            oldest = next(iter(self._open.values()))
            if len(self._open) <= MOST_OPEN and message.sent_at - oldest.last_at <= REMEMBERED_SECONDS:
                break
            yield self._close(oldest)
        conversation = self._find(message)
        if conversation is not None and len(conversation.messages) >= MOST_MESSAGES:
            yield self._close(conversation)
            conversation = None
        if conversation is None:
            conversation = Conversation()
        conversation.messages.append(message)
        self._open[id(conversation)] = conversation
        self._open.move_to_end(id(conversation))
        self._by_message[message.external_id] = conversation
        self._last = self._by_author[message.author_id] = _Seen(conversation, message.sent_at)
        self._remember_names(message)

    def finish(self) -> Iterator[Conversation]:
        """Yields all that are still open. The builder is empty then."""
        while self._open:
            yield self._close(next(iter(self._open.values())))

    def _close(self, conversation: Conversation) -> Conversation:
        del self._open[id(conversation)]
        for message in conversation.messages:
            self._by_message.pop(message.external_id, None)
            seen = self._by_author.get(message.author_id)
            if seen is not None and seen.conversation is conversation:
                del self._by_author[message.author_id]
        if self._last is not None and self._last.conversation is conversation:
            self._last = None
        return conversation

    def _find(self, message: ChatMessage) -> Conversation | None:
        if message.reply_to is not None:
            replied = self._by_message.get(message.reply_to)
            if replied is not None:
                return replied
        named = self._named(message)
        if named is not None:
            return named
        own = self._by_author.get(message.author_id)
        if own is not None and message.sent_at - own.at <= GOES_ON_SECONDS:
            return own.conversation
        if self._last is not None and message.sent_at - self._last.at <= FOLLOWS_SECONDS:
            return self._last.conversation
        return None

    def _named(self, message: ChatMessage) -> Conversation | None:
        text = message.text
        found = _NAMED.match(text) or (_CALLED.search(text) if "@" in text else None)
        if found is None:
            return None
        names = (name.casefold() for name in found.groups() if name)
        author = next((self._by_name[name] for name in names if name in self._by_name), None)
        if author is None or author == message.author_id:
            return None
        seen = self._by_author.get(author)
        if seen is None or message.sent_at - seen.at > NAMED_SECONDS:
            return None
        return seen.conversation

    def _remember_names(self, message: ChatMessage) -> None:
        first = message.author.split(maxsplit=1)
        if first:
            name = first[0].casefold()
            self._by_name[name] = message.author_id
            self._by_name.move_to_end(name)
            if len(self._by_name) > MOST_OPEN:
                self._by_name.popitem(last=False)
