"""How a version learnt, as people read it: what a report says besides its checks, in sentences without jargon.

Takes what the trainer said of the run as it is stored, so that an earlier day's, which lacks something, still reads.
"""

from __future__ import annotations

from typing import Any

from tuning.training.run import FEWEST_VOTES


def how_it_learnt(training: dict[str, Any]) -> list[str]:
    """What was particular about it; nothing where nothing was."""
    said = []
    if training.get("kept") is not None:
        said.append(f"The adapter keeps {training['kept']:.0%} of the change that was learnt ({training['method']}).")
    if training.get("four_bits"):
        said.append(
            "Memory was short, so it learnt on the base model in 4 bits; all of this was measured on the base model as "
            "it is."
        )
    if training.get("votes"):
        said.append(_votes(training["votes"], training.get("votes_kept")))
    return [*said, *training.get("notes", [])]


def _votes(count: int, kept: bool | None) -> str:
    votes = f"{count:,} vote{'' if count == 1 else 's'} on its answers"
    if kept is None:
        return f"It did not learn from the {votes}: it takes {FEWEST_VOTES} to say more than chance."
    if kept:
        return f"It learnt from the {votes} as well."
    return f"The {votes} were left out: learning from them cost too much of what it had learnt or knew before."
