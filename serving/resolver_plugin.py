"""Runs inside the engine: finds the adapter that a request names, or refuses the name.

Promises that only a well-formed `NAME@vN`, lying in the adapters folder, made for the model that is served, with the
digest that its manifest states and weights of the shapes that the model has, is ever loaded: the engine itself would
take smaller ones in silence. Imports the standard library, what runs in there beside it, and vLLM once it is
registered; does nothing unless `PARLANCE_ADAPTERS` names a folder, so other users of vLLM are left alone.
"""

from __future__ import annotations

import asyncio
import hashlib
import json
import logging
import os
import re
from pathlib import Path
from typing import TYPE_CHECKING

from serving.adapter_lookup import look_adapters_up
from serving.engine_figures import leave_out_sets_of_adapters
from serving.on_processor import suit_processors

if TYPE_CHECKING:
    from vllm.lora.request import LoRARequest

ADAPTERS_VARIABLE = "PARLANCE_ADAPTERS"
"""Environment: the adapters folder."""
BASE_MODEL_VARIABLE = "PARLANCE_ADAPTERS_FOR"
"""Environment: the name of the base model whose adapters may be loaded."""
UNTUNED_VARIABLE = "PARLANCE_ADAPTERS_UNTUNED"
"""Environment: the folder of the adapter that adds nothing; its layers and their sizes are the model's."""
VERSION_PATTERN = r"([a-z][a-z0-9_-]{0,39})@v(0|[1-9][0-9]{0,5})"
"""The same as config.names.VERSION_PATTERN, which cannot be imported here."""
LONGEST_HEADER = 100_000_000
PICKLED = {".bin", ".pt", ".pth", ".pkl", ".pickle", ".ckpt"}
"""Weights are safetensors and nothing else, whatever the engine would take besides."""
WEIGHTS, CONFIG, MANIFEST = "adapter_model.safetensors", "adapter_config.json", "manifest.json"

log = logging.getLogger("vllm.parlance.resolver")


class Refusal(Exception):
    """Why an adapter is not loaded, for the log."""


def digest_of(folder: Path) -> str:
    """SHA-256 in hex over an adapter's configuration and weights, each by name, length and bytes. Raises OSError."""
    total = hashlib.sha256()
    for name in (CONFIG, WEIGHTS):
        with (folder / name).open("rb") as stream:
            size = os.fstat(stream.fileno()).st_size
            total.update(f"{name}\0{size}\0".encode())
            while block := stream.read(1 << 20):
                total.update(block)
    return total.hexdigest()


def shapes_of(weights: Path) -> dict[str, tuple[int, ...]]:
    """Each tensor's shape in a safetensors file, by its header. Raises Refusal where the file is not one, or is not as
    long as its header says; OSError."""
    with weights.open("rb") as stream:
        size = os.fstat(stream.fileno()).st_size
        length = int.from_bytes(stream.read(8), "little")
        if not 0 < length <= min(size - 8, LONGEST_HEADER):
            raise Refusal("its weights are no safetensors file")
        try:
            header = json.loads(stream.read(length))
            header.pop("__metadata__", None)
            shapes = {str(name): tuple(int(n) for n in entry["shape"]) for name, entry in header.items()}
            end = max(int(entry["data_offsets"][1]) for entry in header.values())
        except (ValueError, KeyError, TypeError, IndexError, AttributeError) as error:
            raise Refusal("its weights are no safetensors file") from error
    if 8 + length + end != size:
        raise Refusal("its weights are not all there")
    return shapes


def check_shapes(weights: Path, untuned: Path) -> None:
    """Whether an adapter's matrices fit the layers of the model, as the `untuned` one's do. Raises Refusal, OSError."""
    fitting = shapes_of(untuned)
    for name, shape in shapes_of(weights).items():
        model = fitting.get(name)
        # A is (rank, size in), B is (size out, rank): whatever is not the rank belongs to the model.
        side = 1 if ".lora_A." in name else 0
        if model is None or len(shape) != len(model) or shape[side] != model[side]:
            raise Refusal("its weights are for a model of another shape")


def number_of(name: str) -> int:
    """A positive 63-bit number for a version's name: the same in every process, unlike `hash`."""
    return int.from_bytes(hashlib.sha256(name.encode()).digest()[:8], "big") >> 1 or 1


def checked_folder(adapters: Path, name: str, base_model: str | None, untuned: Path | None = None) -> Path:
    """The folder of version `name`, all its promises checked; its shapes where the `untuned` one's folder is known.
    Raises Refusal."""
    found = re.fullmatch(VERSION_PATTERN, name)
    if found is None:
        raise Refusal("the name is not of the form NAME@vN")
    root = adapters.resolve()
    folder = root / found.group(1) / f"v{found.group(2)}"
    if not folder.exists():
        raise Refusal("there is no such folder")
    for place in (folder, folder / WEIGHTS, folder / CONFIG, folder / MANIFEST):
        if place.resolve() != place:
            raise Refusal(f"{place.name} is a link to somewhere else")
    if any(file.suffix in PICKLED for file in folder.rglob("*")):
        raise Refusal("it has a file that could run code when it is read")
    try:
        manifest = json.loads((folder / MANIFEST).read_text())
        if manifest["name"] != name:
            raise Refusal("its manifest is another version's")
        if base_model is not None and manifest["base_model"] != base_model:
            raise Refusal("it was made for another base model")
        if manifest["digest"] != digest_of(folder):
            raise Refusal("its files are not those that its manifest states")
        if untuned is not None:
            check_shapes(folder / WEIGHTS, untuned / WEIGHTS)
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise Refusal(f"it cannot be read ({type(error).__name__})") from error
    return folder


class AdaptersFolderResolver:
    """A `vllm.lora.resolver.LoRAResolver` by shape: deriving from it would load vLLM wherever this is imported."""

    def __init__(self, adapters: Path, base_model: str | None, untuned: Path | None = None) -> None:
        self.adapters = adapters
        self.base_model = base_model
        self.untuned = untuned

    async def resolve_lora(self, base_model_name: str, lora_name: str) -> LoRARequest | None:
        """The request that loads `lora_name`, or None, with the reason in the log."""
        from vllm.lora.request import LoRARequest

        try:
            folder = await asyncio.to_thread(checked_folder, self.adapters, lora_name, self.base_model, self.untuned)
        except Refusal as reason:
            log.warning("adapter %r is refused: %s", lora_name[:80], reason)
            return None
        return LoRARequest(lora_name=lora_name, lora_int_id=number_of(lora_name), lora_path=str(folder))


def register() -> None:
    """Called by vLLM in each of its processes."""
    suit_processors()
    adapters = os.environ.get(ADAPTERS_VARIABLE)
    if not adapters:
        return
    leave_out_sets_of_adapters()
    look_adapters_up()
    from vllm.lora.resolver import LoRAResolverRegistry

    # vLLM calls this more than once in a process and warns of a resolver that is replaced.
    if "parlance" not in LoRAResolverRegistry.get_supported_resolvers():
        untuned = os.environ.get(UNTUNED_VARIABLE)
        resolver = AdaptersFolderResolver(
            Path(adapters), os.environ.get(BASE_MODEL_VARIABLE), Path(untuned) if untuned else None
        )
        LoRAResolverRegistry.register_resolver("parlance", resolver)
