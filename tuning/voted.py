"""Answers that people voted on, as the trainer takes them: `votes.jsonl`, private details and names replaced.

The last of all votes on an answer is what counts of each person; an answer on which people disagree is in neither
half. Each is a conversation of two messages, and goes the way of every conversation (tuning/gathering.py). Whose words
may be used at all is decided where channels' logs are read.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

from tuning.pseudonyms import Pseudonyms
from tuning.reading import Given
from tuning.redacting import Redacting
from tuning.sources.channel_log import VotedAnswer

FILE = "votes.jsonl"


@dataclass(frozen=True, slots=True)
class PlainVote:
    """One of them without private details; `ids`: the two messages' rows."""

    source_id: int
    ids: tuple[int, int]
    question: str
    answer: str
    good: bool


def plain_votes(votes: Iterable[tuple[Given, VotedAnswer]], redacting: Redacting) -> list[PlainVote]:
    """All of them. Good ones are in the conversations as well, and counted there."""
    pseudonyms = Pseudonyms()
    plain = []
    for given, voted in votes:
        pair = redacting.conversation((voted.question, voted.answer), (), again=voted.good)
        question, answer = pseudonyms.conversation(pair, given.people, given.speakers, given.names)
        plain.append(PlainVote(given.source_id, (question.id, answer.id), question.text, answer.text, voted.good))
    return plain


def write_votes(folder: Path, votes: Sequence[PlainVote], lineage: dict[int, list[int]]) -> None:
    """Write the answers, and add the messages to `lineage`: source → ascending message rows.

    A good answer is written only where it is learnt, so that none is measured with that was learnt from. Writes nothing
    where nobody voted.
    """
    known = {source_id: frozenset(ids) for source_id, ids in lineage.items()}
    votes = [one for one in votes if not one.good or known.get(one.source_id, frozenset()).issuperset(one.ids)]
    if not votes:
        return
    learnt: dict[int, set[int]] = {}
    with (folder / FILE).open("w", encoding="utf-8", newline="\n") as stream:
        for voted in votes:
            turns = [("user", voted.question), ("assistant", voted.answer)]
            line = {
                "messages": [{"role": role, "content": text} for role, text in turns],
                "learn_from": 0,
                "good": voted.good,
            }
            stream.write(json.dumps(line, ensure_ascii=False) + "\n")
            learnt.setdefault(voted.source_id, set()).update(voted.ids)
    for source_id, ids in learnt.items():
        lineage[source_id] = sorted(ids.union(lineage.get(source_id, ())))
