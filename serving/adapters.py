"""Adapters on disk: a version's folder, its manifest and digest, written once; and the zero adapter.

Promises that a published folder is whole, on disk, and never replaced. Knows nothing of training or of verdicts.
"""

from __future__ import annotations

import hashlib
import json
import os
import sys
import tempfile
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from config.catalogue import CatalogueModel, find_model
from config.errors import BadInput, Refused
from config.names import RESERVED_PREFIX, VersionName, untuned
from config.paths import Paths
from serving.resolver_plugin import CONFIG, MANIFEST, WEIGHTS, digest_of

__all__ = [
    "CONFIG", "MANIFEST", "WEIGHTS",
    "Manifest", "adapted_layers", "adapters_here", "digest_of", "ensure_untuned", "publish", "verify",
]  # fmt: skip

UNTUNED_RANK = 1


class Manifest(BaseModel):
    """What a version is. `digest` from `digest_of`; `base_model` a name in the catalogue; `facts` of its run."""

    model_config = ConfigDict(frozen=True)

    name: str
    digest: str = Field(pattern=r"^[0-9a-f]{64}$")
    base_model: str
    created: datetime
    facts: dict[str, Any]


def publish(staged: Path, final: Path, facts: dict[str, Any]) -> str:
    """Make the adapter in `staged` the version whose folder is `final` (`adapters/NAME/vN`); returns its digest.

    `facts` goes into the manifest; its `base_model` (a name, folder or hub id), or else the adapter's own
    configuration, says what it is for.
    Both folders lie on one file system. Raises Refused where `final` is there already, BadInput where `staged` holds
    no adapter.
    """
    name = _version_at(final)
    if os.path.lexists(final):
        raise Refused(f"{name} exists already, and a version is never written twice.")
    for file in (staged / CONFIG, staged / WEIGHTS):
        if file.is_symlink() or not file.is_file():
            raise BadInput(f"There is no adapter in {staged}: {file.name} is missing.")
    base_model = str(facts.get("base_model") or _base_of(staged))
    manifest = Manifest(
        name=str(name),
        digest=digest_of(staged),
        base_model=find_model(base_model).name if "/" in base_model else base_model,
        created=datetime.now(UTC),
        facts=facts,
    )
    (staged / MANIFEST).unlink(missing_ok=True)  # of a publication that was broken off, and no longer writable
    (staged / MANIFEST).write_text(manifest.model_dump_json(indent=1) + "\n")
    for file in staged.iterdir():
        if file.is_file() and not file.is_symlink():
            _sync(file)
            file.chmod(0o400)
    _sync(staged)
    final.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    try:
        staged.rename(final)
    except OSError as error:
        if os.path.lexists(final):
            raise Refused(f"{name} exists already, and a version is never written twice.") from error
        raise
    _sync(final.parent)
    return manifest.digest


def verify(folder: Path) -> Manifest:
    """The manifest of a version's folder. Raises BadInput where its files are not those that were published."""
    try:
        manifest = Manifest.model_validate_json((folder / MANIFEST).read_text())
        intact = manifest.digest == digest_of(folder) and manifest.name == str(_version_at(folder))
    except (OSError, ValidationError) as error:
        raise BadInput(f"The adapter in {folder} is not whole; put it back from a backup.") from error
    if not intact:
        raise BadInput(f"The adapter in {folder} has been changed since it was made; put it back from a backup.")
    return manifest


def ensure_untuned(paths: Paths, model: CatalogueModel) -> VersionName:
    """The version under which the untouched model is served: an adapter that adds nothing. Made where it is missing.

    Needs the model's configuration, not its weights. Raises BadInput where the base model is no longer the one that
    this data folder was made with.
    """
    name = untuned(model.name)
    final = paths.adapter(name)
    fingerprint = _fingerprint(model)
    if final.exists():
        if verify(final).facts.get("fingerprint") != fingerprint:
            raise BadInput(
                f"The base model {model.name} is not the one this data folder was made with; "
                "put the old one back, or start a new data folder."
            )
        return name
    paths.jobs.mkdir(mode=0o700, parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=paths.jobs, prefix="untuned-") as scratch:
        staged = Path(scratch) / "adapter"
        staged.mkdir(mode=0o700)
        _write_zeros(staged, model)
        try:
            publish(staged, final, {"base_model": model.name, "fingerprint": fingerprint, "method": "none"})
        except Refused:  # another process made the same one meanwhile
            verify(final)
    return name


