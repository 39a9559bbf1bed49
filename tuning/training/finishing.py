"""The end of a run: the best weights as an adapter, what the trainer computes with it, and what the run was.

Promises that whatever stands in result.json is there and on the disk: it is written last.
"""

from __future__ import annotations

import shutil
from typing import TYPE_CHECKING

from tuning.training.memory import peak
from tuning.training.outcome import TrainingResult
from tuning.training.parity import parity_rows
from tuning.training.provenance import code_digest, settings_of, versions
from tuning.training.run import sync_folder, write_whole
from tuning.training.tuned import put_weights

if TYPE_CHECKING:
    from tuning.training.loop import Training


def finish(training: Training) -> TrainingResult:
    """Write the adapter, parity.json and result.json."""
    course, folder, run = training.course, training.folder, training.run
    training.say("finishing", now=True)
    put_weights(training.tuned, training.best)
    fresh = folder.folder / ".adapter"
    shutil.rmtree(fresh, ignore_errors=True)
    again = training.tuned.finish(fresh)
    sync_folder(fresh)
    shutil.rmtree(folder.adapter, ignore_errors=True)
    fresh.replace(folder.adapter)
    parity = training.in_parts.fit(
        lambda count: parity_rows(
            again, folder.held_out, training.tokenizer, run.system_prompt, run.context, training.pause, count
        ),
        run.context,
    )
    write_whole(folder.parity, parity.model_dump_json().encode())
    sync_folder(folder.folder)
    best = len(course.measured_at) - 1 - course.measured_at[::-1].index(course.best_step)
    result = TrainingResult(
        held_out_base=course.held_out[0],
        held_out=course.held_out[best],
        general_base=course.general[0] if training.general.watched else None,
        general=course.general[best] if training.general.watched else None,
        general_kept=training.kept(course.general[best]),
        steps=course.step,
        best_step=course.best_step,
        epochs=course.step / len(training.steps) * run.epochs,
        learnt_tokens=course.learnt,
        tokens_per_second=course.learnt / max(course.seconds, 1e-9),
        seconds=course.seconds,
        peak_memory=peak(training.device),
        learning_rate=training.learning_rate,
        examples=len(training.rows),
        held_out_examples=len(training.held_out),
        left_out=training.left_out,
        votes=course.votes,
        votes_kept=course.votes_kept,
        method=run.method,
        rank=run.rank,
        four_bits=run.four_bits,
        kept=training.tuned.kept,
        notes=folder.read_notes(),
        seed=run.seed,
        run=settings_of(run),
        data_digest=training.digest,
        code=code_digest(),
        versions=versions(four_bits=run.four_bits),
    )
    write_whole(folder.result, result.model_dump_json(indent=2).encode())
    training.say("done", now=True)
    return result
