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
