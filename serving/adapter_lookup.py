"""Runs inside the engine: an adapter that is in memory already is looked up.

Before each step vLLM makes a list of all adapters in memory, once for each adapter of the batch, to see whether it is
among them: with hundreds of them that takes longer than what they change.
"""

from __future__ import annotations

from functools import wraps
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from vllm.lora.request import LoRARequest


def look_adapters_up() -> None:
    """Called by vLLM in each of its processes, perhaps more than once."""
    from vllm.lora.worker_manager import LRUCacheWorkerLoRAManager

    add = LRUCacheWorkerLoRAManager.add_adapter
    if hasattr(add, "__wrapped__"):
        return

    @wraps(add)
    def look_up_or_add(self: Any, lora_request: LoRARequest) -> bool:
        manager, number = self._adapter_manager, lora_request.lora_int_id
        if number not in manager._registered_adapters or getattr(lora_request, "load_inplace", False):
            return bool(add(self, lora_request))
        manager.get_adapter(number)  # it is in use, and others are given up before it
        manager.activate_adapter(number)
        return True

    LRUCacheWorkerLoRAManager.add_adapter = look_up_or_add
