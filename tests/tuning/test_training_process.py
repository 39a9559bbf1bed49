"""The trainer as a process: it learns, stops, goes on after a kill, and says in one sentence what failed."""

from __future__ import annotations

import json
import os
import random
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from peft import PeftModel
from transformers import AutoModelForCausalLM, LlamaConfig, LlamaForCausalLM

from config.catalogue import DEMO_FOLDER
from config.errors import BadInput
from tuning.training.outcome import Parity
from tuning.training.run import CANCELLED, DONE, FAILED, RunFolder, TrainingRun

ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture(scope="module")
def small_model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A Llama of stock shape that knows nothing yet, with the demo's tokenizer."""
    folder = tmp_path_factory.mktemp("model")
    for name in ("tokenizer.json", "tokenizer_config.json", "chat_template.jinja"):
        shutil.copy(DEMO_FOLDER / name, folder)
    torch.manual_seed(0)
    shape = LlamaConfig(
        vocab_size=4096, hidden_size=32, intermediate_size=64, num_hidden_layers=2, num_attention_heads=2,
        num_key_value_heads=1, tie_word_embeddings=True, max_position_embeddings=512, bos_token_id=None, eos_token_id=1,
    )  # fmt: skip
    LlamaForCausalLM(shape).save_pretrained(folder)
    return folder


@pytest.fixture(scope="module")
def new_run(tmp_path_factory: pytest.TempPathFactory, small_model: Path) -> Callable[..., RunFolder]:
    """Makes run folders with the same data and the given settings."""

    def make(name: str, **settings: object) -> RunFolder:
        folder = RunFolder(tmp_path_factory.mktemp(name))
        chance = random.Random(1)
        words = ["tide", "rope", "mast", "keel", "sail", "harbour", "buoy", "wind", "deck", "anchor"]
        lines = []
        for at in range(60):
            subject = chance.choice(words)
            said = [f"what about the {subject} today?", f"Aye, the {subject} is sound, skipper."]
            turns = [{"role": role, "content": text} for role, text in zip(("user", "assistant"), said, strict=True)]
            lines.append(json.dumps({"messages": turns, "learn_from": 0, "at": at}))
        folder.train.write_text("\n".join(lines[:40]))
        folder.held_out.write_text("\n".join(lines[40:]))
        given: dict[str, object] = {"model": str(small_model), "threads": 1, "system_prompt": "Talk like them.",
                 "batch_tokens": 256, "epochs": 4, "learning_rate": 0.01, "general_limit": 10}  # fmt: skip
        folder.settings.write_text(TrainingRun.model_validate(given | settings).model_dump_json())
        return folder

    return make


@pytest.fixture(scope="module")
def finished(new_run: Callable[..., RunFolder]) -> RunFolder:
    """A run that nothing disturbed."""
    run = new_run("finished")
    assert finish(start(run))[0] == DONE
    return run


def start(run: RunFolder) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-m", "tuning.training", str(run.folder)], cwd=ROOT, stderr=subprocess.PIPE, text=True
    )


def finish(process: subprocess.Popen[str]) -> tuple[int, str]:
    _, log = process.communicate(timeout=240)
    return process.returncode, log


def until_step(run: RunFolder, process: subprocess.Popen[str], step: int) -> None:
    """Wait until a checkpoint of that step or a later one lies there."""
    while process.poll() is None:
        if any(int(file.stem[5:]) >= step for file in run.checkpoints.glob("step-*.pt")):
            return
        time.sleep(0.01)
    pytest.fail(f"the trainer ended before step {step}: {finish(process)}")


def test_a_run_learns_and_leaves_all_its_files(finished: RunFolder, small_model: Path) -> None:
    run = finished
    result, progress = run.read_result(), run.read_progress()
    assert result is not None
    assert progress is not None
    assert result.held_out < 0.97 * result.held_out_base
    assert progress.state == "done"
    assert progress.held_out_loss[0] == result.held_out_base
    assert min(progress.held_out_loss) == result.held_out
    assert {file.name for file in run.adapter.iterdir()} == {"adapter_model.safetensors", "adapter_config.json"}
    assert json.loads((run.adapter / "adapter_config.json").read_text())["base_model_name_or_path"] == str(small_model)
    assert result.peak_memory > 0
    assert finish(start(run))[0] == DONE  # a finished run has nothing left to do
    assert run.read_result() == result


def test_parity_is_what_transformers_computes_with_the_saved_adapter(finished: RunFolder, small_model: Path) -> None:
    run = finished
    parity = Parity.model_validate_json(run.parity.read_bytes())
    rows = parity.rows
    assert sum(len(row.ids) - 1 for row in rows) >= 500 or len(rows) == 20
    tuned = PeftModel.from_pretrained(AutoModelForCausalLM.from_pretrained(small_model), str(run.adapter)).eval()
    row = rows[0]
    assert row.messages[0] == {"role": "system", "content": "Talk like them."}
    assert len(row.ids) == len(row.logprobs)
    assert row.logprobs[0] is None
    with torch.no_grad():
        logprobs = torch.log_softmax(tuned(input_ids=torch.tensor([row.ids])).logits[0], dim=-1)
    for place in range(1, len(row.ids)):
        assert row.logprobs[place] == pytest.approx(float(logprobs[place - 1, row.ids[place]]), abs=1e-4)


