"""When memory is too small: how that shows, what is free, and how work is cut until it fits. Knows torch's ways of
saying so, nothing of training."""

from __future__ import annotations

import gc
import resource
from collections.abc import Callable
from typing import Any, TypeVar

import torch

MARGIN = 1.25
Made = TypeVar("Made")


class InParts:
    """Work taken in `count` parts, of which there are twice as many from wherever memory falls short on. Each new count
    is told to `smaller`."""

    def __init__(self, count: int, smaller: Callable[[int], None]) -> None:
        self.count, self._smaller = count, smaller

    def fit(self, work: Callable[[int], Made], most: int, undo: Callable[[], None] | None = None) -> Made:
        """What `work` makes in so many parts as it is given; again in twice as many where memory is too small for it,
        after `undo` of what it had begun. From `most` parts on nothing gets smaller, and the shortage is raised."""
        while True:
            try:
                return work(self.count)
            except Exception as error:
                if not is_shortage(error) or self.count >= most:
                    raise
            # Outside the except block, whose error would keep what failed alive.
            if undo is not None:
                undo()
            self.count *= 2
            release()
            self._smaller(self.count)


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


def fits_without_saving(model: Any, tokens: int) -> bool:
    """Whether a card has room for all that a pass over `tokens` leaves behind for the backward pass, so that nothing
    need be computed again. Reckoned from the model's sizes, generously; never so on a processor."""
    weight = next(model.parameters())
    if weight.device.type != "cuda":
        return False
    total = torch.cuda.get_device_properties(weight.device).total_memory
    share = torch.cuda.get_per_process_memory_fraction(weight.device.index or 0)
    free, _ = torch.cuda.mem_get_info(weight.device)
    room = min(free, int(total * share) - torch.cuda.memory_allocated(weight.device))
    return bool(activation_bytes(model.config.get_text_config(), tokens) * MARGIN < room)


def activation_bytes(config: Any, tokens: int) -> int:
    """What a pass over `tokens` keeps for the backward pass: of each block some 21 widths (norms in float32, the
    attention's inputs and outputs, what dropout left out) and 4.5 inner widths, in 16 bits."""
    widths = 21 * int(config.hidden_size) + 9 * int(config.intermediate_size) // 2
    return tokens * int(config.num_hidden_layers) * 2 * widths


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
