"""How a base model is held while it is learnt on: as it is, or in 4 bits where memory has no room for it as it is.

What answers is the base as it is all the same, and what was learnt is measured on that; so 4 bits are for want of
memory alone. The same rule for a card and for a processor. Bytes throughout.
"""

from __future__ import annotations

from dataclasses import dataclass

from config.catalogue import GIB, IN_FOUR_BITS

TIMES_ON_CARD, ROOM_ON_CARD = 1.1, 4 * GIB
"""Tuning takes the weights and a bit, and so much for one step's activations, computed again in the backward pass."""
TIMES_ON_PROCESSOR, ROOM_ON_PROCESSOR = 1.2, 2 * GIB
"""The same where steps are smaller; what a small model's step takes is no more than its weights."""


@dataclass(frozen=True, slots=True)
class LearningBase:
    """`needed`: by all that learning takes, so held. `fits`: whether there is so much. `reasons`: in words, if there is
    something to say."""

    four_bits: bool
    needed: int
    fits: bool
    reasons: tuple[str, ...] = ()


def base_on_card(weights: int, room: int) -> LearningBase:
    """For `weights` in 16 bits where tuning may have `room` of a card."""
    return _held(weights, room, TIMES_ON_CARD, ROOM_ON_CARD, "of the card")


def base_on_processor(weights: int, room: int) -> LearningBase:
    """For `weights` in the numbers that are served where `room` is free."""
    return _held(weights, room, TIMES_ON_PROCESSOR, min(ROOM_ON_PROCESSOR, weights), "of memory")


def _held(weights: int, room: int, times: float, step: int, place: str) -> LearningBase:
    whole, small = (int(weights * share * times) + step for share in (1.0, IN_FOUR_BITS))
    if whole <= room or small > room:
        return LearningBase(False, whole, whole <= room)
    why = (
        f"the base is learnt on in 4 bits: as it is, tuning would take {whole / GIB:.1f} GiB {place}, and has "
        f"{room / GIB:.1f}; what answers, and what is measured, is the base as it is"
    )
    return LearningBase(True, small, True, (why,))
