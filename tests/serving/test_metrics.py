from __future__ import annotations

import asyncio
from contextlib import aclosing

import pytest
from engine_stub import engine_stub
from prometheus_client import generate_latest

from config.errors import EngineUnavailable, NotFound
from config.names import VersionName
from config.request import current, working_for
from serving.answer import Piece, Sampling
from serving.busiest import HALVED_AFTER_SECONDS, OTHER, Busiest
from serving.metrics import NAMED_ASSISTANTS, ServingMetrics

HARBOUR = VersionName("harbour", 1)
SECRET = "the treasure lies under the third lamp"


@pytest.fixture
async def stub(tmp_path):
    async with engine_stub(tmp_path) as running:
        yield running


def ask(stub, version=HARBOUR):
    return stub.client.answer(version, [{"role": "user", "content": SECRET}], Sampling())


def value(metrics, name, **labels):
    return metrics.registry.get_sample_value(name, labels)


def outcomes(metrics):
    found = {}
    for family in metrics.registry.collect():
        for sample in family.samples:
            if sample.name == "parlance_requests_total":
                found[sample.labels["outcome"]] = found.get(sample.labels["outcome"], 0) + sample.value
    return found


async def test_an_answer_is_counted_with_its_tokens_and_times_and_without_a_word(stub):
    with working_for("chat") as request:
        request.asks("harbour")
        await ask(stub)
    metrics = stub.client.metrics
    who = {"assistant": "harbour", "origin": "chat"}
    assert value(metrics, "parlance_requests_total", outcome="done", **who) == 1
    assert value(metrics, "parlance_prompt_tokens_total", **who) == 7
    assert value(metrics, "parlance_answer_tokens_total", **who) == 3
    assert value(metrics, "parlance_time_to_first_token_seconds_count", assistant="harbour") == 1
    assert value(metrics, "parlance_answer_tokens_per_second_count", assistant="harbour") == 1
    assert value(metrics, "parlance_requests_running") == 0
    text = generate_latest(metrics.registry).decode()
    assert SECRET not in text and "Good" not in text and request.id not in text


async def test_each_end_is_counted_as_what_it_was(stub):
    metrics = stub.client.metrics
    await ask(stub)
    stub.status = 404
    with pytest.raises(NotFound):
        await ask(stub)
    stub.status = 500
    with pytest.raises(EngineUnavailable):
        await ask(stub)
    stub.status, stub.finishes = 200, False
    with pytest.raises(EngineUnavailable):
        await ask(stub)
    stub.finishes, stub.reason = True, "abort"  # of an engine that is being ended
    with pytest.raises(EngineUnavailable):
        await ask(stub)
    stub.hold = asyncio.Event()
    async with aclosing(stub.client.stream(HARBOUR, [], Sampling())) as pieces:
        assert isinstance(await anext(pieces), Piece)
        assert value(metrics, "parlance_requests_running") == 1
    stub.hold.set()
    assert outcomes(metrics) == {"done": 1, "refused": 1, "failed": 3, "cancelled": 1}
    assert value(metrics, "parlance_requests_running") == 0


async def test_what_nobody_asked_for_is_not_among_the_times_of_people(stub):
    await stub.client.warm(HARBOUR)
    metrics = stub.client.metrics
    assert value(metrics, "parlance_requests_total", assistant="harbour", origin="internal", outcome="done") == 1
    assert value(metrics, "parlance_time_to_first_token_seconds_count", assistant="harbour") is None


async def test_the_engine_is_told_the_id_that_the_log_has(stub):
    with working_for("chat") as request:
        await asyncio.create_task(ask(stub))
    assert current() is None
    await ask(stub)
    assert stub.headers[0]["X-Request-Id"] == request.id
    assert "X-Request-Id" not in stub.headers[1]


def test_a_sender_s_own_id_is_kept_only_where_it_is_plain():
    with working_for("gateway", "their-id.7") as request:
        assert request.id == "their-id.7"
    for given in ("a b", "x\r\nSet-Cookie: y", "", "é", "a" * 65):
        with working_for("gateway", given) as request:
            assert request.id != given and request.id.isalnum()


def test_a_thousand_assistants_are_fifty_names_and_the_rest():
    metrics = ServingMetrics()
    for at in range(1000):
        for _ in range(1 + at % 7):
            with metrics.request(VersionName(f"a{at}", 1)) as measured:
                measured.piece()
                measured.tokens(5, 3)
    samples = [sample for family in metrics.registry.collect() for sample in family.samples]
    names = {sample.labels["assistant"] for sample in samples if "assistant" in sample.labels}
    assert len(names) <= NAMED_ASSISTANTS + 1 and OTHER in names
    assert len(samples) < (NAMED_ASSISTANTS + 1) * 40


def test_names_go_to_whoever_is_busy_of_late_and_no_counter_falls():
    time, ended = [0.0], []
    busiest = Busiest(2, ended.append, clock=lambda: time[0])
    assert [busiest.label(name) for name in ("a", "b", "c", "a", "a", "b")] == ["a", "b", OTHER, "a", "a", "b"]
    assert [busiest.label("c") for _ in range(4)] == [OTHER, OTHER, OTHER, "c"]
    assert ended == ["b"] and busiest.still("b") == OTHER
    time[0] = HALVED_AFTER_SECONDS * 8  # by now nobody is busy any more
    assert busiest.label("new") == "new" and ended[-1] in ("a", "c")


def test_a_request_whose_assistant_loses_its_name_meanwhile_brings_no_series_back():
    metrics = ServingMetrics()
    with metrics.request(HARBOUR) as measured:
        for at in range(NAMED_ASSISTANTS):
            for _ in range(4):
                with metrics.request(VersionName(f"a{at}", 1)):
                    pass
        measured.tokens(5, 3)
    samples = [sample for family in metrics.registry.collect() for sample in family.samples]
    assert all(sample.labels.get("assistant") != "harbour" for sample in samples)
    assert value(metrics, "parlance_answer_tokens_total", assistant=OTHER, origin="internal") == 3


def test_adapters_are_swapped_as_the_engine_s_cache_does():
    metrics = ServingMetrics(kept_adapters=2)
    one, two, three = (VersionName("harbour", number) for number in (1, 2, 3))
    for version in (one, two, one, three, one, two):
        metrics.uses(version)
    assert value(metrics, "parlance_adapter_loads_total") == 4
    assert value(metrics, "parlance_adapters_resident") == 2
    metrics.engine_ended()
    assert value(metrics, "parlance_adapters_resident") == 0
