"""The base models one can choose: what each is, what it needs, and whether it fits this machine.

The built-in demo model comes first and needs nothing. The others are named by their hub id and loaded by
transformers and vLLM; any other hub id or local folder can be given as well.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path

from config.errors import BadInput

DEMO_FOLDER = Path(__file__).resolve().parent.parent / "demo" / "model"
GIB = 1 << 30
IN_FOUR_BITS = 0.4
"""Of a model's weights in 16 or 32 bits, what it takes where its linear layers are held in 4: 0.33 to 0.39 with the
models below, the more of it the larger the vocabulary, which stays as it is."""


@dataclass(frozen=True, slots=True)
class CatalogueModel:
    """One base model. `parameters` a count, `context` in tokens; `location` a folder or hub id. `cache_width`: how many
    numbers the keys of one token are in one layer, as many as `width` where it is 0. `guessed`: its shape is not known
    here, only what is likely."""

    name: str
    location: str
    parameters: int
    layers: int
    width: int
    context: int
    summary: str
    cache_width: int = 0
    guessed: bool = False

    def adapter_bytes(self, rank: int) -> int:
        """Rough size of one adapter on all linear layers, in 16-bit numbers: 2·r·Σ(in+out), with in+out of a layer's
        seven matrices about 21 widths (attention 8, feed-forward 13)."""
        return 2 * rank * 21 * self.width * self.layers

    def cache_bytes(self, bytes_each: int) -> int:
        """What one token of a conversation under way takes: its keys and values in every layer."""
        return 2 * self.layers * (self.cache_width or self.width) * bytes_each

    def memory_needed(self, *, gpu: bool) -> int:
        """Bytes to serve and tune it: weights (16 bit on a GPU, 32 on a processor), cache and working space."""
        return int(self.parameters * (2 if gpu else 4) * 1.6) + (2 * GIB if gpu else 3 * GIB)


CATALOGUE: tuple[CatalogueModel, ...] = (
    CatalogueModel(
        "demo", str(DEMO_FOLDER), 5_770_496, 6, 256, 1024, "built in; simple polite talk, for trying things out", 128
    ),
    CatalogueModel(
        "qwen3-0.6b", "Qwen/Qwen3-0.6B", 596_049_920, 28, 1024, 32768, "small and quick; runs on a laptop", 1024
    ),
    CatalogueModel(
        "qwen3-1.7b", "Qwen/Qwen3-1.7B", 1_720_574_976, 28, 2048, 32768, "good manners for a modest card", 1024
    ),
    CatalogueModel(
        "qwen3-4b", "Qwen/Qwen3-4B", 4_022_468_096, 36, 2560, 32768, "a good choice for a card of 16 GB", 1024
    ),
    CatalogueModel(
        "qwen3-8b", "Qwen/Qwen3-8B", 8_190_735_360, 36, 4096, 32768, "the best here for a card of 24 GB or more", 1024
    ),
)


def find_model(wanted: str) -> CatalogueModel:
    """By name in the catalogue, by hub id, or a local folder with a config.json. Raises BadInput."""
    for model in CATALOGUE:
        if wanted in (model.name, model.location):
            return model
    folder = Path(wanted).expanduser()
    if (folder / "config.json").is_file():
        return _from_config(folder)
    if wanted.count("/") == 1 and not folder.exists():
        name = wanted.split("/")[1].lower()
        return CatalogueModel(name, wanted, 8_000_000_000, 36, 4096, 8192, "from the model hub", 1024, guessed=True)
    names = ", ".join(model.name for model in CATALOGUE)
    raise BadInput(
        f"There is no base model “{wanted[:80]}”; choose one of {names}, a hub id like Qwen/Qwen3-4B, or a folder."
    )


def _from_config(folder: Path) -> CatalogueModel:
    try:
        shape = json.loads((folder / "config.json").read_text())
        width, layers = int(shape["hidden_size"]), int(shape["num_hidden_layers"])
        weights = sum(file.stat().st_size for file in folder.glob("*.safetensors")) // 2
        context = int(shape.get("max_position_embeddings", 4096))
        heads = int(shape.get("num_attention_heads", 0))
        cache = int(shape.get("num_key_value_heads") or heads) * int(shape.get("head_dim") or width // max(1, heads))
    except (ValueError, KeyError, TypeError, OSError) as error:
        raise BadInput(f"{folder} does not hold a model that can be read: {error}.") from None
    return CatalogueModel(
        folder.name.lower(), str(folder.absolute()), weights, layers, width, context, "from a folder", cache
    )


def fits(model: CatalogueModel, memory: int, gpu_memory: int) -> tuple[bool, str]:
    """Whether `model` runs with so many bytes of memory and of GPU memory (0: no GPU), and why, in words."""
    need = model.memory_needed(gpu=bool(gpu_memory))
    have = gpu_memory or memory
    place = "on the GPU" if gpu_memory else "of memory"
    if need > have:
        return False, f"needs about {need / GIB:.0f} GB {place}; there are {have / GIB:.0f}"
    if not gpu_memory and model.parameters > 2_000_000_000:
        return False, "fits, but without a GPU it would take minutes to answer"
    return True, f"needs about {need / GIB:.0f} GB {place}; there are {have / GIB:.0f}"
