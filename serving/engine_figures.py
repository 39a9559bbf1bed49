"""Runs inside the engine: keeps out of its figures the one that grows with every set of adapters that ran together.

vLLM writes the names of all adapters with a request under way into the labels of one gauge (`vllm:lora_requests_info`),
and keeps a series for each such set that ever was. With many assistants these are without end: memory of the engine's
API process, and time of its event loop whenever its figures are read. Nothing here reads it.
"""

from __future__ import annotations

import sys
from functools import wraps
from typing import Any


def leave_out_sets_of_adapters() -> None:
    """Called by vLLM in each of its processes, perhaps more than once. Of these only the one that has figures has
    loaded what makes them."""
    loggers = sys.modules.get("vllm.v1.metrics.loggers")
    if loggers is None or hasattr(loggers.PrometheusStatLogger.__init__, "__wrapped__"):
        return
    begin = loggers.PrometheusStatLogger.__init__

    @wraps(begin)
    def begin_without(self: Any, *args: Any, **options: Any) -> None:
        begin(self, *args, **options)
        self.gauge_lora_info = None

    loggers.PrometheusStatLogger.__init__ = begin_without
