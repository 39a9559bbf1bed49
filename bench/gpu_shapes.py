"""Models that need no download: stock Qwen3 shapes with random weights, and random adapters for them.

Speed does not depend on what weights say. Weights are drawn on the card itself, in the dtype that serves; a folder
for the engine holds the configuration and a tokenizer, and weights only where answers are compared. The tokenizer is
the demo model's, its vocabulary filled up to the model's with tokens that no text makes, so that every id the engine
may draw can be shown.
"""

from __future__ import annotations

import json
import os
import shutil
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import save_file

from config.catalogue import DEMO_FOLDER, CatalogueModel, find_model
from config.names import VersionName
from config.paths import Paths
from serving.adapters import CONFIG, MANIFEST, WEIGHTS, Manifest, digest_of

RANK = 16
DISTINCT = 4
"""Adapters whose weights really differ; others have their files by hard link. The engine loads each as its own, and
512 adapters of an 8B shape then need a few hundred MB of disk and not 45 GB."""


@dataclass(frozen=True, slots=True)
class Shape:
    """A Qwen3 by its sizes."""

    name: str
    width: int
    layers: int
    heads: int
    kv_heads: int
    inner: int
    head: int
    vocabulary: int
    tied: bool
    context: int = 8192

    @property
    def linear(self) -> dict[str, tuple[int, int]]:
        """The linear layers of one block: (in, out)."""
        queries, values = self.heads * self.head, self.kv_heads * self.head
        return {
            "self_attn.q_proj": (self.width, queries), "self_attn.k_proj": (self.width, values),
            "self_attn.v_proj": (self.width, values), "self_attn.o_proj": (queries, self.width),
            "mlp.gate_proj": (self.width, self.inner), "mlp.up_proj": (self.width, self.inner),
            "mlp.down_proj": (self.inner, self.width),
        }  # fmt: skip

    @property
    def linear_parameters(self) -> int:
        """Of all blocks."""
        return self.layers * sum(before * after for before, after in self.linear.values())

    @property
    def parameters(self) -> int:
        """Blocks, embeddings and head, norms left out."""
        return self.linear_parameters + self.width * self.vocabulary * (1 if self.tied else 2)

    def adapter_parameters(self, rank: int) -> int:
        """2·r·Σ(in + out) halves: rank times in and out of every linear layer."""
        return rank * self.layers * sum(before + after for before, after in self.linear.values())


LARGE = Shape("qwen3-8b-shape", 4096, 36, 32, 8, 12288, 128, 151936, False)
SMALL = Shape("qwen3-0-6b-shape", 1024, 28, 16, 8, 3072, 128, 151936, True)
TINY = Shape("qwen3-tiny-shape", 128, 2, 4, 2, 256, 64, 4352, True, 1024)
"""For rehearsals."""


def config_of(shape: Shape) -> Any:
    """As transformers takes it."""
    from transformers import Qwen3Config

    return Qwen3Config(
        vocab_size=shape.vocabulary, hidden_size=shape.width, intermediate_size=shape.inner,
        num_hidden_layers=shape.layers, num_attention_heads=shape.heads, num_key_value_heads=shape.kv_heads,
        head_dim=shape.head, max_position_embeddings=shape.context, rms_norm_eps=1e-6,
        tie_word_embeddings=shape.tied, bos_token_id=None, eos_token_id=1, pad_token_id=0,
        attention_bias=False, dtype="bfloat16", architectures=["Qwen3ForCausalLM"],
    )  # fmt: skip


def random_model(shape: Shape, device: str, dtype: torch.dtype = torch.bfloat16, seed: int = 0) -> Any:
    """The model with its weights drawn where it will run."""
    from transformers import AutoModelForCausalLM

    torch.manual_seed(seed)
    with torch.device(device):
        return AutoModelForCausalLM.from_config(config_of(shape), dtype=dtype)


