"""How fast the trainer learns, against TRL's SFTTrainer on the same model, data, LoRA, epochs and tokens a step.

    PARLANCE_DATA=FOLDER python -m bench.train_speed [--data FOLDER] [--dialogues 160] [--rounds 3] [--json]

The data are SGD dialogues of domains that the demo model never met. SFTTrainer is set up as its documentation advises
without a GPU: loss on what the assistant says, grouped by length, no packing (which wants FlashAttention), no gradient
checkpointing, which would only cost it time; once in float32 and once with bf16=True, and the faster of the two counts.
Each side runs in a process of its own, in turn, several rounds; only
optimizer steps are timed, and one function measures both sides' held-out loss. Replay is off on both sides, and ours is
shown once more with replay on.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

from demo.training import corpus
from tuning.training.run import RunFolder, TrainingRun

DEMO = Path(__file__).resolve().parent.parent / "demo"
SIDES = {
    "trl": "SFTTrainer, float32",
    "trl-bf16": "SFTTrainer, bf16=True",
    "ours-plain": "Parlance, float32 alone",
    "ours": "Parlance",
    "replay": "Parlance with replay",
}
TARGET = "target.txt"
"""Holds the loss at which our clock is stopped."""
HELD_OUT = 40
TURNS = 12
RANK, DROPOUT, RATE, WARM_UP = 16, 0.05, 1e-3, 0.06
ROWS = 8
"""Rows of one step of SFTTrainer. Ours has as many tokens a step: that many times the mean length."""


def conversations(data: Path | None, count: int) -> tuple[list[list[dict[str, str]]], str]:
    """So many to learn from and HELD_OUT more, and where they are from."""
    file = data / "sgd-train.jsonl.gz" if data else None
    if file and file.exists():
        found = corpus.sgd(file, unseen=True)
        return [chat for chat, _ in zip(found, range(count + HELD_OUT), strict=False)], "SGD, domains never met"
    chats = []
    for export in sorted((DEMO / "exports").glob("*.json")):
        said = [
            m["text"] for m in json.loads(export.read_text())["messages"] if isinstance(m["text"], str) and m["text"]
        ]
        for start in range(0, len(said) - TURNS, TURNS):
            window = said[start : start + TURNS]
            chats.append([{"role": ("user", "assistant")[at % 2], "content": text} for at, text in enumerate(window)])
    return chats[: count + HELD_OUT], "the demo's exports, as there is no --data folder with SGD"


def ours(folder: RunFolder) -> dict[str, float]:
    """Our side: the trainer as it is, measured by its own clock of optimizer steps."""
    from tuning.training.batches import Step
    from tuning.training.loop import Training

    spent = [0.0]
    clock: list[float] = []

    class Timed(Training):
        def _step(self, step: Step) -> None:
            before, began = time.process_time(), time.monotonic()
            super()._step(step)
            spent[0] += time.process_time() - before
            clock.append(time.monotonic() - began)

    training = Timed(folder, folder.read_settings(), lambda: False)
    result = training.go()
    if (target := folder.folder / TARGET).exists():
        measured = zip(training.course.measured_at, training.course.held_out, strict=True)
        reached = next((step for step, loss in measured if loss <= float(target.read_text())), len(clock))
        return {"seconds": sum(clock[:reached]), "steps": reached}
    return {"learnt": result.learnt_tokens, "seconds": result.seconds, "processor": spent[0], "steps": result.steps,
            "held_out": result.held_out, "base": result.held_out_base, "memory": result.peak_memory}  # fmt: skip


def theirs(folder: RunFolder) -> dict[str, float]:
    """SFTTrainer's side: timed from the start of the first step to the end of the last."""
    import resource

    import torch
    from datasets import Dataset
    from peft import LoraConfig
    from transformers import AutoModelForCausalLM, AutoTokenizer, TrainerCallback
    from trl import SFTConfig, SFTTrainer

    from serving.prompt import ChatTokenizer
    from tuning.training.batches import collate, group, read_rows
    from tuning.training.lora import ALPHA
    from tuning.training.losses import mean_loss

    run = folder.read_settings()
    torch.set_num_threads(run.threads)
    rows, _ = read_rows(folder.train, ChatTokenizer(run.model), "", run.context)
    held_out, _ = read_rows(folder.held_out, ChatTokenizer(run.model), "", run.context)
    chats = [{"messages": json.loads(line)["messages"]} for line in folder.train.read_text().splitlines()]
    clock: list[float] = []
    processor: list[float] = []

    class Clock(TrainerCallback):
        def on_step_begin(self, *_: object, **__: object) -> None:
            clock.append(time.monotonic())
            processor.append(time.process_time())

        on_step_end = on_step_begin

    torch.manual_seed(run.seed)
    trainer = SFTTrainer(
        model=AutoModelForCausalLM.from_pretrained(run.model, dtype=torch.float32),
        processing_class=AutoTokenizer.from_pretrained(run.model),
        train_dataset=Dataset.from_list(chats),
        peft_config=LoraConfig(
            r=RANK, lora_alpha=ALPHA, use_rslora=True, lora_dropout=DROPOUT, target_modules="all-linear",
            task_type="CAUSAL_LM",
        ),
        callbacks=[Clock()],
        args=SFTConfig(
            output_dir=str(folder.folder / "trl"), use_cpu=True, bf16=run.fast_products, seed=run.seed,
            report_to="none", num_train_epochs=run.epochs, per_device_train_batch_size=ROWS, learning_rate=RATE,
            lr_scheduler_type="linear", warmup_steps=WARM_UP, max_grad_norm=1.0, max_length=run.context,
            assistant_only_loss=True, train_sampling_strategy="group_by_length", packing=False,
            gradient_checkpointing=False, dataloader_pin_memory=False, save_strategy="no", disable_tqdm=True,
        ),
    )  # fmt: skip
    trainer.train()
    model = trainer.model
    batches = [collate([held_out[place] for place in places]) for places in group(held_out, run.batch_tokens)]
    return {"learnt": sum(len(row.learnt) for row in rows) * run.epochs, "seconds": clock[-1] - clock[0],
            "processor": processor[-1] - processor[0],
            "steps": len(clock) // 2, "held_out": mean_loss(model, batches, lambda: None),
            "memory": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024}  # fmt: skip


