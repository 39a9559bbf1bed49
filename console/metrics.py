"""Everything for Prometheus in one text: what the engine's client counted, the line before it, what the database says
of jobs, promotions and accounts, the engine's state, and a few of the engine's own figures.

Promises that reading it costs a few quick queries and no token, that all but the engine's own figures is there within
seconds whether the engine is away or hangs, and that it names assistants and nothing that anybody wrote.
"""

from __future__ import annotations

import asyncio
import re
from collections import Counter
from collections.abc import Mapping
from typing import Any, get_args

from prometheus_client import CollectorRegistry, Gauge, generate_latest
from prometheus_client import Counter as CounterMetric
from prometheus_client.core import CounterMetricFamily
from prometheus_client.registry import Collector
from sqlalchemy import Select, func, select

from serving.busiest import Busiest
from serving.entrance import Engine, Entrance
from serving.metrics import NAMED_ASSISTANTS
from serving.ownership import State
from store.database import Database
from store.tables import Account, Assistant, Job, Promotion

ENGINES_SECONDS = 2.0
"""Prometheus waits ten seconds for the whole, unless it was told otherwise."""
ENDED = ("done", "failed", "cancelled")
JOB_STATES = ("queued", "running", *ENDED)
ACTIONS = ("promote", "rollback", "withdraw")
TAKEN = (
    *("num_requests_running", "num_requests_waiting", "num_preemptions_total", "kv_cache_usage_perc"),
    *("prefix_cache_queries_total", "prefix_cache_hits_total", "prompt_tokens_total", "generation_tokens_total"),
)
"""Of the engine's hundreds those that are few and say something; what has adapters as labels grows without bound."""
_TAKEN = re.compile(rf"^(?:# (?:HELP|TYPE) )?vllm:(?:{'|'.join(TAKEN)})[ {{].*\n".encode(), re.MULTILINE)


class _Counted(Collector):
    """What is counted elsewhere, as one counter: `counts` by the values of `label`, which are all there is."""

    def __init__(self, name: str, about: str, label: str, counts: Mapping[Any, int]) -> None:
        self._about = (name, about, label)
        self.counts = counts

    def collect(self) -> list[CounterMetricFamily]:
        name, about, label = self._about
        family = CounterMetricFamily(name, about, labels=(label,))
        for value, count in self.counts.items():
            family.add_metric((value,), count)
        return [family]


class _EndedJobs:
    """Runs of tuning that have ended, by assistant and how: what the database has now, told as counters that never
    fall, of which the busiest assistants have their own."""

    def __init__(self, registry: CollectorRegistry) -> None:
        self.busiest = Busiest(NAMED_ASSISTANTS, self._end)
        self._known: Counter[tuple[str, str]] = Counter()
        self._told = CounterMetric(
            "parlance_jobs_ended", "Runs of tuning that ended, by assistant and by how: done, failed, cancelled",
            ("assistant", "outcome"), registry=registry,
        )  # fmt: skip

    def take(self, counts: dict[tuple[Any, ...], int]) -> None:
        """`counts` by assistant and state, of all that there are."""
        for (assistant, outcome), count in counts.items():
            for _ in range(count - self._known[assistant, outcome]):
                self._told.labels(self.busiest.label(assistant), outcome).inc()
            self._known[assistant, outcome] = count

    def _end(self, assistant: str) -> None:
        self._told.remove_by_labels({"assistant": assistant})


class PlatformMetrics:
    """Gathers when it is asked."""

    def __init__(self, database: Database, engine: Engine, entrance: Entrance) -> None:
        self._database = database
        self._engine = engine
        self.registry = registry = CollectorRegistry()
        self._moves = _Counted(
            "parlance_promotions", "Moves of what is in service: promote, rollback, withdraw", "action",
            dict.fromkeys(ACTIONS, 0),
        )  # fmt: skip
        registry.register(self._moves)
        registry.register(
            _Counted(
                "parlance_requests_turned_away",
                "Requests that never came to the engine: too many waited, it was away, or a key's limit was reached",
                "reason", entrance.turned_away,
            )
        )  # fmt: skip
        waiting = Gauge("parlance_requests_queued", "Requests in the line before the engine", registry=registry)
        waiting.set_function(lambda: entrance.line.waiting)
        self._state = Gauge("parlance_engine_state", "1 for the state that holds", ("state",), registry=registry)
        self._jobs = Gauge("parlance_jobs", "Runs of tuning, by state", ("state",), registry=registry)
        self._ended = _EndedJobs(registry)
        self._progress = Gauge(
            "parlance_job_progress_ratio", "How far the running job is: 0 to 1; 0 where none runs", registry=registry
        )
        self._assistants = Gauge(
            "parlance_assistants", "Assistants, by what answers", ("answers_as",), registry=registry
        )  # fmt: skip
        self._accounts = Gauge(
            "parlance_accounts", "Accounts on platforms, by state", ("platform", "state"), registry=registry
        )

    async def text(self) -> bytes:
        """In Prometheus' text format. Raises what the database raises."""
        await self._look()
        ours = generate_latest(self.registry) + generate_latest(self._engine.client.metrics.registry)
        return ours + b"".join(_TAKEN.findall(await self._engines_own()))

    async def _engines_own(self) -> bytes:
        """Nothing where the engine does not answer at once: the other figures are wanted most when it hangs."""
        if self._engine.status.state != "ready":
            return b""
        try:
            async with asyncio.timeout(ENGINES_SECONDS):
                return await self._engine.client.own_metrics()
        except TimeoutError:
            return b""

    async def _look(self) -> None:
        state = self._engine.status.state
        for name in get_args(State):
            self._state.labels(name).set(name == state)
        jobs = await self._counts(select(Job.state, func.count()).group_by(Job.state))
        for name in JOB_STATES:
            self._jobs.labels(name).set(jobs.get((name,), 0))
        by_assistant = (Assistant.name, Job.state)
        ended = select(*by_assistant, func.count()).join(Job, Job.assistant_id == Assistant.id)
        self._ended.take(await self._counts(ended.where(Job.state.in_(ENDED)).group_by(*by_assistant)))
        moves = await self._counts(select(Promotion.action, func.count()).group_by(Promotion.action))
        self._moves.counts = {action: moves.get((action,), 0) for action in ACTIONS}
        tuned = Assistant.in_service.is_not(None)
        assistants = await self._counts(select(tuned, func.count()).group_by(tuned))
        self._assistants.labels("tuned").set(assistants.get((True,), 0))
        self._assistants.labels("untuned").set(assistants.get((False,), 0))
        self._accounts.clear()
        by = (Account.platform, Account.state)
        accounts = select(*by, func.count()).where(Account.state != "removed").group_by(*by)
        for (platform, name), count in (await self._counts(accounts)).items():
            self._accounts.labels(platform, name).set(count)
        running = await self._database.look_up(select(Job.progress).where(Job.state == "running"), {})
        progress = running[0].get("fraction") if running is not None else None
        self._progress.set(float(progress) if isinstance(progress, int | float) else 0.0)

    async def _counts(self, query: Select[Any]) -> dict[tuple[Any, ...], int]:
        """Each group with its count, which is the last column."""
        return {tuple(row[:-1]): row[-1] for row in await self._database.look_through(query, {})}
