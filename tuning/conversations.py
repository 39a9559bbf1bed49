"""Who talks with whom: messages of one chat, in time order, become conversations.

A message joins the conversation of the message it replies to. Where more than two people talk, it else joins that of
the message which it answers by the learnt model of reply structure (tuning/disentangle), which also knows who is named;
and else that of the person it names. Where the model is not sure that something begins, and only one conversation is
going on, time decides. Between two people the model is not asked: a message joins the conversation of the person it
names, its own author's within 3 minutes, or that of the message before it within 15 minutes; else a new one begins.

Memory is bounded by the window below and the model's block, however long the chat is. Knows no database, no assistant.
"""

from __future__ import annotations

import re
from collections import Counter, OrderedDict, deque
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field

from tuning.disentangle.linker import Link, Linker
from tuning.disentangle.message import Message
from tuning.disentangle.window import WINDOW

GOES_ON_SECONDS = 3 * 60
FOLLOWS_SECONDS = 15 * 60
NAMED_SECONDS = 60 * 60
REMEMBERED_SECONDS = 48 * 60 * 60
"""A reply finds its conversation that long after the conversation's last message."""
MOST_OPEN = 512
MOST_MESSAGES = 200
"""In one conversation: a room that never falls silent must not become one endless conversation."""

SURE = 0.8
"""A beginning less likely than this is none where all that was said within FOLLOWS_SECONDS is one conversation."""
TWO = 2
"""Where no more people spoke in the last WINDOW messages, nothing is entangled, and time tells conversations apart."""

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
    """Takes the messages of one chat one by one; gives each conversation once it is over. `learnt`: by the model; else
    by replies, names and time alone, which is much quicker and near enough to count by."""

    def __init__(self, *, learnt: bool = True) -> None:
        self._linker = Linker() if learnt else None
        self._waiting: deque[ChatMessage] = deque()
        self._placed: deque[tuple[ChatMessage, Conversation]] = deque(maxlen=WINDOW)
        self._speakers: Counter[int] = Counter()
        self._open: OrderedDict[int, Conversation] = OrderedDict()
        self._by_message: dict[str, Conversation] = {}
        self._by_author: dict[int, _Seen] = {}
        self._by_name: OrderedDict[str, int] = OrderedDict()
        self._last: _Seen | None = None

    def take(self, message: ChatMessage) -> Iterator[Conversation]:
        """Add one message; yields the conversations that are over by now."""
        if self._linker is None:
            yield from self._put(message, None)
            return
        self._waiting.append(message)
        spoken = Message(
            message.author_id, message.author, message.sent_at, message.text, message.external_id, message.reply_to
        )
        yield from self._place(self._linker.take(spoken))

    def finish(self) -> Iterator[Conversation]:
        """Yields all that are still open. The builder is empty then."""
        if self._linker is not None:
            yield from self._place(self._linker.finish())
        while self._open:
            yield self._close(next(iter(self._open.values())))

    def _place(self, links: Sequence[Link]) -> Iterator[Conversation]:
        """Put the longest waiting messages, whose links are known now, where they belong."""
        for link in links:
            yield from self._put(self._waiting.popleft(), link)

    def _put(self, message: ChatMessage, link: Link | None) -> Iterator[Conversation]:
        while self._open:
            oldest = next(iter(self._open.values()))
            if len(self._open) <= MOST_OPEN and message.sent_at - oldest.last_at <= REMEMBERED_SECONDS:
                break
            yield self._close(oldest)
        conversation = self._find(message, link)
        if conversation is not None and len(conversation.messages) >= MOST_MESSAGES:
            yield self._close(conversation)
            conversation = None
        if conversation is None:
            conversation = Conversation()
        conversation.messages.append(message)
        self._remember(message, conversation)

    def _remember(self, message: ChatMessage, conversation: Conversation) -> None:
        self._open[id(conversation)] = conversation
        self._open.move_to_end(id(conversation))
        self._by_message[message.external_id] = conversation
        self._last = self._by_author[message.author_id] = _Seen(conversation, message.sent_at)
        if len(self._placed) == WINDOW:
            gone = self._placed[0][0].author_id
            self._speakers[gone] -= 1
            if not self._speakers[gone]:
                del self._speakers[gone]
        self._placed.append((message, conversation))
        self._speakers[message.author_id] += 1
        self._remember_names(message)

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

    def _find(self, message: ChatMessage, link: Link | None) -> Conversation | None:
        if message.reply_to is not None:
            replied = self._by_message.get(message.reply_to)
            if replied is not None:
                return replied
        if link is not None and len(self._speakers) > TWO:
            found = self._answered(message, link) or self._named(message)
            return found or (self._only_one(message) if link.sure < SURE else None)
        named = self._named(message)
        if named is not None:
            return named
        own = self._by_author.get(message.author_id)
        if own is not None and message.sent_at - own.at <= GOES_ON_SECONDS:
            return own.conversation
        if self._last is not None and message.sent_at - self._last.at <= FOLLOWS_SECONDS:
            return self._last.conversation
        return None

    def _answered(self, message: ChatMessage, link: Link) -> Conversation | None:
        """The conversation of what the model says it answers, where that is still open and not long ago."""
        back = link.message - link.answers
        if not 0 < back <= len(self._placed):
            return None
        answered, conversation = self._placed[-back]
        recent = message.sent_at - answered.sent_at <= FOLLOWS_SECONDS  # older ones are found by reply or by name
        return conversation if recent and id(conversation) in self._open else None

    def _only_one(self, message: ChatMessage) -> Conversation | None:
        """The conversation that all recent messages are of, if they are of one: nothing is entangled just now."""
        only: Conversation | None = None
        for earlier, conversation in reversed(self._placed):
            if message.sent_at - earlier.sent_at > FOLLOWS_SECONDS:
                break
            if only is not None and conversation is not only:
                return None
            only = conversation
        return only if only is not None and id(only) in self._open else None

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


def whole(conversations: Iterator[Conversation]) -> Iterator[Conversation]:
    """Conversations without gaps, which are messages without text: each is cut where one was."""
    for conversation in conversations:
        run: list[ChatMessage] = []
        for message in conversation.messages:
            if message.text:
                run.append(message)
            elif run:
                yield Conversation(run)
                run = []
        if run:
            yield Conversation(run)