def until(loss: float, chats: list[list[dict[str, str]]], options: argparse.Namespace) -> float:
    """Seconds of steps that ours takes until its held-out loss is this, measured twelve times in an epoch."""
    return measure("ours", chats, options, loss)["seconds"]


def measure(
    side: str, chats: list[list[dict[str, str]]], options: argparse.Namespace, target: float | None = None
) -> dict[str, float]:
    """One side once, in a process of its own; `target`: ours until it has this loss."""
    from serving.prompt import ChatTokenizer

    with tempfile.TemporaryDirectory() as place:
        folder = RunFolder(Path(place))
        lines = [json.dumps({"messages": chat, "learn_from": 0, "at": 0}) for chat in chats]
        folder.held_out.write_text("\n".join(lines[-HELD_OUT:]))
        folder.train.write_text("\n".join(lines[:-HELD_OUT]))
        tokenizer = ChatTokenizer(options.model)
        lengths = [len(tokenizer.render(chat).ids) for chat in chats[:-HELD_OUT]]  # type: ignore[arg-type]
        run = TrainingRun(
            model=options.model, threads=options.threads, rank=RANK, dropout=DROPOUT, learning_rate=RATE,
            epochs=options.epochs, batch_tokens=round(ROWS * statistics.mean(lengths)), patience=99,
            evaluations=1 if target is None else 12,
            fast_products=side not in ("trl", "ours-plain"), checkpoint_every=3600, general_limit=1000,
            replay_share=0.15 if side == "replay" else 0, own_share=0,
        )  # fmt: skip
        folder.settings.write_text(run.model_dump_json())
        if target is not None:
            (folder.folder / TARGET).write_text(str(target))
        command = [sys.executable, "-m", "bench.train_speed", "--child", side, place]
        environment = os.environ | {"TOKENIZERS_PARALLELISM": "false", "OMP_WAIT_POLICY": "passive"}
        environment |= {"HF_DATASETS_CACHE": f"{place}/cache"}
        done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
        if done.returncode:
            sys.exit(f"{SIDES[side]} failed:\n{done.stderr[-3000:]}")
        figures: dict[str, float] = json.loads(done.stdout.splitlines()[-1])
        return (
            figures if target is not None else figures | {"tokens_per_second": figures["learnt"] / figures["seconds"]}
        )


