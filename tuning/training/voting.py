"""The phase after the conversations: learning from votes, where there are enough, and only at a price that is small."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from serving.prompt import ChatTokenizer
from tuning.exchanges import read_exchanges
from tuning.training import kto
from tuning.training.batches import row_of
from tuning.training.run import FEWEST_VOTES, read_lines
from tuning.training.tuned import put_weights, weights_of

if TYPE_CHECKING:
    from tuning.training.loop import Training

MAY_COST = 1.01
"""By how much learning from votes may let the held-out loss grow."""


def learn_from_votes(training: Training) -> None:
    """From the best weights on. Kept unless it costs what was learnt before."""
    voted, course = training.votes, training.course
    course.votes = len(voted)
    if len(voted) < FEWEST_VOTES:
        return
    training.model.eval()  # dropout's noise would pass for a reward

    def learn(count: int) -> None:
        put_weights(training.tuned, training.best)
        kto.learn(
            training.model, training.parameters, voted, rate=training.learning_rate, seed=training.run.seed,
            device=training.device, pause=training.pause, count=count,
        )  # fmt: skip

    training.in_parts.fit(learn, kto.TOGETHER)
    held_out, general = training.losses()
    course.votes_kept = held_out <= course.best_loss * MAY_COST and training.kept(general)
    if course.votes_kept:
        training.best = weights_of(training.tuned)
        course.best_step = course.step
        course.measured_at.append(course.step)
        course.held_out.append(held_out)
        course.general.append(general)


def read_votes(file: Path, tokenizer: ChatTokenizer, system_prompt: str, context: int) -> list[kto.Voted]:
    """Answers that people voted on, as rows whose answer alone is learnt; none where there is no such file."""
    if not file.exists():
        return []
    exchanges = read_exchanges(file, tokenizer, system_prompt, context)
    rows = [row_of(one, context) for one in exchanges]
    votes = [bool(line["good"]) for line in read_lines(file)]
    return [kto.Voted(row, good) for row, good in zip(rows, votes, strict=True) if row is not None]
