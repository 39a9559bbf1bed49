"""Which messages a version learnt from, compactly: ascending ids as differences, deflated. About a byte an id.

The differences are packed into as few bytes each as the largest of them needs; the first byte says how many.
"""

from __future__ import annotations

import zlib
from collections.abc import Iterable

import numpy as np
import numpy.typing as npt

_WIDTHS = {1: "<u1", 2: "<u2", 4: "<u4", 8: "<u8"}
_DEFLATED = 0x78
"""What a row begins with that was written before the widths were: eight bytes a difference."""


def pack_ids(ids: Iterable[int]) -> bytes:
    """Row ids, in any order and with repeats, to bytes."""
    ordered = np.unique(np.fromiter(ids, dtype=np.int64))
    gaps = np.diff(ordered, prepend=0)
    largest = int(gaps[1:].max()) if len(gaps) > 1 else 0
    width = next(width for width in _WIDTHS if largest < 1 << (8 * width))
    first = int(ordered[0]) if len(ordered) else 0
    head = bytes((width,)) + first.to_bytes(8, "little") + len(ordered).to_bytes(8, "little")
    return head + zlib.compress(gaps[1:].astype(_WIDTHS[width]).tobytes(), 6)


def unpack_array(packed: bytes) -> npt.NDArray[np.int64]:
    """The ids, ascending, each once."""
    if packed[0] == _DEFLATED:
        return np.cumsum(np.frombuffer(zlib.decompress(packed), dtype="<i8"))
    first, count = int.from_bytes(packed[1:9], "little"), int.from_bytes(packed[9:17], "little")
    ids = np.empty(count, np.int64)
    if count:
        ids[0] = first
        ids[1:] = np.frombuffer(zlib.decompress(packed[17:]), dtype=_WIDTHS[packed[0]])
        np.cumsum(ids, out=ids)
    return ids


def unpack_ids(packed: bytes) -> list[int]:
    """The ids, ascending, each once."""
    found: list[int] = unpack_array(packed).tolist()
    return found


def learnt_from_any(packed: bytes, ids: npt.NDArray[np.int64]) -> bool:
    """Whether any of `ids` is among the packed ones."""
    learnt = unpack_array(packed)
    if not len(learnt) or not len(ids):
        return False
    places = np.searchsorted(learnt, ids)
    return bool((learnt[np.minimum(places, len(learnt) - 1)] == ids).any())
