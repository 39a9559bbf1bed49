"""Gathering: conversations become examples. Details are replaced, near-duplicates go, the rest is split by time.

Keeps, of every example, its conversation and when that began; the examples go to a draft, where there is one. Knows no
database.
"""

from __future__ import annotations

from array import array
from collections import Counter as Tally
from collections.abc import Iterable

import numpy as np
import numpy.typing as npt

from tuning.cleaning import DUPLICATES, SHOWN, STEPS, Cleaning, Removed
from tuning.conversations import Conversation
from tuning.draft import Draft
from tuning.duplicates import BATCH, NearDuplicates, taught
from tuning.examples import Example, community_examples_of, examples_of
from tuning.funnel import Counter, Step
from tuning.held_out import hold_out
from tuning.pseudonyms import Pseudonyms
from tuning.reading import Given
from tuning.redacting import Redacting
from tuning.samples import Samples

MIN_EXAMPLES = 40
"""16 of them are the fewest that measure a version (tuning/held_out.py); from under 24 no voice is learnt."""
LONG_AGO = 1 << 40
"""Seconds; before anything that was ever said in a chat."""


class Gathering:
    """One run's. `take` conversations, then `finish`."""

    def __init__(self, cleaning: Cleaning, draft: Draft | None, redacting: Redacting) -> None:
        self._draft = draft
        self._redacting = redacting
        self._pseudonyms = Pseudonyms()
        self._answered = Counter("answered by the speaker")
        self._private = Counter("private details replaced")
        self._cut = Counter("examples")
        self._new = Counter(STEPS[DUPLICATES])
        self.duplicates: Samples[Removed] = Samples(SHOWN)
        self._people: set[str] = set()
        self._seen = NearDuplicates() if cleaning.has(DUPLICATES) else None
        self._waiting: list[tuple[Example, int, int, int, int]] = []
        self._number = array("q")
        self._began = array("q")
        self._weight = array("b")

    @property
    def examples(self) -> int:
        """How many there are."""
        return len(self._number)

    @property
    def people(self) -> int:
        """How many speak in the answered conversations, the speaker too."""
        return len(self._people)

    @property
    def redacted(self) -> Tally[str]:
        """Details replaced, by kind."""
        return self._redacting.counts

    def steps(self) -> list[Step]:
        """What was counted, in order."""
        counters = [self._answered, self._private, self._cut, *([self._new] if self._seen else [])]
        return [counter.step() for counter in counters]

    def held_out(self) -> npt.NDArray[np.bool_]:
        """For each example, in the order of the draft, whether it is held out. What was taught is learnt, not
        measured with, as long as there is enough else to measure with."""
        numbers, began = np.array(self._number, np.int64), np.array(self._began, np.int64)
        chatted = np.array(self._weight, np.int8) == 1
        if chatted.sum() < MIN_EXAMPLES:
            return hold_out(numbers, np.where(chatted, began, began - LONG_AGO))
        held = np.zeros(len(numbers), bool)
        held[chatted] = hold_out(numbers[chatted], began[chatted])
        return held

    def take(self, given: Given, conversations: Iterable[Conversation]) -> None:
        """Those of the conversations in which a speaker answers somebody, or anybody does where all are learnt."""
        for conversation in self._answered.into(conversations):
            messages = conversation.messages
            if not given.everybody and all(message.author_id not in given.speakers for message in messages):
                continue
            plain = self._redacting.conversation(messages, given.speakers if given.by_hand else ())
            if not given.by_hand:
                plain = self._pseudonyms.conversation(plain, given.people, given.speakers)
            examples = community_examples_of(plain) if given.everybody else examples_of(plain, given.speakers)
            if not examples:
                continue
            self._answered.went_out += 1
            self._private.came_in += len(messages)
            self._private.went_out += len(messages)
            self._cut.came_in += 1
            self._people.update(given.people[one.author_id] for one in messages if one.author_id in given.people)
            for example in self._cut.out_of(examples):
                self._waiting.append(
                    (example, given.source_id, self._answered.went_out, conversation.began_at, given.weight)
                )
            if len(self._waiting) >= BATCH:
                self.finish()

    def finish(self) -> None:
        """Work off what waits."""
        waiting, self._waiting = self._waiting, []
        texts = [taught(example) for example, *_ in waiting]
        new = self._seen.are_new(texts) if self._seen else [True] * len(waiting)
        for (example, source_id, number, began_at, weight), text, is_new in zip(
            self._new.into(waiting), texts, new, strict=True
        ):
            if not is_new:
                self.duplicates.offer(Removed(DUPLICATES, text))
                continue
            self._new.went_out += 1
            self._number.append(number)
            self._began.append(began_at)
            self._weight.append(weight)
            if self._draft is not None:
                self._draft.add(example, source_id, weight)
