"""Readiness and figures with the real engine."""

from __future__ import annotations

from console.health import Readiness
from console.metrics import TAKEN, PlatformMetrics
from serving.entrance import Entrance


async def test_ready_is_what_the_real_engine_proves_by_a_token(engine):
    metrics = engine.client.metrics
    readiness = Readiness(engine.supervisor, lambda: engine.client.warm(engine.supervisor.untuned), engine.paths.home)
    metrics.alive_at = None
    assert await readiness.holds()
    assert metrics.alive_at is not None


async def test_the_figures_hold_the_engine_s_own(engine, database):
    text = await PlatformMetrics(database, engine.supervisor, Entrance(engine.supervisor)).text()
    for name in TAKEN:
        assert f"\nvllm:{name}{{".encode() in text
    assert b'parlance_engine_state{state="ready"} 1.0' in text
