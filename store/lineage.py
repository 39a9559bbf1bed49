"""Which messages a version learnt from, compactly: ascending ids as differences, deflated. About a byte an id."""

from __future__ import annotations

import zlib
from collections.abc import Iterable

import numpy as np


def pack_ids(ids: Iterable[int]) -> bytes:
    """Row ids, in any order and with repeats, to bytes."""
    ordered = np.unique(np.fromiter(ids, dtype=np.int64))
    return zlib.compress(np.diff(ordered, prepend=0).astype("<i8").tobytes(), 6)


def unpack_ids(packed: bytes) -> list[int]:
    """The ids, ascending, each once."""
    return [int(i) for i in np.cumsum(np.frombuffer(zlib.decompress(packed), dtype="<i8"))]
