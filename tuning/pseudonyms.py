"""Stable pseudonyms: what those whose answers are not learnt are called where more than one of them talks.

A pseudonym is made of the person's id on their platform, so it is the same in every conversation, import and retrain,
and nobody's real name. Whoever is addressed by name is addressed by it too, so that the model learns to call people
what they are named before it. Who is talked about keeps their name: that is knowledge, and the operator's word covers
it. No anonymity against somebody who knows the ids. Knows no database.
"""

from __future__ import annotations

import hashlib
from collections.abc import Collection, Mapping, Sequence
from dataclasses import replace

import regex

from serving.speaker import UNNAMED, short_name
from tuning.conversations import ChatMessage

FIRST, SECOND, LAST = "BDFGJKLMNPRSTVZ", "aeiou", ("n", "s", "l", "r", "")
SHORTEST_NAME = 3
"""Characters. A shorter name is too often a word, so it is left where it stands in a text."""
ADDRESSED = (
    r"(?:@|(?:^|[.!?…\n]\s*)(?:\w+[ ,]\s*)?|,\s*)\K{name}(?=\s*(?:[,.:;!?…–—]|$))"
    r"|@\K{name}(?!\w)"
)
"""Where somebody is called by name: at the head of a sentence, at most a word of greeting before it, or after a comma;
and wherever there is an @."""


def pseudonym(person: str) -> str:
    """A name that no language uses, of two syllables: 28,125 of them."""
    number = int.from_bytes(hashlib.sha256(f"pseudonym {person}".encode()).digest()[:8])
    letters = []
    for kind in (FIRST, SECOND, FIRST.lower(), SECOND, LAST):
        number, place = divmod(number, len(kind))
        letters.append(kind[place])
    return "".join(letters)


class Pseudonyms:
    """One run's."""

    def __init__(self) -> None:
        self._of: dict[str, str] = {}
        self._patterns: dict[str, regex.Pattern[str]] = {}

    def conversation(
        self, messages: Sequence[ChatMessage], people: Mapping[int, str], speakers: Collection[int],
        names: Mapping[int, str] | None = None,
    ) -> Sequence[ChatMessage]:  # fmt: skip
        """The same messages with pseudonyms for those who are not `speakers`, where more than one of them talks.
        `people`: ids on their platform by author; whoever has none keeps their name. `names`: of who talks there
        besides, where the messages are taken out of a longer talk."""
        talking = {**(names or {}), **{one.author_id: one.author for one in messages}}
        others = {author: name for author, name in talking.items() if author not in speakers}
        if len(others) < 2:
            return messages
        called = {author: self._name(people[author]) for author in others if author in people}
        spoken = {
            short_name(others[author]): name
            for author, name in called.items()
            if len(short_name(others[author])) >= SHORTEST_NAME and short_name(others[author]) != UNNAMED
        }
        return [
            replace(
                message,
                author=called.get(message.author_id, message.author),
                text=self._addressed(message.text, spoken),
            )
            for message in messages
        ]

    def _addressed(self, text: str, spoken: Mapping[str, str]) -> str:
        for name, stands_for in spoken.items():
            if name in text:  # most texts name nobody, and looking costs a hundredth of matching
                pattern = self._patterns.get(name)
                if pattern is None:
                    pattern = self._patterns[name] = regex.compile(ADDRESSED.format(name=regex.escape(name)))
                text = pattern.sub(stands_for, text)
        return text

    def _name(self, person: str) -> str:
        name = self._of.get(person)
        if name is None:
            name = self._of[person] = pseudonym(person)
        return name
