"""Adapters for tests: random, on all linear layers of the demo model, strong enough to change what it says."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
from safetensors.numpy import save_file

from config.catalogue import find_model

RANK = 8


def random_adapter(folder: Path, seed: int, strength: float = 0.06, rank: int = RANK) -> Path:
    """Writes one, of `rank` and drawn from `seed`, into the new `folder`; returns it."""
    folder.mkdir(parents=True)
    location = find_model("demo").location
    shape = json.loads((Path(location) / "config.json").read_text())
    width, inner, head = shape["hidden_size"], shape["intermediate_size"], shape["head_dim"]
    queries, values = shape["num_attention_heads"] * head, shape["num_key_value_heads"] * head
    sizes = {
        "self_attn.q_proj": (width, queries), "self_attn.k_proj": (width, values), "self_attn.v_proj": (width, values),
        "self_attn.o_proj": (queries, width), "mlp.gate_proj": (width, inner), "mlp.up_proj": (width, inner),
        "mlp.down_proj": (inner, width),
    }  # fmt: skip
    random = np.random.default_rng(seed)
    tensors = {}
    for layer in range(shape["num_hidden_layers"]):
        for path, (size_in, size_out) in sizes.items():
            prefix = f"base_model.model.model.layers.{layer}.{path}"
            tensors[f"{prefix}.lora_A.weight"] = random.normal(0, strength, (rank, size_in)).astype(np.float32)
            tensors[f"{prefix}.lora_B.weight"] = random.normal(0, strength, (size_out, rank)).astype(np.float32)
    save_file(tensors, folder / "adapter_model.safetensors")
    config = {
        "peft_type": "LORA", "task_type": "CAUSAL_LM", "base_model_name_or_path": location, "r": rank,
        "lora_alpha": 2 * rank, "lora_dropout": 0.0, "bias": "none", "inference_mode": True,
        "target_modules": sorted(path.split(".")[1] for path in sizes),
    }  # fmt: skip
    (folder / "adapter_config.json").write_text(json.dumps(config))
    return folder
