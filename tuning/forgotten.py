"""What a forgetting did, as data and as sentences for the person themselves or about them. Knows no database."""

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


@dataclass(frozen=True, slots=True)
class Forgotten:
    """What was done. `versions`: all that learnt from the person; `withdrawn`: what took the place of those that
    served; `retraining`: assistants that learn afresh without them. `stopping`: a job is still ending; `journal`:
    whether the database's journal is empty, so that the text is in no file."""

    person: str
    counts: Counts
    versions: tuple[VersionName, ...] = ()
    withdrawn: tuple[Move, ...] = ()
    retraining: tuple[str, ...] = ()
    stopping: bool = False
    journal: bool = True

    def sentences(self, whom: Whom = "you") -> tuple[str, ...]:
        """What was done, told to the person themselves or about them."""
        whose = {"you": "your", "them": "their"}[whom]
        lines = [f"Deleted: {self.counts.sentence(whom)}."]
        if self.versions:
            named = ", ".join(map(str, self.versions))
            lines.append(f"Marked, because they had learnt from {whose} words: {named}.")
        else:
            lines.append(f"No version had learnt from {whose} words.")
        lines += [move.sentence for move in self.withdrawn]
        lines += [f"{name} learns afresh, without {whose} words." for name in self.retraining]
        if self.stopping:
            lines.append(f"Learning that had read {whose} words is being stopped; its files go when it has.")
        if not self.journal:
            lines.append(
                "Somebody was reading the database just now, so traces stay in its journal until it is next emptied."
            )
        return tuple(lines)
