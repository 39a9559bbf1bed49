"""What a run was made with: its settings, the code that decides what is learnt by digest, the libraries by version."""

from __future__ import annotations

import hashlib
import importlib.metadata
from pathlib import Path
from typing import Any

from tuning.training.run import TrainingRun

LIBRARIES = ("parlance", "torch", "transformers", "peft")
ROOT = Path(__file__).resolve().parents[2]
BESIDES = ("serving/control_tokens.py", "serving/prompt.py", "tuning/disentangle/weights.safetensors")
"""Of what decides what is learnt, that which is no module of `tuning`."""


def settings_of(run: TrainingRun) -> dict[str, Any]:
    """All settings of a run, of its system prompt a SHA-256 alone: who has a manifest need not know what it says."""
    prompt = hashlib.sha256(run.system_prompt.encode()).hexdigest()
    return run.model_dump(exclude={"system_prompt"}) | {"system_prompt_digest": prompt}


def code_digest(root: Path = ROOT) -> str:
    """SHA-256 over every module of `tuning` and BESIDES, each under its name."""
    total = hashlib.sha256()
    for file in sorted([*(root / "tuning").rglob("*.py"), *(root / name for name in BESIDES)]):
        total.update(f"{file.relative_to(root)}\0".encode())
        total.update(file.read_bytes())
    return total.hexdigest()


def versions(*, four_bits: bool = False) -> dict[str, str]:
    """Library → version; of what held the base as well, where that was in 4 bits."""
    used = (*LIBRARIES, "bitsandbytes") if four_bits else LIBRARIES
    return {name: importlib.metadata.version(name) for name in used}
