"""Sends spans (`config/traces.py`) to whoever collects them over OTLP, where the settings name one.

Promises that nothing waits for the collector: spans go out by a thread, in batches, and are dropped where nobody takes
them. The packages that send are an extra, `parlance[traces]`.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from urllib.parse import urlsplit

from opentelemetry import trace

from config.errors import BadInput

PATH = "/v1/traces"
COLLECTOR_SECONDS = 2.0
"""For one batch; a collector that is away holds up nobody for longer when we stop."""


@asynccontextmanager
async def traced(collector: str | None) -> AsyncIterator[None]:
    """While the block runs, spans go to `collector` (`http://host:4318`; None: nowhere). Once in a process.

    Raises BadInput for an address that is none, and where the packages are not installed."""
    if collector is None:
        yield
        return
    if urlsplit(collector).scheme not in ("http", "https") or not urlsplit(collector).hostname:
        raise BadInput("The setting traces is the address of a collector, like http://localhost:4318.")
    try:
        from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
        from opentelemetry.sdk.resources import Resource
        from opentelemetry.sdk.trace import TracerProvider
        from opentelemetry.sdk.trace.export import BatchSpanProcessor
    except ImportError:
        raise BadInput(
            "Traces need more packages: .venv/bin/pip install 'parlance[traces]', or unset traces."
        ) from None
    address = collector if urlsplit(collector).path.strip("/") else collector.rstrip("/") + PATH
    provider = TracerProvider(resource=Resource.create({"service.name": "parlance"}))
    provider.add_span_processor(BatchSpanProcessor(OTLPSpanExporter(address, timeout=COLLECTOR_SECONDS)))
    trace.set_tracer_provider(provider)
    try:
        yield
    finally:
        await asyncio.to_thread(provider.shutdown)  # which sends what is left
