"""Small adapters for tests that never show them to an engine: right in form, of a few bytes."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
from safetensors.numpy import save_file


def small_adapter(folder: Path, seed: int) -> Path:
    """Writes one, drawn from `seed`, into the new `folder`; returns it."""
    folder.mkdir(parents=True)
    weights = np.random.default_rng(seed).normal(size=(4, 64)).astype(np.float32)
    save_file({"base_model.model.layer.lora_A.weight": weights}, folder / "adapter_model.safetensors")
    (folder / "adapter_config.json").write_text(json.dumps({"r": 4, "peft_type": "LORA", "target_modules": ["layer"]}))
    return folder
