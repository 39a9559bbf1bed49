"""Answers that people voted on, written for the trainer: `votes.jsonl`, private details replaced.

The last of all votes on an answer is what counts of each person; an answer on which people disagree is in neither
half. Knows the file and what stands in it; whose words may be used at all is decided where channels' logs are read.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path

from tuning.redaction import redact
from tuning.sources.channel_log import VotedAnswer

FILE = "votes.jsonl"


def write_votes(folder: Path, votes: Sequence[tuple[int, VotedAnswer]], lineage: dict[int, list[int]]) -> None:
    """Write the answers, each with its source, and add the messages to `lineage`: source → ascending message rows.

    A good answer is written only where it is learnt, so that none is measured with that was learnt from. Writes nothing
    where nobody voted.
    """
    known = {source_id: frozenset(ids) for source_id, ids in lineage.items()}
    votes = [(at, voted) for at, voted in votes if not voted.good or known.get(at, frozenset()).issuperset(voted.ids)]
    if not votes:
        return
    learnt: dict[int, set[int]] = {}
    with (folder / FILE).open("w", encoding="utf-8", newline="\n") as stream:
        for source_id, voted in votes:
            turns = [("user", voted.question), ("assistant", voted.answer)]
            line = {
                "messages": [{"role": role, "content": redact(text)} for role, text in turns],
                "learn_from": 0,
                "good": voted.good,
            }
            stream.write(json.dumps(line, ensure_ascii=False) + "\n")
            learnt.setdefault(source_id, set()).update(voted.ids)
    for source_id, ids in learnt.items():
        lineage[source_id] = sorted(ids.union(lineage.get(source_id, ())))
