"""Runs inside an engine on a processor: what is done there otherwise than vLLM does it.

Its processes are forked, so that a start takes half the time. vLLM's engine is three processes, one begun by the
other, and each of them imports all of vLLM before it does anything. Where it can vLLM forks them, and the imports are
there; on processors it does not, because it binds the threads of each to cores by variables that are read while
libraries load. Ours are bound to no cores, so nothing is lost.

And what adapters change is computed by `serving.row_products`, at a tenth of the cost.
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
        _fork_processes()
    if PRODUCTS_VARIABLE in os.environ:
        _use_row_products()


def _fork_processes() -> None:
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
