"""What a run says of itself while it goes: progress.json, written no oftener than anybody would read it."""

from __future__ import annotations

import time
from dataclasses import dataclass, field
from typing import Any

from tuning.training.batches import Step
from tuning.training.run import Progress, RunFolder, TrainingRun


@dataclass
class Course:
    """How a run has gone so far: what a checkpoint holds besides weights. Losses in nats per learnt token."""

    step: int = 0
    measured_at: list[int] = field(default_factory=list)
    held_out: list[float] = field(default_factory=list)
    general: list[float] = field(default_factory=list)
    best_step: int = 0
    best_loss: float = float("inf")
    without_better: int = 0
    learnt: int = 0
    seconds: float = 0.0
    loss: float | None = None
    votes: int = 0
    votes_kept: bool | None = None


class Telling:
    """Writes the progress of one run."""

    def __init__(self, folder: RunFolder, run: TrainingRun) -> None:
        self._folder, self._run = folder, run
        self._progress = Progress()
        self._written = 0.0
        self._started = time.monotonic()

    def say(self, state: Any, course: Course, steps: list[Step], *, now: bool = False) -> None:
        """Write it, at most once a second unless `now` or another state."""
        clock = time.monotonic()
        if not now and state == self._progress.state and clock - self._written < 1:
            return
        pace = course.seconds / course.step if course.step else None
        self._progress = Progress(
            state=state,
            step=course.step,
            steps=len(steps),
            epoch=steps[min(course.step, len(steps) - 1)].epoch if steps else 0,
            epochs=self._run.epochs,
            loss=course.loss,
            measured_at=course.measured_at,
            held_out_loss=course.held_out,
            general_loss=course.general,
            tokens_per_second=course.learnt / course.seconds if course.seconds else 0.0,
            seconds=clock - self._started,
            seconds_left=0.0 if state == "done" else pace and pace * (len(steps) - course.step),
            notes=self._folder.read_notes(),
        )
        self._folder.write_progress(self._progress)
        self._written = clock
