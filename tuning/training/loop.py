"""The training loop: read, prepare, step, measure, keep the best, write. One `Training` owns the state of one run.

Promises that a run killed at any moment and started again ends with the same adapter as one that was not, that the
weights kept are the best on held-out conversations among those that have not forgotten general ones, and that it looks
for a request to stop between any two passes through the model.
"""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Callable
from dataclasses import asdict
from typing import Any

import torch

from config.errors import BadInput
from serving.prompt import ChatTokenizer
from tuning.training import checkpoint, lora
from tuning.training.batches import Row, Step, collate, digest, group, parts, plan_steps, read_rows
from tuning.training.finishing import finish
from tuning.training.general import general_for
from tuning.training.losses import Replay, mean_loss, summed_loss
from tuning.training.memory import InParts, keep_to_share
from tuning.training.outcome import TrainingResult
from tuning.training.run import MEMORY_SHARE_VARIABLE, RunFolder, TrainingRun
from tuning.training.telling import Course, Telling
from tuning.training.tuned import prepare, put_weights, weights_of
from tuning.training.voting import learn_from_votes, read_votes

WARM_UP = 0.06
LAST_RATE = 0.05
CLIP = 1.0
MEASURED_AT_ONCE = 4
"""A measuring batch holds so many times the tokens of a training batch."""


class Cancelled(Exception):
    """The run was asked to stop."""


