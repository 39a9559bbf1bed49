"""When memory is too small: how that shows, and what is free. Knows torch's ways of saying so, nothing of training."""

from __future__ import annotations

import gc
import resource

import torch


def is_shortage(error: BaseException) -> bool:
    """Whether this error says that memory, the card's or the machine's, was too small."""
    if isinstance(error, (MemoryError, torch.OutOfMemoryError)):
        return True
    return isinstance(error, RuntimeError) and "allocate memory" in str(error)


def keep_to_share(device: torch.device, share: str | None) -> None:
    """On a card: take no more of its memory than `share`, a number from 0 to 1, so that a shortage is this process's
    own and not that of the engine beside it. None or another device: nothing happens."""
    if device.type == "cuda" and share:
        torch.cuda.set_per_process_memory_fraction(min(1.0, float(share)), device.index or 0)


def release() -> None:
    """Give back what nothing refers to any more."""
    gc.collect()
    if torch.cuda.is_available():
        torch.cuda.empty_cache()


def peak(device: torch.device) -> int:
    """The most bytes that were in use at once so far, on the card or in this process."""
    if device.type == "cuda":
        return int(torch.cuda.max_memory_allocated(device))
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
