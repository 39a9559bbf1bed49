"""Near-duplicates out, in fixed memory: what was nearly said before is not learnt again.

Compared is what an example teaches: each learnt answer with the tail of what it answers. So ten people asking the same
in other words are all kept, and an announcement posted again and again goes after the first.

MinHash (Broder 1997) over word shingles finds candidates by banding (Leskovec, Rajaraman, Ullman, ch. 3) and then
confirms them by their whole signatures, so a clash of hashes alone removes nothing. The last 262,144 examples are
remembered, in about 50 MB whatever the count; one that repeats an older one is kept. With 64 values of 8 bits, two
texts that share less than 60% of their shingles are taken for near-duplicates with probability under 0.001. The same
texts give the same answer on every run. datasketch's index does the same, but grows with the count.
"""

from __future__ import annotations

import re
import unicodedata
import zlib
from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from tuning.examples import Example

VALUES = 64
BANDS = 16
REMEMBERED = 1 << 18
SLOTS = 1 << 18
BATCH = 512
"""Texts that are best given to `are_new` at once."""
SHINGLE_WORDS = 3
SHINGLE_CHARACTERS = 5
PROMPT_TAIL_WORDS = 24
SIMILAR = 0.8
"""Share of equal signature values from which two texts are the same: an estimate of their shingles' Jaccard index."""

_WORD = re.compile(r"\w+")
_Words = npt.NDArray[np.uint64]


def taught(example: Example) -> str:
    """What `example` teaches, as one text: every learnt answer after the tail of what it answers."""
    parts: list[str] = []
    for place, message in enumerate(example.messages):
        if message["role"] == "assistant" and place >= example.learn_from:
            asked = example.messages[place - 1]["content"].split()
            parts.append(" ".join(asked[-PROMPT_TAIL_WORDS:]))
            parts.append(message["content"])
    return "\n".join(parts)


def shingles(text: str) -> list[int]:
    """Hashes of 32 bits of the text's word triples, case and punctuation aside; of its characters where it has no
    words to speak of, as in scripts written without spaces. Never empty."""
    plain = text.casefold() if text.isascii() else unicodedata.normalize("NFKC", text).casefold()
    words = _WORD.findall(plain)
    if len(words) < SHINGLE_WORDS or len(plain) > 16 * len(words):
        squeezed = "".join(words) or plain
        pieces = [
            squeezed[at : at + SHINGLE_CHARACTERS] for at in range(max(1, len(squeezed) - SHINGLE_CHARACTERS + 1))
        ]
    else:
        pieces = [" ".join(words[at : at + SHINGLE_WORDS]) for at in range(len(words) - SHINGLE_WORDS + 1)]
    return [zlib.crc32(piece.encode()) for piece in pieces]


class NearDuplicates:
    """Remembers what it has seen. One object for one stream of examples."""

    def __init__(self) -> None:
        random = np.random.default_rng(20_000)
        self._factors: _Words = random.integers(1, 1 << 63, VALUES, dtype=np.uint64) * np.uint64(2) + np.uint64(1)
        self._offsets: _Words = random.integers(0, 1 << 63, VALUES, dtype=np.uint64)
        self._band_factors: _Words = random.integers(1, 1 << 63, VALUES, dtype=np.uint64) * np.uint64(2) + np.uint64(1)
        self._signatures = np.zeros((REMEMBERED, VALUES), np.uint8)
        self._slots = np.zeros((BANDS, SLOTS), np.uint32)
        self._rows = np.arange(BANDS)
        self._count = 0

    def are_new(self, texts: Sequence[str]) -> list[bool]:
        """For each text whether nothing like it came before, in this call or an earlier one."""
        if not texts:
            return []
        minima = self._minima([shingles(text) for text in texts])
        signatures = (minima & np.uint64(0xFF)).astype(np.uint8)
        rows = VALUES // BANDS
        mixed = (minima * self._band_factors).reshape(len(texts), BANDS, rows).sum(axis=2, dtype=np.uint64)
        mixed ^= mixed >> np.uint64(29)
        slots = ((mixed * np.uint64(0x9E3779B97F4A7C15)) >> np.uint64(64 - 18)).astype(np.int64)
        return [self._is_new(signatures[at], slots[at]) for at in range(len(texts))]

    def _minima(self, hashed: Sequence[Sequence[int]]) -> _Words:
        """(texts, VALUES): for each of 64 hash functions its least value over a text's shingles (multiply-shift)."""
        lengths = [len(one) for one in hashed]
        values = np.fromiter((value for one in hashed for value in one), np.uint64, sum(lengths))
        starts = np.concatenate(([0], np.cumsum(lengths)[:-1]))
        minima = np.empty((VALUES, len(hashed)), np.uint64)
        for at in range(VALUES):  # one function at a time keeps the working set in the processor's cache
            minima[at] = np.minimum.reduceat((values * self._factors[at] + self._offsets[at]) >> np.uint64(32), starts)
        return minima.T

    def _is_new(self, signature: npt.NDArray[np.uint8], slots: npt.NDArray[np.int64]) -> bool:
        """Slots hold 1 + the number of the last example there, modulo what is remembered; 0 is an empty one."""
        candidates = {int(number) for number in self._slots[self._rows, slots] if number}
        for number in candidates:
            if int((self._signatures[number - 1] == signature).sum()) >= SIMILAR * VALUES:
                return False
        place = self._count % REMEMBERED
        self._count += 1
        self._signatures[place] = signature
        self._slots[self._rows, slots] = place + 1
        return True