def adapted_layers(paths: Paths, model: CatalogueModel) -> list[str]:
    """Names of the linear layers that adapters of this model may change, as the untuned one has them."""
    config = json.loads((paths.adapter(untuned(model.name)) / CONFIG).read_text())
    return sorted(config["target_modules"])


def adapters_here(paths: Paths) -> tuple[int, int]:
    """How many assistants have adapters in this data folder, and the largest rank among these (0: none). One that
    cannot be read does not count: the engine refuses it."""
    configs = [file for file in paths.adapters.glob(f"*/v*/{CONFIG}") if not file.match(f"{RESERVED_PREFIX}*/*/*")]
    ranks = {file: rank for file in configs if (rank := rank_in(file)) is not None}
    return len({file.parent.parent for file in ranks}), max(ranks.values(), default=0)


def rank_in(config: Path) -> int | None:
    """The rank in an adapter's configuration; None where it says none that can be read."""
    try:
        return int(json.loads(config.read_text())["r"])
    except (OSError, ValueError, KeyError, TypeError):
        return None


def _write_zeros(staged: Path, model: CatalogueModel) -> None:
    import numpy as np
    import torch
    from safetensors.numpy import save_file
    from transformers import AutoConfig, AutoModelForCausalLM

    config = AutoConfig.from_pretrained(model.location)
    with torch.device("meta"):
        network = AutoModelForCausalLM.from_config(config)
    head = network.get_output_embeddings()
    tensors: dict[str, Any] = {}
    for path, module in network.named_modules():
        if isinstance(module, torch.nn.Linear) and module is not head:
            prefix = f"base_model.model.{path}"
            tensors[f"{prefix}.lora_A.weight"] = np.zeros((UNTUNED_RANK, module.in_features), np.float32)
            tensors[f"{prefix}.lora_B.weight"] = np.zeros((module.out_features, UNTUNED_RANK), np.float32)
    save_file(tensors, staged / WEIGHTS)
    leaves = sorted({key.split(".")[-3] for key in tensors})
    shape = {
        "peft_type": "LORA",
        "task_type": "CAUSAL_LM",
        "base_model_name_or_path": model.location,
        "r": UNTUNED_RANK,
        "lora_alpha": UNTUNED_RANK,
        "lora_dropout": 0.0,
        "bias": "none",
        "inference_mode": True,
        "target_modules": leaves,
    }
    (staged / CONFIG).write_text(json.dumps(shape, indent=1) + "\n")


def _fingerprint(model: CatalogueModel) -> str:
    """Tells one base model's shape from another's: of a local model its configuration file, else its hub id."""
    config = Path(model.location) / "config.json"
    content = config.read_bytes() if config.is_file() else model.location.encode()
    return hashlib.sha256(content).hexdigest()


def _base_of(folder: Path) -> str:
    try:
        return str(json.loads((folder / CONFIG).read_text())["base_model_name_or_path"])
    except (ValueError, KeyError, TypeError) as error:
        raise BadInput(f"The adapter in {folder} does not say which base model it is for.") from error


def _version_at(folder: Path) -> VersionName:
    return VersionName.parse(f"{folder.parent.name}@{folder.name}")


def _sync(place: Path) -> None:
    descriptor = os.open(place, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def main(home: str, model: str) -> None:
    """`python -m serving.adapters HOME MODEL`: the zero adapter, made without loading torch into the platform."""
    ensure_untuned(Paths(Path(home)), find_model(model))


if __name__ == "__main__":
    main(*sys.argv[1:])
