"""What a run was made with: the code that decides what is learnt, by digest, and the libraries, by version."""

from __future__ import annotations

import hashlib
import importlib.metadata
from pathlib import Path

LIBRARIES = ("parlance", "torch", "transformers", "peft")
TUNING = Path(__file__).resolve().parent.parent


def code_digest() -> str:
    """SHA-256 over every module of `tuning`, each under its name."""
    total = hashlib.sha256()
    for file in sorted(TUNING.rglob("*.py")):
        total.update(f"{file.relative_to(TUNING)}\0".encode())
        total.update(file.read_bytes())
    return total.hexdigest()


def versions(*, four_bits: bool = False) -> dict[str, str]:
    """Library → version; of what held the base as well, where that was in 4 bits."""
    used = (*LIBRARIES, "bitsandbytes") if four_bits else LIBRARIES
    return {name: importlib.metadata.version(name) for name in used}