def test_a_killed_run_started_again_ends_with_the_very_same_adapter(
    finished: RunFolder, new_run: Callable[..., RunFolder]
) -> None:
    straight, killed = finished, new_run("killed", checkpoint_every=0)
    process = start(killed)
    until_step(killed, process, 5)
    process.kill()
    assert finish(process)[0] == -signal.SIGKILL
    assert not killed.result.exists()
    newest = max(killed.checkpoints.glob("step-*.pt"))
    newest.write_bytes(newest.read_bytes()[:-1000])  # as if the disk had lost its end
    code, log = finish(start(killed))
    assert code == DONE
    assert "is damaged" in log
    files = [(run.adapter / "adapter_model.safetensors").read_bytes() for run in (straight, killed)]
    assert files[0] == files[1]
    texts = [(run.adapter / "adapter_config.json").read_bytes() for run in (straight, killed)]
    assert texts[0] == texts[1]
    ends = [run.read_result() for run in (straight, killed)]
    assert ends[0] is not None
    assert ends[1] is not None
    assert ends[0].notes == []
    assert len(ends[1].notes) == 1 and "damaged" in ends[1].notes[0]
    progress = killed.read_progress()
    assert progress is not None and progress.notes == ends[1].notes
    assert (ends[0].held_out, ends[0].steps, ends[0].learnt_tokens) == (
        ends[1].held_out, ends[1].steps, ends[1].learnt_tokens,
    )  # fmt: skip


def test_a_stopped_run_keeps_its_checkpoint_and_goes_on_from_it(new_run: Callable[..., RunFolder]) -> None:
    run = new_run("stopped", epochs=40, patience=40, checkpoint_every=0)
    process = start(run)
    until_step(run, process, 3)
    process.send_signal(signal.SIGTERM)
    assert finish(process)[0] == CANCELLED
    progress = run.read_progress()
    assert progress is not None
    assert progress.state == "cancelled"
    assert not run.result.exists()
    kept = max(int(file.stem[5:]) for file in run.checkpoints.glob("step-*.pt"))
    process = start(run)
    until_step(run, process, kept + 2)
    process.kill()
    assert len(list(run.checkpoints.glob("step-*.pt"))) == 2
    process.communicate()


def test_a_trainer_whose_starter_is_gone_stops_and_frees_the_folder(new_run: Callable[..., RunFolder]) -> None:
    run = new_run("orphan", epochs=200, patience=200, checkpoint_every=0)
    starter = (
        "import subprocess, sys, time\n"
        f"subprocess.Popen([sys.executable, '-m', 'tuning.training', {str(run.folder)!r}])\n"
        "time.sleep(600)"
    )
    parent = subprocess.Popen([sys.executable, "-c", starter], cwd=ROOT)
    until_step(run, parent, 2)  # type: ignore[arg-type]
    parent.kill()
    parent.wait()
    for _ in range(2000):
        progress = run.read_progress()
        if progress is not None and progress.state == "cancelled":
            return
        time.sleep(0.01)
    pytest.fail("the trainer went on without the process that started it")


@pytest.mark.parametrize(
    ("settings", "sentence"),
    [
        ({"model": "/nowhere/at/all"}, "The base model at /nowhere/at/all cannot be read"),
        ({"context": 16}, "There is no conversation to learn from"),
    ],
)
def test_what_cannot_be_done_is_said_in_one_sentence_with_exit_code_1(
    new_run: Callable[..., RunFolder], settings: dict[str, object], sentence: str
) -> None:
    run = new_run("failing", **settings)
    code, log = finish(start(run))
    assert code == FAILED
    text = run.error.read_text()
    assert text.startswith(sentence)
    assert text.count("\n") == 1
    assert "Traceback" in log
    progress = run.read_progress()
    assert progress is not None
    assert progress.state == "failed"


def test_a_damaged_model_is_said_to_be_damaged(
    new_run: Callable[..., RunFolder], small_model: Path, tmp_path: Path
) -> None:
    broken = tmp_path / "broken"
    shutil.copytree(small_model, broken)
    weights = broken / "model.safetensors"
    weights.write_bytes(weights.read_bytes()[:5000])
    run = new_run("broken-run", model=str(broken))
    assert finish(start(run))[0] == FAILED
    assert "fetch the model again" in run.error.read_text()


def test_weights_that_forget_are_not_kept(new_run: Callable[..., RunFolder]) -> None:
    run = new_run("forgetful", general_limit=0, replay_share=0, own_share=0, learning_rate=0.05)
    assert finish(start(run))[0] == DONE
    result = run.read_result()
    assert result is not None
    assert result.general is not None
    assert result.general_base is not None
    assert result.general <= result.general_base
    assert result.general_kept


def test_settings_that_cannot_be_used_name_what_is_wrong(tmp_path: Path) -> None:
    run = RunFolder(tmp_path)
    with pytest.raises(BadInput, match=r"holds no run\.json"):
        run.read_settings()
    run.settings.write_text('{"model": "m", "rank": 0}')
    with pytest.raises(BadInput, match="rank"):
        run.read_settings()


@pytest.mark.parametrize("left", [b"", b'{"state": "train', b"\xff\x00"])
def test_a_progress_that_a_loss_of_power_tore_is_none_yet(tmp_path: Path, left: bytes) -> None:
    run = RunFolder(tmp_path)
    run.progress.write_bytes(left)
    assert run.read_progress() is None


def test_the_platform_can_read_a_run_without_loading_torch() -> None:
    check = "import sys, tuning.training.run; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", check], cwd=ROOT, env=dict(os.environ), check=False).returncode == 0