def main() -> None:
    """Rounds in turn, medians, a table or JSON."""
    ask = argparse.ArgumentParser(prog="python -m bench.train_speed", description=__doc__.split("\n", 1)[0])
    ask.add_argument(
        "--data", type=Path, default=os.environ.get("PARLANCE_DATA"), help="folder with sgd-train.jsonl.gz"
    )
    ask.add_argument("--dialogues", type=int, default=160)
    ask.add_argument("--epochs", type=int, default=2)
    ask.add_argument("--rounds", type=int, default=3)
    ask.add_argument("--threads", type=int, default=len(os.sched_getaffinity(0)))
    ask.add_argument("--model", default=str(DEMO / "model"))
    ask.add_argument("--json", action="store_true")
    ask.add_argument("--child", nargs=2, help=argparse.SUPPRESS)
    asked = ask.parse_args()
    if asked.child:
        side, place = asked.child
        print(json.dumps((theirs if side.startswith("trl") else ours)(RunFolder(Path(place)))))
        return
    chats, source = conversations(Path(asked.data) if asked.data else None, asked.dialogues)
    rounds: dict[str, list[dict[str, float]]] = {side: [] for side in SIDES}
    as_good: list[float] = []
    for number in range(asked.rounds):
        for side in SIDES:
            figures = measure(side, chats, asked)
            rounds[side].append(figures)
            pace, busy, loss = (figures[key] for key in ("tokens_per_second", "processor", "held_out"))
            done = f"{pace:.0f} learnt tokens/s, {busy:.1f} processor seconds, held-out loss {loss:.4f}"
            print(f"round {number + 1}: {SIDES[side]}: {done}", file=sys.stderr)
        rival = min((rounds[side][-1] for side in ("trl", "trl-bf16")), key=lambda found: found["seconds"])
        as_good.append(rival["seconds"] / until(rival["held_out"], chats, asked))
        print(f"round {number + 1}: {as_good[-1]:.2f} times as fast to SFTTrainer's loss", file=sys.stderr)
    middle: dict[str, Any] = {
        side: {key: statistics.median(one[key] for one in found) for key in found[0]} for side, found in rounds.items()
    }
    paces = {side: found["tokens_per_second"] for side, found in middle.items()}
    ratio = paces["ours"] / max(paces["trl"], paces["trl-bf16"])
    plain = paces["ours-plain"] / paces["trl"]
    if asked.json:
        facts = {"data": source, "dialogues": len(chats) - HELD_OUT, "epochs": asked.epochs, "rounds": asked.rounds}
        facts |= {"threads": asked.threads, "times_as_fast": ratio, "times_as_fast_float32": plain, "medians": middle}
        facts |= {"times_as_fast_to_the_same_loss": statistics.median(as_good)}
        print(json.dumps(facts, indent=2))
        return
    print(f"{len(chats) - HELD_OUT} conversations ({source}), {asked.epochs} epochs, {asked.threads} threads, "
          f"medians of {asked.rounds} rounds")  # fmt: skip
    print(f"untouched model: held-out loss {middle['ours']['base']:.4f}")
    for side, found in middle.items():
        print(f"{SIDES[side]:24}{found['tokens_per_second']:7.0f} learnt tokens/s   held-out loss "
              f"{found['held_out']:.4f}   {found['steps']:.0f} steps   {found['processor']:.0f} processor seconds   "
              f"{found['memory'] / 2**20:.0f} MiB")  # fmt: skip
    print(f"Parlance is {ratio:.2f} times as fast as the faster SFTTrainer, {plain:.2f} times in float32 alone, and "
          f"{statistics.median(as_good):.2f} times until it has SFTTrainer's loss")  # fmt: skip


if __name__ == "__main__":
    main()
