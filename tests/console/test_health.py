"""The platform's health and figures over its real web application, with an engine that says what the test wants."""

from __future__ import annotations

import asyncio
import json
import re
import shutil
from contextlib import AsyncExitStack, aclosing
from pathlib import Path
from types import SimpleNamespace

import httpx
import pytest
from fake_engine import FakeEngine, words
from prometheus_client.parser import text_string_to_metric_families
from pydantic import SecretStr
from sqlalchemy import text

from bots.conversation import Conversation
from bots.web.app import create_app
from config.errors import Busy, EngineUnavailable
from config.names import VersionName
from console.health import LEAST_ROOM, Readiness, add_health
from console.metrics import TAKEN, PlatformMetrics
from serving.answer import Sampling
from serving.entrance import Entrance
from serving.metrics import NAMED_ASSISTANTS, ServingMetrics
from store.assistants import add_assistant, find_assistant
from store.tables import Account, Job, Promotion

DASHBOARD = Path(__file__).resolve().parents[2] / "docs" / "grafana-dashboard.json"
ENGINE_SAYS = b"""# HELP vllm:num_requests_running Number of requests.
# TYPE vllm:num_requests_running gauge
vllm:num_requests_running{engine="0",model_name="demo"} 2.0
# TYPE vllm:kv_cache_usage_perc gauge
vllm:kv_cache_usage_perc{engine="0",model_name="demo"} 0.25
vllm:lora_requests_info{running_lora_adapters="harbour@v1,garden@v2"} 1.0
vllm:num_requests_running_by_adapter{adapter="harbour@v1"} 1.0
"""
TOKEN = "a-long-enough-token"


class Engine(FakeEngine):
    """Also has figures, and a token to give: `token` is awaited, and may be an error."""

    def __init__(self) -> None:
        super().__init__()
        self.metrics = ServingMetrics()
        self.tokens = 0
        self.error: Exception | None = None

    async def own_metrics(self) -> bytes:
        return ENGINE_SAYS if self.status.state == "ready" else b""

    async def one_token(self) -> None:
        self.tokens += 1
        if self.error is not None:
            raise self.error
        with self.metrics.request(VersionName("base-demo", 0)) as measured:
            measured.piece()
            measured.tokens(5, 1)


@pytest.fixture
async def platform(database, settings):
    """`get(path, client=, **headers)` from a machine with that address; `serve(token)` anew with a token."""
    engine = Engine()
    entrance = Entrance(engine)
    conversation = Conversation(database, settings, engine, words, entrance=entrance)

    def serve(token=None):
        app = create_app(conversation)
        readiness = Readiness(engine, engine.one_token, settings.home)
        add_health(app, database, PlatformMetrics(database, engine, entrance), readiness, token)
        made.app = app

    async def get(path, client="127.0.0.1", **headers):
        way = httpx.ASGITransport(app=made.app, client=(client, 40000))
        async with httpx.AsyncClient(transport=way, base_url="http://localhost") as http:
            return await http.get(path, headers={name.replace("_", "-"): value for name, value in headers.items()})

    made = SimpleNamespace(engine=engine, entrance=entrance, get=get, serve=serve)
    serve()
    yield made
    await conversation.close()


def samples(answer):
    return {
        (sample.name, *sorted(sample.labels.values())): sample.value
        for family in text_string_to_metric_families(answer.text)
        for sample in family.samples
    }


async def test_the_figures_tell_of_engine_line_jobs_promotions_and_accounts(platform, database):
    async with database.session() as session:
        assistant = await add_assistant(session, "harbour", "You are the harbour.", "demo")
        await session.flush()
        session.add_all(
            [
                Job(assistant_id=assistant.id, state="done", asked_by="somebody"),
                Job(assistant_id=assistant.id, state="running", asked_by="somebody", progress={"fraction": 0.25}),
                Promotion(assistant_id=assistant.id, action="promote", after=1, asked_by="somebody"),
                Account(name="town", platform="telegram", external_id="7", username="town", token="t"),
                Account(name="old", platform="telegram", external_id="8", username="old", token="", state="removed"),
            ]
        )
    await platform.engine.one_token()
    answer = await platform.get("/metrics")
    assert answer.status_code == 200 and answer.headers["content-type"].startswith("text/plain")
    found = samples(answer)
    assert found["parlance_engine_state", "ready"] == 1 and found["parlance_engine_state", "warming"] == 0
    assert found["parlance_jobs", "running"] == found["parlance_jobs", "done"] == 1
    assert found["parlance_job_progress_ratio",] == 0.25
    assert found["parlance_promotions_total", "promote"] == 1 and found["parlance_promotions_total", "rollback"] == 0
    assert found["parlance_assistants", "untuned"] == 1 and found["parlance_assistants", "tuned"] == 0
    assert [key for key in found if key[0] == "parlance_accounts"] == [("parlance_accounts", "on", "telegram")]
    assert found["parlance_requests_queued",] == 0 and found["parlance_adapters_resident",] == 1
    assert found["vllm:num_requests_running", "0", "demo"] == 2


