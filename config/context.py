"""How long a conversation may be, and why: as long as the model reads, where memory holds several of that length.

Promises that what the setting `context` asks for is had, or refused in words: it is never more than the model reads or
the machine can hold once. Learnt from is at most LONGEST_LEARNT of it, whatever is served.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

from config.catalogue import GIB, CatalogueModel
from config.errors import BadInput

LONGEST_LEARNT = 8192
"""Tokens: what learning takes grows with what it reads at once."""
ON_A_CARD = 8192
"""Tokens that are read on a card however little room there is for conversations."""
ON_A_PROCESSOR, SMALL_ON_A_PROCESSOR = 4096, 1024
WHOLE_CONVERSATIONS = 3
"""So many of full length are to fit into memory at once, or nobody else is answered beside one."""
WORKING = 2 * GIB
"""Of a card, for what is computed in between."""
STEP = 1024
BLOCKS = 256
"""Tokens more than a conversation has, for which an engine wants room: it counts in blocks."""


@dataclass(frozen=True, slots=True)
class Window:
    """`tokens` of a conversation in all, `learnt` of them at most; `cache` in bytes for those under way, which a card
    shares out by itself (0); `reason` in words."""

    tokens: int
    learnt: int
    cache: int
    reason: str


def on_card(model: CatalogueModel, memory: int, wanted: int | None) -> Window:
    """`memory`: of the card, what serving has beside weights and adapters. `wanted` is the setting. Raises BadInput."""
    usual = min(model.context, ON_A_CARD)
    each = model.cache_bytes(2)
    room = max(0, memory - WORKING) // each
    if wanted is not None:
        _refuse_too_long(model, wanted, max(usual, room))
        return Window(wanted, min(usual, wanted), 0, _as_set(wanted))
    tokens = min(model.context, max(usual, room // WHOLE_CONVERSATIONS // STEP * STEP))
    why = f"all that {model.name} reads" if tokens == model.context else "as the card has room for several of them"
    return Window(tokens, min(usual, LONGEST_LEARNT), 0, f"conversations of {tokens:,} tokens: {why}")


def on_processor(
    model: CatalogueModel, small: bool, cache: int, memory: int, bytes_each: int, wanted: int | None
) -> Window:
    """`memory`: what serving may take beside the weights, of which `cache` is for conversations unless a whole one
    takes more. Raises BadInput."""
    usual = min(model.context, SMALL_ON_A_PROCESSOR if small else ON_A_PROCESSOR)
    each = model.cache_bytes(bytes_each)
    if wanted is not None:
        _refuse_too_long(model, wanted, max(usual, (memory // GIB * GIB) // each - BLOCKS))
        reason = _as_set(wanted)
    else:
        why = f"all that {model.name} reads" if usual == model.context else "kept short, as a processor reads slowly"
        reason = f"conversations of {usual:,} tokens: {why}"
    tokens = wanted or usual
    whole = math.ceil((tokens + BLOCKS) * each / GIB) * GIB
    return Window(tokens, min(usual, tokens), max(cache, whole), reason)


def _as_set(wanted: int) -> str:
    return f"conversations of {wanted:,} tokens, as the setting context says"


def _refuse_too_long(model: CatalogueModel, wanted: int, held: int) -> None:
    if model.guessed:
        return  # its own files say what it reads, and the engine looks at them
    if wanted > model.context:
        raise BadInput(
            f"The setting context is {wanted:,} tokens, and {model.name} reads {model.context:,} at most; set "
            "PARLANCE_CONTEXT to that or less, or choose another base model."
        )
    if wanted > held:
        raise BadInput(
            f"The setting context is {wanted:,} tokens, and beside {model.name} this machine has memory for a "
            f"conversation of {held:,}; set PARLANCE_CONTEXT to that or less, or choose a smaller base model."
        )
