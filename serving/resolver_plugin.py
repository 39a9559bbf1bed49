"""Runs inside the engine: finds the adapter that a request names, or refuses the name.

Promises that only a well-formed `NAME@vN`, lying in the adapters folder, made for the model that is served and
with the digest that its manifest states, is ever loaded. Imports the standard library, and vLLM once it is
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

if TYPE_CHECKING:
    from vllm.lora.request import LoRARequest

ADAPTERS_VARIABLE = "PARLANCE_ADAPTERS"
"""Environment: the adapters folder."""
BASE_MODEL_VARIABLE = "PARLANCE_ADAPTERS_FOR"
"""Environment: the name of the base model whose adapters may be loaded."""
VERSION_PATTERN = r"([a-z][a-z0-9_-]{0,39})@v(0|[1-9][0-9]{0,5})"
"""The same as config.names.VERSION_PATTERN, which cannot be imported here."""
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


def number_of(name: str) -> int:
    """A positive 63-bit number for a version's name: the same in every process, unlike `hash`."""
    return int.from_bytes(hashlib.sha256(name.encode()).digest()[:8], "big") >> 1 or 1


def checked_folder(adapters: Path, name: str, base_model: str | None) -> Path:
    """The folder of version `name`, all its promises checked. Raises Refusal."""
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
    try:
        manifest = json.loads((folder / MANIFEST).read_text())
        if manifest["name"] != name:
            raise Refusal("its manifest is another version's")
        if base_model is not None and manifest["base_model"] != base_model:
            raise Refusal("it was made for another base model")
        if manifest["digest"] != digest_of(folder):
            raise Refusal("its files are not those that its manifest states")
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise Refusal(f"it cannot be read ({type(error).__name__})") from error
    return folder


class AdaptersFolderResolver:
    """A `vllm.lora.resolver.LoRAResolver` by shape: deriving from it would load vLLM wherever this is imported."""

    def __init__(self, adapters: Path, base_model: str | None) -> None:
        self.adapters = adapters
        self.base_model = base_model

    async def resolve_lora(self, base_model_name: str, lora_name: str) -> LoRARequest | None:
        """The request that loads `lora_name`, or None, with the reason in the log."""
        from vllm.lora.request import LoRARequest

        try:
            folder = await asyncio.to_thread(checked_folder, self.adapters, lora_name, self.base_model)
        except Refusal as reason:
            log.warning("adapter %r is refused: %s", lora_name[:80], reason)
            return None
        return LoRARequest(lora_name=lora_name, lora_int_id=number_of(lora_name), lora_path=str(folder))


def register() -> None:
    """Called by vLLM in each of its processes."""
    adapters = os.environ.get(ADAPTERS_VARIABLE)
    if not adapters:
        return
    from vllm.lora.resolver import LoRAResolverRegistry

    # vLLM calls this more than once in a process and warns of a resolver that is replaced.
    if "parlance" not in LoRAResolverRegistry.get_supported_resolvers():
        resolver = AdaptersFolderResolver(Path(adapters), os.environ.get(BASE_MODEL_VARIABLE))
        LoRAResolverRegistry.register_resolver("parlance", resolver)
