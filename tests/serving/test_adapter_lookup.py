"""An adapter in memory is looked up, however many others are there; one that is not is loaded as vLLM does it."""

from __future__ import annotations

from types import SimpleNamespace

import pytest
from vllm.lora.worker_manager import LRUCacheWorkerLoRAManager

from serving.adapter_lookup import look_adapters_up


class Kept:
    """Stands for the manager of what is in memory: numbers 1 to 3."""

    def __init__(self) -> None:
        self._registered_adapters = {1: "one", 2: "two", 3: "three"}
        self.calls: list[tuple[str, int]] = []

    def get_adapter(self, number: int) -> None:
        self.calls.append(("touched", number))

    def activate_adapter(self, number: int) -> None:
        self.calls.append(("given a slot", number))


def test_what_is_in_memory_is_not_searched_for_and_all_else_is_left_to_vllm(monkeypatch: pytest.MonkeyPatch) -> None:
    loaded: list[int] = []

    def load(self: object, request: SimpleNamespace) -> bool:
        loaded.append(request.lora_int_id)
        return True

    monkeypatch.setattr(LRUCacheWorkerLoRAManager, "add_adapter", load)
    look_adapters_up()
    look_adapters_up()  # vLLM calls it more than once
    manager = LRUCacheWorkerLoRAManager.__new__(LRUCacheWorkerLoRAManager)
    kept = manager._adapter_manager = Kept()
    for number, anew in ((2, False), (9, False), (3, True)):
        assert manager.add_adapter(SimpleNamespace(lora_int_id=number, load_inplace=anew))
    assert kept.calls == [("touched", 2), ("given a slot", 2)]
    assert loaded == [9, 3]
