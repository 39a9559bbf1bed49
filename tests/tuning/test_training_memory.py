"""Where memory is short everything is taken in smaller parts, comes to the same, is told, and holds after a kill."""

from __future__ import annotations

import functools
import json
import sys
from contextlib import aclosing
from pathlib import Path
from typing import Any

import psutil
import pytest
import torch
from safetensors.torch import load_file
from small_training import new_run
from transformers import LlamaForCausalLM

from config.errors import JobFailed
from serving.prompt import ChatTokenizer
from tuning.training import __main__ as trainer
from tuning.training.loop import Training
from tuning.training.memory import InParts
from tuning.training.outcome import TrainingResult
from tuning.training.own_words import own_words
from tuning.training.parity import parity_rows
from tuning.training.process import TrainerKilled, run_training
from tuning.training.run import FEWEST_VOTES, RunFolder

NOTE = "Memory was short, so it learnt in smaller parts, which takes longer and comes to the same."


def room_for(rows: int, monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """From now on no pass through a model has room for more; gives the rows of each that had."""
    forward, seen = LlamaForCausalLM.forward, []

    @functools.wraps(forward)
    def bounded(self: Any, input_ids: torch.Tensor, *given: Any, **more: Any) -> Any:
        if len(input_ids) > rows:
            raise torch.OutOfMemoryError("CUDA out of memory.")
        seen.append(len(input_ids))
        return forward(self, input_ids, *given, **more)

    monkeypatch.setattr(LlamaForCausalLM, "forward", bounded)
    return seen


def learnt(place: Path, base: Path, **settings: Any) -> tuple[RunFolder, TrainingResult]:
    """From conversations, general ones and votes."""
    folder, run = new_run(place, base, epochs=1, **settings)
    lines = []
    for number in range(FEWEST_VOTES + 6):
        said = ("Gladly, come aboard.", "No idea, go away.")[number % 2]
        turns = [{"role": "user", "content": f"May I come on boat {number}?"}, {"role": "assistant", "content": said}]
        lines.append(json.dumps({"messages": turns, "learn_from": 0, "good": number % 2 == 0}))
    folder.votes.write_text("\n".join(lines))
    folder.settings.write_text(run.model_dump_json())
    return folder, Training(folder, run, lambda: False).go()


def test_a_run_with_room_for_two_rows_at_a_time_ends_like_one_with_room_for_all(
    tmp_path: Path, base: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Measuring, the untouched model's word, steps and votes."""
    roomy, whole = learnt(tmp_path / "roomy", base, own_share=0.0)
    seen = room_for(2, monkeypatch)
    short, cut = learnt(tmp_path / "short", base, own_share=0.0)
    assert max(seen) == 2
    assert (cut.held_out, cut.general, cut.votes_kept) == (
        pytest.approx(whole.held_out, rel=1e-3), pytest.approx(whole.general, rel=1e-3), whole.votes_kept,
    )  # fmt: skip
    ends = [load_file(folder.adapter / "adapter_model.safetensors") for folder in (roomy, short)]
    for name, weight in ends[0].items():
        both = (weight.float().flatten(), ends[1][name].float().flatten())
        assert torch.cosine_similarity(*both, dim=0) > 0.999, name
    assert (roomy.read_parts(), whole.notes) == (1, [])
    assert short.read_parts() > 1
    assert cut.notes == [NOTE]
    progress = short.read_progress()
    assert progress is not None and progress.notes == [NOTE]


def test_whoever_goes_on_with_a_run_takes_it_in_the_parts_that_it_was_taken_in(
    tmp_path: Path, base: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder, run = new_run(tmp_path, base, epochs=1, replay_share=0.0, own_share=0.02)
    folder.cut_smaller(64, NOTE)
    seen = room_for(1, monkeypatch)
    again = Training(folder, run, lambda: False)
    assert again.in_parts.count == 64
    again.go()
    assert seen and folder.read_parts() == 64  # nothing was tried in larger ones


def test_the_untouched_model_draws_fewer_texts_at_once_where_memory_is_short(
    base: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    model, tokenizer, told = LlamaForCausalLM.from_pretrained(base), ChatTokenizer(str(base)), []
    seen = room_for(9, monkeypatch)
    in_parts = InParts(1, told.append)
    rows = in_parts.fit(lambda count: own_words(model, tokenizer, 40, 64, 0, lambda: None, count), 32)
    assert (len(rows), max(seen), told) == (40, 8, [2, 4])


def test_what_is_computed_in_parts_for_the_engine_to_be_compared_with_is_the_same(tmp_path: Path, base: Path) -> None:
    folder, _ = new_run(tmp_path, base)
    model, tokenizer = LlamaForCausalLM.from_pretrained(base).eval(), ChatTokenizer(str(base))
    logits: list[int] = []
    hook = model.lm_head.register_forward_hook(lambda _, given, __: logits.append(given[0].shape[-2]))
    found = [parity_rows(model, folder.held_out, tokenizer, "", 512, lambda: None, count) for count in (1, 3)]
    hook.remove()
    assert [row.ids for row in found[0].rows] == [row.ids for row in found[1].rows]
    for whole, cut in zip(found[0].rows, found[1].rows, strict=True):
        assert cut.logprobs[1:] == pytest.approx(whole.logprobs[1:], abs=1e-4)
    assert max(logits[len(found[0].rows) :]) <= -(-max(logits) // 3)


def test_what_had_begun_is_undone_and_nothing_is_tried_that_is_no_smaller() -> None:
    undone, told = [], []
    in_parts = InParts(1, told.append)

    def never(count: int) -> None:
        raise RuntimeError("DefaultCPUAllocator: can't allocate memory")

    with pytest.raises(RuntimeError, match="allocate memory"):
        in_parts.fit(never, 3, lambda: undone.append(True))
    assert (in_parts.count, told, len(undone)) == (4, [2, 4], 2)
    with pytest.raises(RuntimeError, match="allocate memory"):
        in_parts.fit(never, 4)
    assert in_parts.count == 4
    with pytest.raises(ValueError, match="no shortage"):
        InParts(1, told.append).fit(lambda count: int("no shortage"), 8)


def test_a_shortage_that_no_parts_help_against_is_told_as_one(
    tmp_path: Path, base: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder, run = new_run(tmp_path, base)
    folder.settings.write_text(run.model_dump_json())
    monkeypatch.setenv("OMP_WAIT_POLICY", "passive")
    for package in ("kernels", "bitsandbytes"):  # which the trainer's process hides
        monkeypatch.setitem(sys.modules, package, sys.modules.get(package))
    room_for(0, monkeypatch)
    with pytest.raises(JobFailed, match="memory was too small") as met:
        trainer.train(folder, lambda: False)  # type: ignore[arg-type]
    assert "one conversation" not in str(met.value)  # it may be the model itself that did not fit


async def test_a_trainer_that_was_killed_goes_on_in_smaller_parts_and_memory_is_named(
    tmp_path: Path, base: Path
) -> None:
    folder, run = new_run(tmp_path, base, checkpoint_every=0)
    folder.settings.write_text(run.model_dump_json())
    log = tmp_path / "training.log"
    killed = False
    with pytest.raises(TrainerKilled, match="most likely because memory ran short"):
        async with aclosing(run_training(folder, log)) as steps:
            async for progress in steps:
                if progress.step > 0 and not killed:
                    killed = True
                    for child in psutil.Process().children(recursive=True):
                        if str(folder.folder) in child.cmdline() and "leash.py" not in " ".join(child.cmdline()):
                            child.kill()
    assert folder.read_parts() == 2
    told = []
    async with aclosing(run_training(folder, log)) as steps:
        async for progress in steps:
            told.append(progress.notes)
    result = folder.read_result()
    assert result is not None
    assert told[-1] == result.notes and "most likely because memory ran short" in result.notes[0]
    assert folder.read_parts() == 2
