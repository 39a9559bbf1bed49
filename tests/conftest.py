"""Shared ground for every test: a temporary home, its settings and database, and one engine for the whole run."""

from __future__ import annotations

import time
from collections.abc import AsyncIterator
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from knowing_tools import demo_knowing_tools
from running_engine import RunningEngine

from config.settings import Settings, load_settings
from serving.answer import Sampling
from serving.supervisor import EngineSupervisor
from store.crypto import load_cipher
from store.database import Database, open_database

if TYPE_CHECKING:
    from bench.gpu_engine import MeasuredEngine
    from bench.gpu_results import Bench


@pytest.fixture(autouse=True)
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """No test can touch a real home."""
    for name in ("PARLANCE_KEY", "PARLANCE_DATABASE_URL", "PARLANCE_BASE_MODEL"):
        monkeypatch.delenv(name, raising=False)
    folder = tmp_path / "home"
    monkeypatch.setenv("PARLANCE_HOME", str(folder))
    return folder


@pytest.fixture
def settings(home: Path) -> Settings:
    return load_settings()


@pytest.fixture
async def database(settings: Settings) -> AsyncIterator[Database]:
    opened = await open_database(settings)
    yield opened
    await opened.close()


@pytest.fixture(scope="session")
async def engine(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[RunningEngine]:
    """One vLLM for the whole run; about a minute until it answers. It serves the demo model, whose template knows tools
    besides, so that these need no engine of their own."""
    home = tmp_path_factory.mktemp("engine") / "home"
    with pytest.MonkeyPatch.context() as patch:  # the fixture that moves the home works for one test only
        patch.setenv("PARLANCE_HOME", str(home))
        settings = load_settings(home=home, base_model="demo")
    settings.paths.ensure()
    cipher = load_cipher(settings.paths.key_file, None)
    supervisor = EngineSupervisor(settings, cipher)
    location = demo_knowing_tools(tmp_path_factory.mktemp("model"))
    supervisor.model = replace(supervisor.model, location=str(location))
    supervisor.start()
    try:
        await supervisor.wait_ready(timeout=600)
        yield RunningEngine(settings, settings.paths, cipher, supervisor, supervisor.client)
    finally:
        await supervisor.stop()


@pytest.fixture
def endless(monkeypatch: pytest.MonkeyPatch) -> None:
    """No answer ends before it is as long as was asked for."""
    body = Sampling.body
    monkeypatch.setattr(Sampling, "body", lambda self: body(self) | {"ignore_eos": True})


@pytest.fixture(scope="session")
def gpu_bench(tmp_path_factory: pytest.TempPathFactory) -> Bench:
    """The GPU bench in small, on the processor."""
    from bench.gpu_results import Bench, Results

    folder = tmp_path_factory.mktemp("gpu-bench")
    results = Results.open(folder / "results", "rehearsal", rehearsal=True)
    return Bench("card", "cpu", folder / "work", results, time.monotonic() + 3600)


@pytest.fixture(scope="session")
async def measured_engine(gpu_bench: Bench) -> AsyncIterator[MeasuredEngine]:
    """One engine that can sleep, for the bench and what it measures; with an adapter by each method of training."""
    from bench import gpu_correctness  # these load torch, which most tests do without
    from bench.gpu_engine import engine, plan_for

    bench = replace(gpu_bench, part="correctness")
    model = await gpu_correctness.trained(bench)
    chosen = plan_for(bench, slots=8, kept=64, requests=16, rank=gpu_correctness.ENGINE_RANK)
    async with engine(bench, model, chosen, ()) as started:
        await gpu_correctness.judged(bench, started)
        yield started


ENGINES = ("engine", "measured_engine")
"""Fixtures that keep an engine for all tests of a run that use it."""


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """What is marked `gpu` runs where there is one. Where two processes share the tests (`make test`), those around one
    engine stay with one of them, and so do those of a file; what takes longest begins first."""
    _without_gpu([item for item in items if item.get_closest_marker("gpu")])
    groups = {item: _group(item) for item in items}
    for item, group in groups.items():
        item.add_marker(pytest.mark.xdist_group(group))
    items.sort(key=lambda item: _turn(groups[item]))


def _group(item: pytest.Item) -> str:
    used = item.fixturenames if isinstance(item, pytest.Function) else []
    return next((name for name in ENGINES if name in used), item.nodeid.partition("::")[0])


def _turn(group: str) -> int:
    """Engines of a whole run, then those who start engines of their own, then the rest."""
    if group in ENGINES:
        return ENGINES.index(group)
    return len(ENGINES) + (not group.startswith("tests/e2e/"))


def _without_gpu(marked: list[pytest.Item]) -> None:
    if not marked:
        return
    from bench.gpu import card_here

    if card_here() is None:
        for item in marked:
            item.add_marker(pytest.mark.skip(reason="there is no GPU here"))
