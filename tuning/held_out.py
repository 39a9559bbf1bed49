"""Which examples are held out: the latest conversations, whole, so that nothing of what is measured was learnt."""

from __future__ import annotations

import math

import numpy as np
import numpy.typing as npt

HELD_OUT_SHARE = 0.12
FEWEST_HELD_OUT = 16
"""Examples. Under that, the mean loss cannot tell a better version from a worse one."""
MOST_HELD_OUT = 400
"""Examples. Beyond that, measuring takes longer and says no more."""


def hold_out(conversations: npt.NDArray[np.int64], began_at: npt.NDArray[np.int64]) -> npt.NDArray[np.bool_]:
    """For each example whether it is held out, given its conversation's number and when that began (Unix seconds).

    The last 12%, at least 16 and at most 400; a conversation that straddles the mark is held out whole where that
    stays within the bounds.
    """
    held = np.zeros(len(conversations), bool)
    if not len(conversations):
        return held
    order = np.lexsort((conversations, began_at))
    numbers = conversations[order]
    starts = np.flatnonzero(np.concatenate(([True], numbers[1:] != numbers[:-1])))
    sizes = len(numbers) - starts  # examples from this conversation to the end
    wanted = min(MOST_HELD_OUT, max(FEWEST_HELD_OUT, math.ceil(len(numbers) * HELD_OUT_SHARE)))
    enough = int(np.flatnonzero(sizes >= min(wanted, sizes[0]))[-1])
    if sizes[enough] > MOST_HELD_OUT and enough + 1 < len(sizes) and sizes[enough + 1] >= FEWEST_HELD_OUT:
        enough += 1
    held[order[starts[enough] :]] = True
    return held