async def test_ended_jobs_are_counted_by_assistant_and_a_thousand_of_these_are_fifty_names(platform, database):
    async def counted():
        found = samples(await platform.get("/metrics"))
        return {key[1:]: count for key, count in found.items() if key[0] == "parlance_jobs_ended_total"}

    async def end(name, *states):
        async with database.session() as session:
            row = await find_assistant(session, name)
            session.add_all(Job(assistant_id=row.id, state=state, asked_by="somebody") for state in states)

    async with database.session() as session:
        for number in range(1000):
            await add_assistant(session, f"a{number}", "You are kind.", "demo")
    await end("a7", "done", "done", "failed", "running")
    assert await counted() == await counted() == {("a7", "done"): 2, ("a7", "failed"): 1}
    await end("a7", "cancelled", "done")
    assert await counted() == {("a7", "done"): 3, ("a7", "failed"): 1, ("a7", "cancelled"): 1}
    for number in range(1000):
        await end(f"a{number}", "done")
    found = await counted()
    assert len({name for name, _ in found}) == NAMED_ASSISTANTS + 1
    assert found["a7", "done"] == 4 and sum(found.values()) == 1005


async def test_of_the_engine_s_figures_none_comes_through_that_grows_with_adapters(platform):
    figures = (await platform.get("/metrics")).text
    assert "vllm:kv_cache_usage_perc" in figures
    assert "lora_requests_info" not in figures and "by_adapter" not in figures


async def test_the_figures_are_there_while_the_engine_is_away(platform):
    platform.engine.be("restarting", "The engine ended and is being started again.")
    found = samples(await platform.get("/metrics"))
    assert found["parlance_engine_state", "restarting"] == 1
    assert not any(key[0].startswith("vllm:") for key in found)


@pytest.mark.parametrize("state", ["ready", "unwell"])
async def test_the_figures_are_there_in_seconds_while_the_engine_hangs(platform, state):
    async def hangs():
        await asyncio.sleep(60)

    platform.engine.be(state, "The engine does not answer.")
    platform.engine.own_metrics = hangs
    async with asyncio.timeout(8):  # Prometheus waits ten
        found = samples(await platform.get("/metrics"))
    assert found["parlance_engine_state", state] == 1 and ("parlance_requests_queued",) in found


async def test_whoever_is_turned_away_is_counted_by_why(platform):
    line, sampling = platform.entrance.line, Sampling()

    async def ask(patience):
        answer = platform.entrance.stream(
            VersionName("harbour", 1), [], sampling, assistant="harbour", person="somebody", patience=patience
        )
        async with aclosing(answer) as pieces:
            async for _ in pieces:
                pass

    async def counted():
        found = samples(await platform.get("/metrics"))
        return {key[1]: count for key, count in found.items() if key[0] == "parlance_requests_turned_away_total"}

    await ask(1.0)
    assert await counted() == {"busy": 0, "engine_away": 0, "key_limit": 0}
    async with AsyncExitStack() as places:
        for number in range(line.places):
            await places.enter_async_context(line.place("harbour", f"person {number}"))
        with pytest.raises(Busy):
            await ask(0.01)
    platform.engine.be("restarting", "The engine is being started again.")
    for _ in range(2):
        with pytest.raises(EngineUnavailable):
            await ask(0.01)
    assert await counted() == {"busy": 1, "engine_away": 2, "key_limit": 0}


