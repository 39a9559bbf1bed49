"""Runs inside an engine on a processor: what is done there otherwise than vLLM does it.

An engine is two processes, and the second is forked, so that a start takes a third of the time. vLLM's are three, one
begun by the other, and each imports all of vLLM before it does anything; the second waits for the third, which has the
model, in a loop that takes a core. Where it can vLLM forks them, and has the model in the second; on processors it does
not, because it binds the threads of each to cores by variables that are read while libraries load. Ours are bound to no
cores, so nothing is lost.

And what adapters change is computed by `serving.row_products`.
"""

from __future__ import annotations

import os
from functools import wraps
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from vllm.config import VllmConfig

FORKS_VARIABLE = "PARLANCE_ENGINE_FORKS"
"""Environment: set where the engine runs on a processor with its threads unbound."""
PRODUCTS_VARIABLE = "PARLANCE_ENGINE_ROW_PRODUCTS"
"""Environment: set where what adapters change is computed by our own products."""
PRODUCTS = "serving.row_products.RowProducts"
_METHOD = "VLLM_WORKER_MULTIPROC_METHOD"


def suit_processors() -> None:
    """Called by vLLM in each of its processes, perhaps more than once."""
    if FORKS_VARIABLE in os.environ:
        _fork_the_only_process()
    if PRODUCTS_VARIABLE in os.environ:
        _use_row_products()


def _fork_the_only_process() -> None:
    from vllm.platforms.cpu import CpuPlatform

    settle = CpuPlatform.check_and_update_config
    if hasattr(settle, "__wrapped__"):
        return

    @wraps(settle)
    def settle_and_fork(config: VllmConfig) -> None:
        settle(config)
        os.environ[_METHOD] = "fork"
        if config.parallel_config.world_size == 1:
            config.parallel_config.distributed_executor_backend = "uni"

    CpuPlatform.check_and_update_config = staticmethod(settle_and_fork)


def _use_row_products() -> None:
    from vllm.platforms.cpu import CpuPlatform

    CpuPlatform.get_punica_wrapper = staticmethod(lambda: PRODUCTS)
