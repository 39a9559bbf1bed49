"""Cleaning: what is no talk goes out of conversations, step by step, each counted and each to be switched off.

Each step takes a stream of conversations and gives one. It works once it is known who talks with whom, so a message
that goes tears nothing: what replied to it stays where it belongs. Only an answer that is left without what it answers
goes too, because it would be learnt as the answer to something else. Near-duplicates are the last step; they are told
from whole examples (tuning/duplicates.py).

What a step removed is shown by a few samples, which are kept in memory alone: whoever asks for them has the sources
read once more, so there is nothing to be forgotten. Never used on taught answers, nor on dialogues and documents.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Iterator
from dataclasses import dataclass
from typing import Any

from sqlalchemy.ext.asyncio import AsyncSession

from config.errors import BadInput
from store.assistants import find_assistant
from store.tables import Assistant
from tuning.chatter import is_bot_name, is_command, is_link_alone, is_reaction_alone, is_stand_in
from tuning.conversations import ChatMessage, Conversation
from tuning.funnel import Counter
from tuning.language import Language
from tuning.samples import Samples

SHOWN = 5
"""Samples of what a step removed."""
REACTIONS, LANGUAGE, DUPLICATES = "reactions", "language", "duplicates"
STEPS = {
    "bots": "bots and commands left out",
    "links": "links alone left out",
    REACTIONS: "reactions alone left out",
    "forwards": "forwarded messages left out",
    "media": "stand-ins for media left out",
    LANGUAGE: "other languages left out",
    DUPLICATES: "near-duplicates removed",
}
"""Name of each step, and what the funnel calls it."""


@dataclass(frozen=True, slots=True)
class Removed:
    """One text that a step removed, as it was written."""

    step: str
    text: str


@dataclass(frozen=True, slots=True)
class Cleaning:
    """How one assistant's sources are cleaned: steps that are off, and the one language that is learnt, if any."""

    off: frozenset[str] = frozenset()
    language: str | None = None

    def has(self, step: str) -> bool:
        """Whether this step is on."""
        return self.language is not None if step == LANGUAGE else step not in self.off

    def changed(self, off: Collection[str] = (), on: Collection[str] = (), language: str | None = None) -> Cleaning:
        """With these steps off and those on. Raises BadInput for a step that there is not, or an unknown language."""
        for step in (*off, *on):
            if step not in STEPS:
                raise BadInput(f"There is no step “{step[:30]}”; the steps are {', '.join(STEPS)}.")
        if LANGUAGE in on and language is None and self.language is None:
            raise BadInput("Say which language is to stay, for example: --language en")
        if both := set(off) & set(on):
            raise BadInput(f"“{min(both)}” cannot be both on and off; say one of them.")
        wanted = Language(language).code if language is not None else self.language
        remaining = (self.off | set(off)) - set(on) - {LANGUAGE}
        return Cleaning(frozenset(remaining), None if LANGUAGE in off else wanted)


def cleaning_of(assistant: Assistant) -> Cleaning:
    """As it is kept with the assistant."""
    kept: dict[str, Any] = assistant.cleaning or {}
    return Cleaning(frozenset(kept.get("off", ())), kept.get("language"))


async def set_cleaning(
    session: AsyncSession, name: str, off: Collection[str], on: Collection[str], language: str | None
) -> Cleaning:
    """Switch steps of this assistant off and on. Raises NotFound for an unknown one, BadInput for what cannot be."""
    assistant = await find_assistant(session, name)
    cleaning = cleaning_of(assistant).changed(off, on, language)
    assistant.cleaning = {"off": sorted(cleaning.off), "language": cleaning.language}
    await session.flush()
    return cleaning


Removes = Callable[[ChatMessage, Collection[int]], bool]
"""removes(message, speakers): whether this message goes."""


class Sieve:
    """One step. A transparent one takes what nobody answers, so an answer
    that follows is the answer to what was said before."""

    def __init__(self, step: str, removes: Removes, *, transparent: bool = False) -> None:
        self.counter = Counter(STEPS[step])
        self.samples: Samples[Removed] = Samples(SHOWN)
        self._step = step
        self._removes = removes
        self._transparent = transparent

    def clean(self, conversations: Iterable[Conversation], speakers: Collection[int]) -> Iterator[Conversation]:
        """The same conversations without what goes; those of which nothing is left go whole. `speakers`: the authors
        whose answers are learnt."""
        removes = self._removes
        for conversation in conversations:
            messages = conversation.messages
            self.counter.came_in += len(messages)
            gone = [message for message in messages if removes(message, speakers)]
            if gone:
                for message in gone:
                    self.samples.offer(Removed(self._step, message.text))
                messages = self._left(messages, {message.id for message in gone}, speakers)
                conversation = Conversation(messages)
            self.counter.went_out += len(messages)
            if messages:
                yield conversation

    def _left(self, messages: Iterable[ChatMessage], gone: set[int], speakers: Collection[int]) -> list[ChatMessage]:
        left: list[ChatMessage] = []
        unanswered: set[str] = set()
        """External ids of what went, and of answers that went with it."""
        asked = False
        """Whether something went since somebody else spoke, so that what follows may be an answer to it."""
        for message in messages:
            spoken = message.author_id in speakers
            if message.id in gone:
                if not spoken and not self._transparent:
                    asked = True
                    unanswered.add(message.external_id)
            elif not spoken:
                asked = False
                left.append(message)
            elif message.reply_to in unanswered or (asked and not _has_question(message, left, speakers)):
                unanswered.add(message.external_id)
            else:
                left.append(message)
        return left


def _has_question(answer: ChatMessage, before: list[ChatMessage], speakers: Collection[int]) -> bool:
    """Whether there is somebody else's message that it answers, now that something between went."""
    if answer.reply_to is not None:
        return any(message.external_id == answer.reply_to for message in before)
    return bool(before) and before[-1].author_id not in speakers


class Sieves:
    """The steps that are on for one assistant, in order, and what they counted. Bots are told by their names; one that
    is a speaker is learnt like anybody."""

    def __init__(self, cleaning: Cleaning) -> None:
        self._bots: dict[str, bool] = {}
        made: dict[str, Removes] = {
            "bots": lambda message, speakers: is_command(message.text) or self._is_bot(message, speakers),
            "links": lambda message, _: is_link_alone(message.text),
            REACTIONS: lambda message, _: is_reaction_alone(message.text),
            "forwards": lambda message, _: message.forwarded,
            "media": lambda message, _: is_stand_in(message.text),
        }
        if cleaning.language is not None:
            language = Language(cleaning.language)
            made[LANGUAGE] = lambda message, _: language.differs(message.text)
        self.sieves = [
            Sieve(step, removes, transparent=step == REACTIONS) for step, removes in made.items() if cleaning.has(step)
        ]

    def clean(self, conversations: Iterable[Conversation], speakers: Collection[int]) -> Iterator[Conversation]:
        """Through every step. `speakers`: the authors whose answers are learnt."""
        stream = iter(conversations)
        for sieve in self.sieves:
            stream = sieve.clean(stream, speakers)
        return stream

    def _is_bot(self, message: ChatMessage, speakers: Collection[int]) -> bool:
        name = message.author
        found = self._bots.get(name)
        if found is None:
            found = self._bots[name] = is_bot_name(name)
        return found and message.author_id not in speakers