async def test_who_waits_in_the_line_is_counted(platform):
    line = platform.entrance.line
    gate = asyncio.Event()

    async def stand(number):
        async with line.place("harbour", f"person {number}"):
            await gate.wait()

    standing = [asyncio.create_task(stand(number)) for number in range(line.places + 3)]
    await asyncio.sleep(0)
    assert samples(await platform.get("/metrics"))["parlance_requests_queued",] == 3
    gate.set()
    await asyncio.gather(*standing)
    assert samples(await platform.get("/metrics"))["parlance_requests_queued",] == 0


@pytest.mark.parametrize("headers", [{}, {"x_forwarded_for": "127.0.0.1"}, {"authorization": f"Bearer {TOKEN}"}])
async def test_from_elsewhere_nobody_reads_the_figures_without_a_token_of_the_settings(platform, headers):
    assert (await platform.get("/metrics", client="203.0.113.7", **headers)).status_code == 403


@pytest.mark.parametrize("header", ["x_forwarded_for", "forwarded", "x_real_ip"])
async def test_a_proxy_on_this_machine_does_not_make_its_callers_local(platform, header):
    answer = await platform.get("/metrics", **{header: "203.0.113.7"})
    assert answer.status_code == 403 and "parlance_" not in answer.text


async def test_with_a_token_it_is_the_token_that_counts_wherever_one_comes_from(platform):
    platform.serve(SecretStr(TOKEN))
    for given in (b"", b"Bearer wrong", b"Bearer ", b"Bearer \xe9", TOKEN.encode()[:-1]):
        assert (await platform.get("/metrics", authorization=given)).status_code == 403
    answer = await platform.get("/metrics", client="203.0.113.7", authorization=f"Bearer {TOKEN}")
    assert answer.status_code == 200


async def test_healthy_means_that_the_database_answers(platform, database):
    assert (await platform.get("/healthz", client="203.0.113.7")).json() == {"ok": True}
    platform.engine.be("failed", "The engine failed 3 times in a row.")
    assert (await platform.get("/healthz")).status_code == 200  # starting the process anew would not help
    async with database.session() as session:
        await session.execute(text("ALTER TABLE assistants RENAME TO gone"))
    answer = await platform.get("/healthz")
    assert answer.status_code == 503 and answer.json() == {"ok": False}
    assert (await platform.get("/readyz")).status_code == 503


async def test_ready_means_that_a_token_came_a_moment_ago_or_comes_now(platform):
    assert (await platform.get("/readyz")).json() == {"ready": True}
    assert (await platform.get("/readyz")).status_code == 200
    assert platform.engine.tokens == 1  # the first proves it for a while
    platform.engine.metrics.engine_ended()
    platform.engine.error = EngineUnavailable("The engine broke off.")
    answer = await platform.get("/readyz")
    assert answer.status_code == 503 and answer.json() == {"ready": False}
    platform.engine.error = None
    assert (await platform.get("/readyz")).status_code == 200


async def test_while_the_engine_warms_it_is_not_ready_and_is_not_asked(platform):
    platform.engine.be("warming", "The engine is warming up.")
    assert (await platform.get("/readyz")).status_code == 503
    assert platform.engine.tokens == 0


async def test_many_who_ask_at_once_cost_one_token(platform):
    answers = await asyncio.gather(*(platform.get("/readyz") for _ in range(20)))
    assert {answer.status_code for answer in answers} == {200} and platform.engine.tokens == 1


async def test_a_full_disk_is_not_ready_because_nothing_could_be_logged(platform, monkeypatch):
    monkeypatch.setattr(shutil, "disk_usage", lambda _: SimpleNamespace(free=LEAST_ROOM - 1))
    assert (await platform.get("/readyz")).status_code == 503


async def test_every_query_of_the_dashboard_names_figures_that_there_are(platform):
    await platform.engine.one_token()
    figures = (await platform.get("/metrics")).text
    there = set(re.findall(r"^# TYPE (parlance_\S+)", figures, re.MULTILINE)) | {f"vllm:{name}" for name in TAKEN}
    there |= {name + end for name in there for end in ("_bucket", "_sum", "_count")}
    dashboard = json.loads(DASHBOARD.read_text())
    queries = [target["expr"] for panel in dashboard["panels"] for target in panel.get("targets", ())]
    assert len(queries) > 10
    for query in queries:
        named = re.findall(r"\b(?:parlance_\w+|vllm:\w+)", query)
        assert named and set(named) <= there, query
