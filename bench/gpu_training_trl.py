"""TRL's SFTTrainer on the rows that `bench.gpu_training` gives the trainer: the rival, as its documentation advises.

The base in bfloat16, bf16=True, the same adapter, rows ready as token ids with a mask of what is learnt, no padding to
speak of and so nothing to pack; fused AdamW, the head's loss without whole logits (its default); Liger's layer kernels
and FlashAttention where they are installed. Importing this asks for `trl` and `datasets`.
"""

from __future__ import annotations

import importlib.util
import time
from pathlib import Path
from typing import Any

import torch
from datasets import Dataset
from peft import LoraConfig
from transformers import AutoTokenizer, TrainerCallback
from trl import SFTConfig, SFTTrainer

from bench.gpu_card import wait
from bench.gpu_results import Bench
from bench.gpu_shapes import RANK, Shape, random_model
from serving.prompt import ChatTokenizer
from tuning.training.batches import read_rows
from tuning.training.lora import ALPHA

WARM_UP_STEPS = 2


def theirs(
    bench: Bench, shape: Shape, location: str, place: Path, context: int, rows: int, steps: int, *, checkpointing: bool
) -> tuple[dict[str, Any], int]:
    """Tokens, learnt tokens, steps and seconds after warming up; and the peak of the card's memory in bytes."""
    found, _ = read_rows(place / "train.jsonl", ChatTokenizer(location), "", context)
    data = []
    for row in found:
        mask = [0] * len(row.ids)
        for at in row.learnt:
            mask[at] = 1
        data.append({"input_ids": list(row.ids), "assistant_masks": mask})
    clock: list[float] = []

    class Clock(TrainerCallback):
        def on_step_begin(self, *_: object, **__: object) -> None:
            wait(bench.device)
            clock.append(time.perf_counter())

        on_step_end = on_step_begin

    dtype = torch.float32 if bench.rehearse else torch.bfloat16
    model = random_model(shape, bench.device, dtype)
    if importlib.util.find_spec("flash_attn") is not None:
        model.set_attn_implementation("flash_attention_2")
    adapter = LoraConfig(
        r=RANK, lora_alpha=ALPHA, use_rslora=True, lora_dropout=0.05, target_modules="all-linear", task_type="CAUSAL_LM"
    )
    more: dict[str, Any] = {}
    if importlib.util.find_spec("liger_kernel") is not None and not bench.rehearse:
        more["use_liger_kernel"] = True
    arguments = SFTConfig(
        output_dir=str(place / "trl"), use_cpu=bench.rehearse, bf16=not bench.rehearse, report_to="none",
        max_steps=steps + WARM_UP_STEPS, per_device_train_batch_size=rows, learning_rate=1e-4,
        lr_scheduler_type="linear", max_grad_norm=1.0, max_length=context, packing=False, optim="adamw_torch_fused",
        gradient_checkpointing=checkpointing, gradient_checkpointing_kwargs={"use_reentrant": False},
        save_strategy="no", logging_strategy="no", disable_tqdm=True, dataloader_pin_memory=not bench.rehearse, **more,
    )  # fmt: skip
    trainer = SFTTrainer(
        model=model, processing_class=AutoTokenizer.from_pretrained(location), train_dataset=Dataset.from_list(data),
        peft_config=adapter, callbacks=[Clock()], args=arguments,
    )  # fmt: skip
    trainer.train()
    starts, ends = clock[::2][WARM_UP_STEPS:], clock[1::2][WARM_UP_STEPS:]
    seconds = sum(end - start for start, end in zip(starts, ends, strict=True))
    each = sum(row.width for row in found) / len(found)
    learnt = sum(len(row.learnt) for row in found) / len(found)
    counted = rows * len(ends)
    peak = torch.cuda.max_memory_allocated() if bench.device == "cuda" else 0
    pace = {"tokens": each * counted, "learnt": learnt * counted, "steps": len(ends), "seconds": seconds}
    return pace, peak
