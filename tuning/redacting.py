"""Redacting: private details out of whole conversations, each detail with one placeholder throughout.

Names of people who are talked about are replaced where a spaCy model is installed; those who write keep theirs.
Keeps digests of what was replaced, for the gate to look for in answers, and digests of what stands in taught answers,
where a telephone number may be the point. Hands what it changed to whoever wants to see it; stores no text.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass, replace

from tuning.conversations import ChatMessage
from tuning.placeholders import Placeholders
from tuning.private.names import KIND as PERSON
from tuning.private.names import Names, words_of
from tuning.private.span import Span, is_free
from tuning.redaction import detail_digest, find_private


@dataclass(frozen=True, slots=True)
class Redacted:
    """One message before and after. `kinds`: of the details that were replaced, each once."""

    message_id: int
    before: str
    after: str
    kinds: tuple[str, ...]


class Redacting:
    """One run's. `names` finds people's, where it may; `changed` is told of every message that is another one now."""

    def __init__(self, names: Names | None = None, changed: Callable[[Redacted], None] | None = None) -> None:
        self._names = names
        self.counts: Counter[str] = Counter()
        self.secrets: set[bytes] = set()
        self.meant: set[bytes] = set()
        self._changed = changed
        self._private_names: dict[str, bool] = {}

    def conversation(
        self, messages: Sequence[ChatMessage], as_meant: Collection[int], *, again: bool = False
    ) -> Sequence[ChatMessage]:
        """The messages without private details; what the authors in `as_meant` wrote stays as it stands. `again`: they
        were given before, in a longer conversation, so they are neither counted nor shown."""
        placeholders = Placeholders()
        plain = []
        for message, spans in zip(messages, self._spans(messages), strict=True):
            if message.author_id in as_meant:
                plain.append(self._as_meant(message))
            else:
                plain.append(self._without(message, spans, placeholders))
                if spans and not again:
                    self._tell(message, plain[-1], spans)
        return plain

    def _spans(self, messages: Sequence[ChatMessage]) -> list[list[Span]]:
        found = [find_private(message.text) for message in messages]
        if self._names is not None:
            writing = words_of(message.author for message in messages)
            for spans, people in zip(found, self._names.find([one.text for one in messages], writing), strict=True):
                spans.extend([person for person in people if is_free(person, spans)])
                spans.sort()
        return found

    def _as_meant(self, message: ChatMessage) -> ChatMessage:
        self.meant.update(detail_digest(message.text[start:stop]) for start, stop, _ in find_private(message.text))
        return message

    def _without(self, message: ChatMessage, spans: list[Span], placeholders: Placeholders) -> ChatMessage:
        if self._is_private(message.author):
            message = replace(message, author=placeholders.name(message.author, find_private(message.author)))
        if not spans:
            return message
        self.secrets.update(detail_digest(message.text[start:stop]) for start, stop, kind in spans if kind != PERSON)
        return replace(message, text=placeholders.replace(message.text, spans))

    def _tell(self, before: ChatMessage, after: ChatMessage, spans: list[Span]) -> None:
        kinds = [kind for _, _, kind in spans]
        self.counts.update(kinds)
        if self._changed is not None:
            self._changed(Redacted(before.id, before.text, after.text, tuple(dict.fromkeys(kinds))))

    def _is_private(self, name: str) -> bool:
        """Whether a name is a telephone number or the like, as names in some exports are."""
        found = self._private_names.get(name)
        if found is None:
            found = self._private_names[name] = bool(find_private(name))
        return found