def model_folder(shape: Shape, folder: Path, *, weights: str | None = None) -> CatalogueModel:
    """`folder`/NAME with configuration and tokenizer; with weights, in bfloat16, drawn on the device `weights`.

    What is there already is taken as it is.
    """
    place = folder / shape.name
    if not (place / "config.json").exists():
        place.mkdir(parents=True, exist_ok=True)
        shutil.copy(DEMO_FOLDER / "chat_template.jinja", place)
        about = json.loads((DEMO_FOLDER / "tokenizer_config.json").read_text())
        (place / "tokenizer_config.json").write_text(json.dumps(about | {"model_max_length": shape.context}))
        tokenizer = json.loads((DEMO_FOLDER / "tokenizer.json").read_text())
        vocabulary = tokenizer["model"]["vocab"]
        for number in range(len(vocabulary), shape.vocabulary):
            vocabulary[f"<{number}>"] = number
        (place / "tokenizer.json").write_text(json.dumps(tokenizer))
        config_of(shape).save_pretrained(place)
    if weights and not (place / "model.safetensors").exists():
        random_model(shape, weights).save_pretrained(place, max_shard_size="100GB")
    found = find_model(str(place))
    return CatalogueModel(
        shape.name, found.location, shape.parameters, shape.layers, shape.width, shape.context, found.summary,
        found.cache_width,
    )  # fmt: skip


def adapter_tensors(shape: Shape, seed: int, rank: int = RANK, strength: float = 0.02) -> dict[str, torch.Tensor]:
    """Random A and B of every linear layer, under PEFT's names, in bfloat16."""
    chance = torch.Generator().manual_seed(seed)
    tensors = {}
    for layer in range(shape.layers):
        for path, (before, after) in shape.linear.items():
            prefix = f"base_model.model.model.layers.{layer}.{path}"
            for side, size in (("lora_A", (rank, before)), ("lora_B", (after, rank))):
                drawn = torch.empty(size).normal_(0, strength, generator=chance)
                tensors[f"{prefix}.{side}.weight"] = drawn.to(torch.bfloat16)
    return tensors


def write_adapter(shape: Shape, location: str, folder: Path, seed: int, rank: int = RANK) -> None:
    """PEFT's two files."""
    folder.mkdir(parents=True, exist_ok=True)
    save_file(adapter_tensors(shape, seed, rank), folder / WEIGHTS)
    config = {
        "peft_type": "LORA", "task_type": "CAUSAL_LM", "base_model_name_or_path": location, "r": rank,
        "lora_alpha": rank, "lora_dropout": 0.0, "bias": "none", "inference_mode": True,
        "target_modules": sorted(path.split(".")[1] for path in shape.linear),
    }  # fmt: skip
    (folder / CONFIG).write_text(json.dumps(config))


def publish_adapters(
    shape: Shape, model: CatalogueModel, paths: Paths, count: int, first: int = 0, prefix: str = "crowd"
) -> list[VersionName]:
    """`count` versions PREFIX-N@v1 that the engine has not seen, from number `first` on. What is there stays."""
    names = [VersionName(f"{prefix}-{number}", 1) for number in range(first, first + count)]
    origins: dict[int, tuple[Path, str]] = {}
    for number, name in enumerate(names, start=first):
        final = paths.adapter(name)
        if final.exists():
            continue
        seed = number % DISTINCT
        if seed not in origins:
            origin = paths.jobs / f"origin-{shape.name}-{seed}"
            if not (origin / CONFIG).exists():
                write_adapter(shape, model.location, origin, seed)
            origins[seed] = origin, digest_of(origin)
        origin, digest = origins[seed]
        final.mkdir(mode=0o700, parents=True)
        for file in (CONFIG, WEIGHTS):
            os.link(origin / file, final / file)
        manifest = Manifest(name=str(name), digest=digest, base_model=model.name, created=datetime.now(UTC), facts={})
        (final / MANIFEST).write_text(manifest.model_dump_json())
    return names
