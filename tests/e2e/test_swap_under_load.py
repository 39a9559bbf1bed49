"""64 conversations stream without pause over 16 assistants while 30 promotions and 30 rollbacks happen, on a real
engine, by the router and client of the platform: nobody notices, and no answer mixes versions."""

from __future__ import annotations

from dataclasses import replace
from itertools import combinations

import httpx
import pytest
from running_engine import RunningEngine

from bench.swap_under_load import (
    ASSISTANTS,
    SWAPS,
    TALKS,
    Asked,
    expected,
    faults,
    make_adapters,
    prepare,
    spanning,
    swap_all,
    talking,
)  # fmt: skip
from config.names import VersionName
from serving.answer import Finished
from serving.router import Place, route
from store.database import Database


async def _answered(engine: RunningEngine) -> float:
    """Requests that the engine says it has answered to their end."""
    transport = httpx.AsyncHTTPTransport(uds=str(engine.paths.engine_socket))
    async with httpx.AsyncClient(transport=transport, base_url="http://engine") as http:
        lines = (await http.get("/metrics")).text.splitlines()
    done = [line for line in lines if line.startswith("vllm:request_success_total{")]
    return sum(float(line.rsplit(" ", 1)[1]) for line in done if '"stop"' in line or '"length"' in line)


OLD, NEW = VersionName("swap-0", 1), VersionName("swap-0", 2)
SAID = {(OLD, "Hello"): "old words", (NEW, "Hello"): "new words"}
WHOLE = Finished("old words", "stop", 3, 2, 0.1, 0.2)
GOOD = Asked("swap-0", "Hello", 0.0, 0.1, 0.2, OLD, frozenset({OLD}), "old words", WHOLE)


@pytest.mark.parametrize(
    ("bad", "found"),
    [
        (replace(GOOD, pieces="old"), "cut"),
        (replace(GOOD, finished=replace(WHOLE, finish_reason="abort")), "cut"),
        (replace(GOOD, version=NEW), "routed to swap-0@v2"),
        (replace(GOOD, pieces="new words", finished=replace(WHOLE, text="new words")), "but of ['swap-0@v2']"),
        (replace(GOOD, pieces="old new", finished=replace(WHOLE, text="old new")), "but of no version"),
    ],
)
def test_what_is_wrong_with_an_answer_is_found(bad: Asked, found: str) -> None:
    assert faults([GOOD], SAID) == []
    assert found in " ".join(faults([GOOD, bad], SAID))


async def test_no_answer_is_failed_cut_duplicated_or_of_another_version_while_versions_are_swapped(
    engine: RunningEngine, database: Database
) -> None:
    make_adapters(engine.paths, engine.supervisor.model)
    await prepare(database, engine.supervisor)
    said = await expected(engine.client)
    for (name, question), (other, asked) in combinations(said, 2):
        assert question != asked or said[name, question] != said[other, asked], f"{name} and {other} cannot be told"
    before = await _answered(engine)
    async with talking(database, engine.client) as load:
        swaps = await swap_all(load)
    assert len(swaps) == 2 * SWAPS
    assert faults(load.asked, said) == []
    assert spanning(load.asked, swaps) > 0, "no answer was under way at a swap, so nothing was shown"
    assert {version.number for one in load.asked for version in [one.version]} == {1, 2}
    assert {one.assistant for one in load.asked} == {f"swap-{number}" for number in range(ASSISTANTS)}
    assert await _answered(engine) - before == len(load.asked) + len(swaps), "an answer was given twice or not at all"
    for channel in range(TALKS):
        assert (await route(database, Place(f"web:{channel}"))).version.number == 1
