"""What the engine's client does, in figures for Prometheus: requests, tokens, times, adapters.

Promises a bounded number of time series whatever comes (serving/busiest.py), that every request that begins is counted
once with how it ended, and that no figure holds anything a person wrote. One object a client, with a registry of its
own; knows neither the database nor who reads it.

Which adapters the engine holds it does not say: vLLM tells of those that requests run with or wait for
(`vllm:lora_requests_info`), not of those it keeps. So its cache is followed here, by what is asked for. Time to the
first token counts from when somebody began to wait, so it has any line before the engine in it.
"""

from __future__ import annotations

import asyncio
import time
from collections import OrderedDict
from collections.abc import Iterable, Iterator
from contextlib import contextmanager

from opentelemetry.trace import Span
from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, disable_created_metrics

from config.errors import EngineUnavailable, ParlanceError
from config.names import VersionName
from config.request import Request, current
from config.traces import begun, failed
from serving.busiest import Busiest

NAMED_ASSISTANTS = 50
FIRST_TOKEN_BUCKETS = (0.02, 0.05, 0.1, 0.2, 0.35, 0.5, 0.75, 1.0, 1.5, 2.5, 5.0, 10.0, 30.0, 60.0)
"""Seconds."""
RATE_BUCKETS = (2.0, 5.0, 10.0, 15.0, 20.0, 30.0, 45.0, 60.0, 90.0, 150.0, 250.0, 400.0)
"""Tokens a second of one answer: 5 are read along comfortably."""

disable_created_metrics()  # type: ignore[no-untyped-call]  # a second series beside each, which nothing here reads


class Measured:
    """One request while it lasts. Tell it of every piece, and of the counts at the end."""

    def __init__(self, metrics: ServingMetrics, label: str, asked: Request, span: Span) -> None:
        self._metrics = metrics
        self._span = span
        self._began_as = label
        self._origin = asked.origin
        self._asked = time.perf_counter() if asked.asked_at is None else asked.asked_at
        self._first: float | None = None

    @property
    def _label(self) -> str:
        return self._metrics.busiest.still(self._began_as)

    def piece(self) -> None:
        """More text arrived."""
        self._metrics.alive_at = moment = time.perf_counter()
        if self._first is None:
            self._first = moment
            self._span.add_event("first text")
            if self._origin != "internal":
                self._metrics.first_token.labels(self._label).observe(moment - self._asked)

    def tokens(self, prompt: int, answer: int) -> None:
        """It is complete, with so many tokens."""
        self._metrics.alive_at = moment = time.perf_counter()
        self._span.set_attributes({"prompt_tokens": prompt, "answer_tokens": answer})
        self._metrics.prompt_tokens.labels(self._label, self._origin).inc(prompt)
        self._metrics.answer_tokens.labels(self._label, self._origin).inc(answer)
        if self._first is not None and answer > 1 and moment > self._first and self._origin != "internal":
            self._metrics.rate.labels(self._label).observe((answer - 1) / (moment - self._first))


class ServingMetrics:
    """`kept_adapters`: how many adapters the engine keeps in memory (vLLM's `max_cpu_loras`)."""

    def __init__(self, kept_adapters: int = 16) -> None:
        self.registry = registry = CollectorRegistry()
        self.alive_at: float | None = None
        """When the engine last gave something of an answer, by `time.perf_counter`; None where it has not yet."""
        self._kept_adapters = kept_adapters
        self._adapters: OrderedDict[VersionName, None] = OrderedDict()
        self.busiest = Busiest(NAMED_ASSISTANTS, self._end)
        each = ("assistant", "origin")
        self.requests = Counter(
            "parlance_requests",
            "Answers asked of the engine, by how they ended: done, cancelled, refused (it cannot be answered), failed",
            (*each, "outcome"), registry=registry,
        )  # fmt: skip
        self.prompt_tokens = Counter("parlance_prompt_tokens", "Tokens of prompts", each, registry=registry)
        self.answer_tokens = Counter("parlance_answer_tokens", "Tokens of answers", each, registry=registry)
        self.first_token = Histogram(
            "parlance_time_to_first_token_seconds", "From beginning to wait to the first text", ("assistant",),
            buckets=FIRST_TOKEN_BUCKETS, registry=registry,
        )  # fmt: skip
        self.rate = Histogram(
            "parlance_answer_tokens_per_second", "How fast one answer grows after its first token", ("assistant",),
            buckets=RATE_BUCKETS, registry=registry,
        )  # fmt: skip
        self.running = Gauge("parlance_requests_running", "Requests that have begun and not ended", registry=registry)
        self.adapter_loads = Counter(
            "parlance_adapter_loads", "Adapters swapped in: requests for one that the engine did not hold",
            registry=registry,
        )  # fmt: skip
        resident = Gauge(
            "parlance_adapters_resident",
            "Adapters that the engine holds in memory, worked out from what it was asked for by the rule of its cache",
            registry=registry,
        )
        resident.set_function(lambda: len(self._adapters))
        by_assistant = (self.requests, self.prompt_tokens, self.answer_tokens, self.first_token, self.rate)
        self._by_assistant: tuple[Counter | Histogram, ...] = by_assistant

    @contextmanager
    def request(self, version: VersionName) -> Iterator[Measured]:
        """A request for an answer of `version`, counted when the block ends, however it does."""
        asked = current() or Request("internal")
        label = self.busiest.label(asked.assistant or version.assistant)
        self.uses(version)
        outcome = "failed"
        self.running.inc()
        made = begun("engine", request=asked.id, version=str(version))
        try:
            yield Measured(self, label, asked, made)
            outcome = "done"
        except (GeneratorExit, asyncio.CancelledError):
            outcome = "cancelled"
            raise
        except ParlanceError as error:
            outcome = "failed" if isinstance(error, EngineUnavailable) else "refused"
            failed(made, error)
            raise
        finally:
            made.set_attribute("outcome", outcome)
            made.end()
            self.running.dec()
            self.requests.labels(self.busiest.still(label), asked.origin, outcome).inc()

    def uses(self, version: VersionName) -> None:
        """The engine is asked for `version`: it loads the adapter where it does not hold it, and drops the one that
        was not used for longest, as vLLM's cache does."""
        if version in self._adapters:
            self._adapters.move_to_end(version)
            return
        self.adapter_loads.inc()
        self._adapters[version] = None
        if len(self._adapters) > self._kept_adapters:
            self._adapters.popitem(last=False)

    def handed_over(self, kept_adapters: int, versions: Iterable[VersionName]) -> None:
        """Another engine serves from now on, which keeps so many adapters and has loaded `versions`."""
        self._adapters.clear()
        self._kept_adapters = kept_adapters
        for version in versions:
            self.uses(version)

    def engine_ended(self) -> None:
        """A new engine holds no adapter."""
        self._adapters.clear()
        self.alive_at = None

    def _end(self, assistant: str) -> None:
        for metric in self._by_assistant:
            metric.remove_by_labels({"assistant": assistant})