class Training:
    """One run, from its folder to its result. `stopping` is asked between passes whether to stop."""

    def __init__(self, folder: RunFolder, run: TrainingRun, stopping: Callable[[], bool]) -> None:
        self.folder, self.run, self._stopping = folder, run, stopping
        self.course = Course()
        self._telling = Telling(folder, run)
        self.steps: list[Step] = []
        self._saved = 0.0
        torch.set_num_threads(run.threads)
        self.device = torch.device(run.device)
        keep_to_share(self.device, os.environ.get(MEMORY_SHARE_VARIABLE))
        self.say("starting")

        self.in_parts = InParts(folder.read_parts(), self._smaller)
        self.tokenizer = ChatTokenizer(run.model)
        prompt, context = run.system_prompt, run.context
        self.rows, out = read_rows(folder.train, self.tokenizer, prompt, context)
        self.held_out, out_too = read_rows(folder.held_out, self.tokenizer, prompt, context)
        self.left_out = out + out_too
        if not self.rows or not self.held_out:
            raise BadInput("There is no conversation to learn from, or none to measure on; import more of the chat.")
        self.pause()
        base = lora.load_base(run)
        self.general = general_for(run, base, self.tokenizer, len(self.rows), self.in_parts, self.pause)
        self.steps = plan_steps(
            self.rows, [(len(self.general.replayed), run.replay_share), (len(self.general.own), run.own_share)],
            budget=run.batch_tokens, epochs=run.epochs, seed=run.seed,
        )  # fmt: skip
        self.votes = read_votes(folder.votes, self.tokenizer, prompt, context)
        self.digest = digest(
            self.rows, self.held_out, [*self.general.watched, *self.general.replayed],
            [one.row for one in self.votes], marks=bytes(one.good for one in self.votes),
        )  # fmt: skip

        self.pause()
        self.tuned = prepare(base, run)
        self.model = self.tuned.model
        self.parameters = list(self.tuned.trained().values())
        width = self.model.get_output_embeddings().weight.shape[1]
        self.learning_rate = run.learning_rate or lora.suggested_learning_rate(width) * self.tuned.rate
        self.optimizer = torch.optim.AdamW(
            self.parameters, lr=self.learning_rate, betas=(0.9, 0.98), weight_decay=0.0, fused=True
        )
        self.best: lora.Weights = weights_of(self.tuned)
        self._resume()

    def go(self) -> TrainingResult:
        """Train, write the adapter, parity.json and result.json. Raises Cancelled when asked to stop."""
        course, run = self.course, self.run
        self.replay = self.in_parts.fit(
            lambda count: Replay(
                self.model, self.general.replayed, self.general.own, self.tuned.untouched, self.device,
                run.batch_tokens * MEASURED_AT_ONCE, count,
            ),
            len(self.general.replayed) + len(self.general.own),
        )  # fmt: skip
        if not course.measured_at:
            self._measure()
        every = max(1, round(len(self.steps) / (run.epochs * run.evaluations)))
        self.model.train()
        began, before = time.monotonic(), course.seconds
        while course.step < len(self.steps) and course.without_better < run.patience:
            self._step(self.steps[course.step])
            course.step += 1
            course.seconds = before + time.monotonic() - began
            if course.step % every == 0 or course.step == len(self.steps):
                self._measure()
                began, before = time.monotonic(), course.seconds  # time spent on measuring is not training time
            self.say("training")
            if time.monotonic() - self._saved >= run.checkpoint_every:
                self._save()
            self.pause(save=True)
        self._save()
        learn_from_votes(self)
        return finish(self)

    def _step(self, step: Step) -> None:
        """One optimizer step: cross entropy over community and general tokens, and KL to the untouched model."""
        rate = self._rate(self.course.step)
        for group_ in self.optimizer.param_groups:
            group_["lr"] = self.learning_rate * rate
        value = self.in_parts.fit(
            lambda count: self._accumulate(step, count),
            max(len(step.rows), len(step.replay)),
            self.optimizer.zero_grad,
        )
        torch.nn.utils.clip_grad_norm_(self.parameters, CLIP)
        self.optimizer.step()
        self.optimizer.zero_grad()
        course = self.course
        course.loss = value if course.loss is None else 0.9 * course.loss + 0.1 * value
        course.learnt += sum(len(self.rows[place].learnt) for place in step.rows)

    def _accumulate(self, step: Step, count: int) -> float:
        """Gradients of one step, in `count` parts; its community loss, nats per learnt token."""
        learnt = sum(len(self.rows[place].learnt) for place in step.rows)
        taught = learnt + self.replay.taught(step.replay)
        general = self.replay.tokens(step.replay)
        total = 0.0
        for places in parts(step.rows, count):
            loss = summed_loss(self.model, collate([self.rows[place] for place in places]).to(self.device))
            (loss / taught).backward()
            total += loss.item()
            self.pause()
        for places in parts(step.replay, count):
            there = self.replay.loss(places)
            (there.cross_entropy / taught + self.run.kl_weight * there.kl / general).backward()
            self.pause()
        return total / learnt

    def _rate(self, step: int) -> float:
        """Share of the peak learning rate: a short warm-up, then a straight line down."""
        warm = max(1, round(len(self.steps) * WARM_UP))
        if step < warm:
            return (step + 1) / warm
        left = (len(self.steps) - step) / max(1, len(self.steps) - warm)
        return LAST_RATE + (1 - LAST_RATE) * left

    def _measure(self) -> None:
        """Held-out and general loss now; keep the weights if they are the best that have not forgotten."""
        course = self.course
        self.say("measuring", now=True)
        held_out, general = self.losses()
        course.measured_at.append(course.step)
        course.held_out.append(held_out)
        course.general.append(general)
        if held_out < course.best_loss and self.kept(general):
            course.best_loss, course.best_step, course.without_better = held_out, course.step, 0
            self.best = weights_of(self.tuned)
        else:
            course.without_better += 1
        self.say("training", now=True)

    def losses(self) -> tuple[float, float]:
        """Held-out and general loss now."""
        general = self.measured(self.general.watched) if self.general.watched else 0.0
        return self.measured(self.held_out), general

    def kept(self, general: float) -> bool:
        limit: float = self.course.general[0] * (1 + self.run.general_limit)
        return general <= limit

    def measured(self, rows: list[Row]) -> float:
        """Nats per learnt token of `rows` now."""
        groups = group(rows, self.run.batch_tokens * MEASURED_AT_ONCE)

        def mean(count: int) -> float:
            cut = (part for places in groups for part in parts(places, count))
            batches = (collate([rows[place] for place in part]).to(self.device) for part in cut)
            return mean_loss(self.model, batches, self.pause)

        return self.in_parts.fit(mean, max(map(len, groups)))

    def _fingerprint(self) -> str:
        return f"{self.digest} {self.run.model_dump_json(exclude={'checkpoint_every'})}"

    def _save(self) -> None:
        random_states: dict[str, Any] = {"cpu": torch.get_rng_state()}
        if self.device.type == "cuda":
            random_states["cuda"] = torch.cuda.get_rng_state(self.device)
        checkpoint.save(
            self.folder.checkpoints,
            self.course.step,
            {
                "fingerprint": self._fingerprint(),
                "course": asdict(self.course),
                "weights": weights_of(self.tuned),
                "best": self.best,
                "optimizer": self.optimizer.state_dict(),
                "random": random_states,
            },
        )
        self._saved = time.monotonic()

    def _resume(self) -> None:
        self._saved = time.monotonic()
        state = checkpoint.load(self.folder.checkpoints, self._fingerprint(), self.folder.note)
        if state is None:
            return
        self.course = Course(**state["course"])
        put_weights(self.tuned, state["weights"])
        self.best = state["best"]
        self.optimizer.load_state_dict(state["optimizer"])
        torch.set_rng_state(state["random"]["cpu"])
        if "cuda" in state["random"]:
            torch.cuda.set_rng_state(state["random"]["cuda"], self.device)

    def _smaller(self, count: int) -> None:
        print(f"memory is short; everything is now taken in {count} parts", file=sys.stderr)  # noqa: T201
        self.folder.cut_smaller(
            count, "Memory was short, so it learnt in smaller parts, which takes longer and comes to the same."
        )

    def say(self, state: str, *, now: bool = False) -> None:
        """Write how far it is."""
        self._telling.say(state, self.course, self.steps, now=now)

    def pause(self, save: bool = False) -> None:
        """Between two passes: stop here if asked to. `save` where the state is whole, between two steps."""
        if self._stopping():
            if save:
                self._save()
            raise Cancelled
