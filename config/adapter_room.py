"""How many adapters an engine takes at once, how many it keeps in memory, and of what rank: by memory and use.

Facts behind the numbers: throughput depends on the adapters of one batch fitting `max_loras`, and a batch holds no more
adapters than requests; an adapter that has no slot takes another one's, and all wait while it is copied there, which on
a processor is a tenth of what an answer takes; one beyond `max_cpu_loras` is read from disk again, and all wait
meanwhile; every slot is allocated at `max_lora_rank`.
"""

from __future__ import annotations

from dataclasses import dataclass

from config.catalogue import GIB, CatalogueModel

ENGINE_RANKS = (1, 8, 16, 32, 64, 128, 256, 320, 512)
"""Values vLLM accepts for max_lora_rank."""
LEAST_RANK, LARGEST_TRAINED = 16, 64
"""An engine takes adapters of the one at least, and training makes none larger than the other."""
FEWEST_SLOTS, FEWEST_KEPT = 8, 16
SLOTS_SHARE, KEPT_SHARE = 0.1, 0.15
"""Of the device's memory for the adapters of one batch, and of the machine's for all that are kept in memory."""


@dataclass(frozen=True, slots=True)
class AdapterRoom:
    """How many adapters the engine takes into one batch (`slots`), keeps in memory (`kept`), and why."""

    slots: int
    kept: int
    reasons: tuple[str, ...]


def adapter_room(assistants: int, requests: int | None, each: int, device_memory: int, memory: int) -> AdapterRoom:
    """Room for `assistants` adapters of `each` bytes where `requests` are answered at once; bytes of the device's
    memory and of the machine's. Without `requests` all in use have a slot, however few are answered at once.

    Twice as many are kept as are in use, since while a version takes over from another both are, and one can go back.
    """
    wanted = 1 << max(0, assistants).bit_length()  # more than there are, so that a few new ones need no restart
    slots = max(FEWEST_SLOTS, wanted if requests is None else min(wanted, requests))
    afforded = max(FEWEST_SLOTS, int(device_memory * SLOTS_SHARE / max(each, 1)))
    many = f"{assistants} assistant{'' if assistants == 1 else 's'}"
    if slots > afforded:
        why = f"{many}, as many as fit a tenth of the memory"
    elif slots == requests:
        why = f"{many}: every one of the {requests} requests answered at once can have its own"
    else:
        why = f"{many}, and room for more"
    slots = min(slots, afforded)
    reasons = [f"{slots} adapters at once ({slots * each / GIB:.2f} GiB) for {why}"]
    kept = max(FEWEST_KEPT, slots, 2 * wanted)
    held = max(FEWEST_KEPT, slots, int(memory * KEPT_SHARE / max(each, 1)))
    kept = min(kept, held)
    size = kept * each / GIB
    if kept < assistants:
        reasons.append(
            f"{kept} adapters kept in memory ({size:.2f} GiB); the others are read again when they are needed"
        )
    else:
        reasons.append(f"{kept} adapters kept in memory ({size:.2f} GiB), so that none in use is read from disk twice")
    return AdapterRoom(slots, kept, tuple(reasons))


def engine_rank_for(rank: int) -> int:
    """The smallest that vLLM accepts for adapters of this rank."""
    return next((r for r in ENGINE_RANKS if r >= rank), ENGINE_RANKS[-1])


def largest_rank(model: CatalogueModel, device_memory: int, memory: int) -> int:
    """The largest rank that training may make, by the room for the fewest adapters that an engine is started for."""

    def fits(rank: int) -> bool:
        each = model.adapter_bytes(rank)
        return FEWEST_SLOTS * each <= SLOTS_SHARE * device_memory and FEWEST_KEPT * each <= KEPT_SHARE * memory

    larger = [rank for rank in ENGINE_RANKS if LEAST_RANK < rank <= LARGEST_TRAINED and fits(rank)]
    return max(larger, default=LEAST_RANK)
