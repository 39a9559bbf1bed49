"""How many tokens a text has at the least, without tokenizing it: what can never fit is refused at little cost.

Promises never to say more than there are; 0 where it cannot be known. Knows tokenizers that split bytes and lose none
of them, as those of most chat models do.

A byte counts as its share of the longest token that it stands in anywhere in the vocabulary. The shares of a token's
bytes are 1 at most together, so those of a text's bytes are its tokens at most.
"""

from __future__ import annotations

import json
import math
from typing import Any

import numpy as np

BLOCK = 1 << 18
"""Characters looked at in one go, so that others get their turn between."""
_SPLITTING = {"ByteLevel", "Digits", "Split"}


class LeastTokens:
    """Of `backend`, a tokenizer of the tokenizers library; None where the model's is no such one."""

    def __init__(self, backend: Any) -> None:
        made = json.loads(backend.to_str()) if backend is not None else {}
        self._normalizer = backend.normalizer if made else None
        self._shares = np.zeros(256)
        if made and _keeps_every_byte(made):
            byte_of = {letter: byte for byte, letter in _letters().items()}
            written = (token for token in made["model"]["vocab"] if byte_of.keys() >= set(token))
            tokens = [bytes(byte_of[letter] for letter in token) for token in written]
            tokens += [token["content"].encode() for token in made["added_tokens"]]
            longest = np.ones(256)
            for token in tokens:
                there = np.frombuffer(token, np.uint8)
                longest[there] = np.maximum(longest[there], len(token))
            self._shares = 1 / longest

    def of(self, text: str) -> int:
        """Raises UnicodeEncodeError or TypeError for lone surrogates."""
        if not self._shares.any():
            return 0
        if self._normalizer is not None:
            text = self._normalizer.normalize_str(text)
        counts = np.zeros(256)
        for start in range(0, len(text), BLOCK):
            block = np.frombuffer(text[start : start + BLOCK].encode(), np.uint8)
            counts += np.bincount(block, minlength=256)
        return math.floor(float(counts @ self._shares) * (1 - 1e-9))


def _keeps_every_byte(made: dict[str, Any]) -> bool:
    """Whether each byte of a text, once normalized, is in one of its tokens."""
    model, before, normalizer = made["model"], made["pre_tokenizer"] or {}, made["normalizer"] or {}
    steps = before.get("pretokenizers", [before])
    return (
        model["type"] == "BPE"
        and not any(model.get(name) for name in ("continuing_subword_prefix", "end_of_word_suffix"))
        and all(letter in model["vocab"] for letter in _letters().values())
        and normalizer.get("type", "NFC") == "NFC"
        and all(step.get("type") in _SPLITTING and step.get("behavior") != "Removed" for step in steps)
        and "ByteLevel" in [step.get("type") for step in steps]
        and not any(token["lstrip"] or token["rstrip"] or token["normalized"] for token in made["added_tokens"])
    )


def _letters() -> dict[int, str]:
    """Each byte's letter in such a vocabulary: its own where it can be seen, else one of the first from 256 on."""
    seen = [*range(0x21, 0x7F), *range(0xA1, 0xAD), *range(0xAE, 0x100)]
    hidden = [byte for byte in range(256) if byte not in seen]
    return {byte: chr(byte) for byte in seen} | {byte: chr(256 + at) for at, byte in enumerate(hidden)}
