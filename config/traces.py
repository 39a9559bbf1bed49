"""Spans of OpenTelemetry around what a message goes through. Without an exporter (`console/tracing.py`) they cost about
a microsecond and go nowhere.

Promises that no span holds what an error says, which may quote somebody, but only its kind. Attributes are given by
whoever makes a span: names, counts, ids, and never text.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from opentelemetry import trace
from opentelemetry.trace import Span, Status, StatusCode

Fact = str | int | float | bool

_TRACER = trace.get_tracer("parlance")


@contextmanager
def span(name: str, **facts: Fact) -> Iterator[Span]:
    """A span around the block, within the one that holds here. Not for generators: see `begun`."""
    with _TRACER.start_as_current_span(
        name, attributes=facts, record_exception=False, set_status_on_exception=False
    ) as made:
        try:
            yield made
        except Exception as error:
            failed(made, error)
            raise


def begun(name: str, **facts: Fact) -> Span:
    """A span within the one that holds here, which is nobody's surroundings; whoever began it ends it."""
    return _TRACER.start_span(name, attributes=facts, record_exception=False, set_status_on_exception=False)


def failed(made: Span, error: BaseException) -> None:
    """What `made` is around did not come to its end."""
    made.set_status(Status(StatusCode.ERROR, type(error).__name__))
