"""What a deletion did, as data and as sentences: a forgetting for the person themselves or about them, or a removal.

Knows no database.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from config.names import VersionName
from tuning.versions import Move

Whom = Literal["you", "them"]


@dataclass(frozen=True, slots=True)
class Counts:
    """What there was. `imported`: messages in imported chats; `taught`: pairs that keep their words; `samples`:
    answers in reports and comparisons that repeat them; `records`: profile, admissions, consents, namings."""

    messages: int = 0
    answers: int = 0
    imported: int = 0
    taught: int = 0
    votes: int = 0
    samples: int = 0
    records: int = 0

    def sentence(self, whom: Whom = "you") -> str:
        """As people read it: “12 messages, 12 answers to you and 1 vote”."""
        names = {
            "messages": ("message", "messages"),
            "answers": (f"answer to {whom}", f"answers to {whom}"),
            "imported": ("message from imported chats", "messages from imported chats"),
            "taught": ("taught answer", "taught answers"),
            "votes": ("vote", "votes"),
            "samples": ("sample answer", "sample answers"),
            "records": (f"record about {whom}", f"records about {whom}"),
        }
        shown = [(getattr(self, key), words) for key, words in names.items()]
        parts = [f"{count:,} {words[count != 1]}" for count, words in shown if count]
        return " and ".join(filter(None, (", ".join(parts[:-1]), parts[-1]))) if parts else "nothing"


@dataclass(frozen=True, slots=True, kw_only=True)
class Aftermath:
    """What followed from deleting text. `versions`: all that learnt from it; `withdrawn`: what took the place of those
    that served; `retraining`: assistants that learn afresh without it. `stopping`: a job is still ending; `journal`:
    whether the database's journal is empty, so that the text is in no file."""

    versions: tuple[VersionName, ...] = ()
    withdrawn: tuple[Move, ...] = ()
    retraining: tuple[str, ...] = ()
    stopping: bool = False
    journal: bool = True

    def of(self, what: str) -> list[str]:
        """As sentences; `what` was deleted."""
        if self.versions:
            named = ", ".join(map(str, self.versions))
            lines = [f"Marked, because they had learnt from {what}: {named}."]
        else:
            lines = [f"No version had learnt from {what}."]
        lines += [move.sentence for move in self.withdrawn]
        lines += [f"{name} learns afresh, without {what}." for name in self.retraining]
        if self.stopping:
            lines.append(f"Learning that had read {what} is being stopped; its files go when it has.")
        if not self.journal:
            lines.append(
                "Somebody was reading the database just now, so traces stay in its journal; while Parlance runs, it "
                "empties that within the hour."
            )
        return lines


@dataclass(frozen=True, slots=True)
class Forgotten(Aftermath):
    """What was done for `person`, or about them."""

    person: str
    counts: Counts

    def sentences(self, whom: Whom = "you") -> tuple[str, ...]:
        """What was done, told to the person themselves or about them."""
        what = {"you": "your words", "them": "their words"}[whom]
        return (f"Deleted: {self.counts.sentence(whom)}.", *self.of(what))
