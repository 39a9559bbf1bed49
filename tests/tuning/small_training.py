"""A small model and a small community to train it on, in this process."""

from __future__ import annotations

import json
import random
from pathlib import Path
from typing import Any

import torch
from transformers import LlamaConfig, LlamaForCausalLM

from tuning.training.run import RunFolder, TrainingRun


def small_llama(layers: int = 4) -> Any:
    torch.manual_seed(0)
    shape = LlamaConfig(
        vocab_size=4096, hidden_size=32, intermediate_size=64, num_hidden_layers=layers, num_attention_heads=2,
        num_key_value_heads=1, tie_word_embeddings=True, max_position_embeddings=512, bos_token_id=None, eos_token_id=1,
    )  # fmt: skip
    return LlamaForCausalLM(shape)


def new_run(folder: Path, base: Path, **settings: Any) -> tuple[RunFolder, TrainingRun]:
    chance = random.Random(1)
    words = ["tide", "rope", "mast", "keel", "sail", "harbour", "buoy", "wind", "deck", "anchor"]
    lines = []
    for at in range(48):
        subject = chance.choice(words)
        said = [f"what about the {subject} today?", f"Aye, the {subject} is sound, skipper."]
        turns = [{"role": role, "content": text} for role, text in zip(("user", "assistant"), said, strict=True)]
        lines.append(json.dumps({"messages": turns, "learn_from": 0, "at": at}))
    folder.mkdir(parents=True, exist_ok=True)
    run = RunFolder(folder)
    run.train.write_text("\n".join(lines[:32]))
    run.held_out.write_text("\n".join(lines[32:]))
    given: dict[str, Any] = {"model": str(base), "threads": 1, "batch_tokens": 256, "epochs": 3, "general_limit": 10,
                             "learning_rate": 0.005, "dropout": 0.0}  # fmt: skip
    return run, TrainingRun.model_validate(given | settings)
