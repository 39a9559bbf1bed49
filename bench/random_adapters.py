"""Adapters of any rank with random weights, published as versions: what many assistants look like to an engine.

Promises the names and sizes of layers that the data folder's untuned adapter has. They change what is said, and mean
nothing. Needs an untuned adapter there (`serving.adapters.ensure_untuned`).
"""

from __future__ import annotations

import json
from pathlib import Path

import torch
from safetensors.torch import load_file, save_file

from config.catalogue import CatalogueModel
from config.names import VersionName, untuned
from config.paths import Paths
from serving.adapters import CONFIG, WEIGHTS, publish

STRENGTH = 0.02


def publish_random(
    paths: Paths, model: CatalogueModel, name: VersionName, rank: int, seed: int, strength: float = STRENGTH
) -> Path:
    """Make and publish one; returns its folder. `strength`: the spread of its weights.

    Raises Refused where the version is there already.
    """
    plain = paths.adapter(untuned(model.name))
    random = torch.Generator().manual_seed(seed)
    tensors = {}
    for key, zeros in load_file(plain / WEIGHTS).items():
        shape = (rank, zeros.shape[1]) if ".lora_A." in key else (zeros.shape[0], rank)
        tensors[key] = (torch.randn(shape, generator=random) * strength).to(torch.bfloat16)
    staged = paths.jobs / f"random-{name.assistant}-{name.number}"
    staged.mkdir(parents=True)
    save_file(tensors, staged / WEIGHTS)
    config = json.loads((plain / CONFIG).read_text())
    (staged / CONFIG).write_text(json.dumps(config | {"r": rank, "lora_alpha": 2 * rank}))
    publish(staged, paths.adapter(name), {"base_model": model.name})
    return paths.adapter(name)
