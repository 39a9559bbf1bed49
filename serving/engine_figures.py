"""Runs inside the engine: keeps out of its figures the one that grows with every set of adapters that ran together.

vLLM writes the names of all adapters with a request under way into the labels of one gauge (`vllm:lora_requests_info`),
and keeps a series for each such set that ever was. With many assistants these are without end: memory of the engine's
API process, and time of its event loop whenever its figures are read. Nothing here reads it.
"""

from __future__ import annotations

import sys
from functools import wraps
from typing import Any

API_SERVER = "vllm.entrypoints.openai.api_server"


def leave_out_sets_of_adapters() -> None:
    """Called by vLLM in each of its processes, perhaps more than once. Only the one that answers has figures."""
    begun_as = getattr(sys.modules["__main__"], "__spec__", None)
    if begun_as is None or begun_as.name != API_SERVER:
        return
    from vllm.v1.metrics.loggers import PrometheusStatLogger

    begin = PrometheusStatLogger.__init__
    if hasattr(begin, "__wrapped__"):
        return

    @wraps(begin)
    def begin_without(self: Any, *args: Any, **options: Any) -> None:
        begin(self, *args, **options)
        self.gauge_lora_info = None

    PrometheusStatLogger.__init__ = begin_without
