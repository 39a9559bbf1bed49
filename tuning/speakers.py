"""Whose answers are learnt: found by name or id among those who write, chosen as the one who answers most, or all.

Knows people and counts alone; neither files nor the store.
"""

from __future__ import annotations

from collections import Counter, OrderedDict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from config.errors import BadInput

MOST_LISTED = 20
REMEMBERED = 4096
"""Messages back that a reply is still understood; replies to older ones do not change who answers most."""
FOLLOWS_SECONDS = 15 * 60
EVERYBODY = "*"
"""In place of a name or id: the voice of the whole community."""


@dataclass(frozen=True, slots=True)
class Person:
    """Somebody who wrote in a chat. `messages`: how many."""

    external_id: str
    name: str
    messages: int


@dataclass(frozen=True, slots=True)
class Voice:
    """Whose answers are learnt: external ids, or EVERYBODY alone; `name` as people read it. `chosen`: nobody named
    one."""

    ids: tuple[str, ...]
    name: str
    chosen: bool = False


class AnswerCount:
    """How often each author answers somebody else: replies, and what follows another's message within 15 minutes."""

    def __init__(self) -> None:
        self._authors: OrderedDict[str, str] = OrderedDict()
        self._last_author = ""
        self._last_at = 0
        self._answers: Counter[str] = Counter()

    def take(self, external_id: str, author: str, sent_at: int, reply_to: str | None) -> None:
        """The next message of the chat."""
        if reply_to is not None:
            answered = self._authors.get(reply_to, author)
        else:
            answered = self._last_author if sent_at - self._last_at <= FOLLOWS_SECONDS else author
        if answered not in (author, ""):
            self._answers[author] += 1
        self._authors[external_id] = author
        if len(self._authors) > REMEMBERED:
            self._authors.popitem(last=False)
        self._last_author, self._last_at = author, sent_at

    def of(self, author: str) -> int:
        """How often this author answered."""
        return self._answers[author]


def choose_voice(
    people: Sequence[Person], wanted: Sequence[str], kept: Sequence[str] | None, answers: AnswerCount
) -> Voice:
    """The one, or those, who are learnt. `wanted`: names or ids, or EVERYBODY; `kept`: the ids from before.

    Raises BadInput where a wanted one is not there, or is not one alone; the sentence lists who is there.
    """
    if EVERYBODY in (wanted or kept or ()):
        return Voice((EVERYBODY,), "everybody")
    found = [_find(people, one) for one in wanted]
    if not found:
        by_id = {person.external_id: person for person in people}
        found = [by_id[one] for one in kept or () if one in by_id]
    if found:
        named = {person.external_id: person.name for person in found}
        return Voice(tuple(named), _joined(list(named.values())))
    most = max(people, key=lambda one: (answers.of(one.external_id), one.messages, one.external_id))
    return Voice((most.external_id,), most.name, chosen=True)


def voice_name(people: Mapping[str, str], ids: Sequence[str] | None) -> str | None:
    """As people read it, from names by external id; None where nobody is learnt."""
    if ids is not None and EVERYBODY in ids:
        return "everybody"
    return _joined([people[one] for one in ids or () if one in people]) or None


def _joined(names: Sequence[str]) -> str:
    return " and ".join(part for part in (", ".join(names[:-1]), *names[-1:]) if part)


def _find(people: Sequence[Person], wanted: str) -> Person:
    asked = wanted.strip()
    for person in people:
        if person.external_id in (asked, f"user{asked}", f"channel{asked}"):
            return person
    name = asked.casefold()
    found = [person for person in people if person.name.strip().casefold() == name]
    if not found and name:
        found = [person for person in people if person.name.strip().casefold().startswith(name)]
    if len(found) == 1:
        return found[0]
    if found:
        raise BadInput(f"“{wanted[:60]}” could be several people; say which by id: {_listed(found, ids=True)}.")
    raise BadInput(f"Nobody called “{wanted[:60]}” writes in this chat; those who do are {_listed(people, ids=False)}.")


def _listed(people: Sequence[Person], *, ids: bool) -> str:
    active = sorted(people, key=lambda person: (-person.messages, person.name, person.external_id))
    shown = [
        f"{person.name[:60]} ({f'{person.external_id}, ' if ids else ''}{person.messages:,})"
        for person in active[:MOST_LISTED]
    ]
    more = f" and {len(active) - MOST_LISTED:,} more" if len(active) > MOST_LISTED else ""
    return ", ".join(shown) + more
