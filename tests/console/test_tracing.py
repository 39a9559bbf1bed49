"""Spans of a message, as a collector on loopback receives them over OTLP. In a process of its own: OpenTelemetry's
exporter is a process's for good."""

from __future__ import annotations

import asyncio
import json
import os
import sys
from pathlib import Path

import pytest
from aiohttp import web
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest

from config.errors import BadInput
from console.tracing import traced

ROOT = Path(__file__).resolve().parents[2]
SECRET = "the treasure lies under the third lamp"
SCRIPT = """
import asyncio, sys
from pathlib import Path
from bots.conversation import Conversation
from bots.incoming import Incoming
from config.request import working_for
from config.settings import load_settings
from console.tracing import traced
from engine_stub import engine_stub
from fake_engine import words
from serving.router import set_route
from serving.status import EngineStatus
from store.assistants import add_assistant
from store.database import open_database

SECRET = "the treasure lies under the third lamp"

class Engine:
    status = EngineStatus("ready", "The engine is ready.", 0.0)
    async def wait_ready(self): pass

async def main():
    settings = load_settings()
    database = await open_database(settings)
    async with traced(settings.traces), engine_stub(Path(sys.argv[1])) as stub:
        engine = Engine()
        engine.client = stub.client
        async with database.session() as session:
            await add_assistant(session, "harbour", "You are the harbour.", "demo")
            await set_route(session, "default", "", "harbour")
        conversation = Conversation(database, settings, engine, words)
        for number, status in ((1, 200), (2, 400)):
            stub.status = status
            with working_for("chat", f"request-{number}"):
                said = Incoming("web", "web:a", "1", SECRET, "member", SECRET, f"m{number}")
                async for event in conversation.handle(said):
                    pass
        await conversation.close()
    await database.close()

asyncio.run(main())
"""


@pytest.fixture
async def collector():
    """Its address, and the spans that it was sent, by name."""
    spans = []

    async def take(request):
        sent = ExportTraceServiceRequest.FromString(await request.read())
        spans.extend(span for one in sent.resource_spans for scope in one.scope_spans for span in scope.spans)
        return web.Response()

    app = web.Application()
    app.router.add_post("/v1/traces", take)
    runner = web.AppRunner(app)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    yield f"http://127.0.0.1:{site._server.sockets[0].getsockname()[1]}", spans
    await runner.cleanup()


async def run(home, folder, address):
    paths = os.pathsep.join(map(str, (ROOT, ROOT / "tests" / "bots", ROOT / "tests" / "serving")))
    environment = dict(os.environ) | {"PYTHONPATH": paths, "PARLANCE_HOME": str(home), "PARLANCE_TRACES": address}
    environment["NO_PROXY"] = "127.0.0.1"
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-c", SCRIPT, str(folder), env=environment, cwd=ROOT, stderr=asyncio.subprocess.PIPE
    )
    _, errors = await process.communicate()
    return process.returncode, errors.decode()


def facts(span):
    return {one.key: one.value.string_value or one.value.int_value for one in span.attributes}


async def test_a_message_is_a_span_with_route_prompt_and_engine_and_no_word_of_it(home, tmp_path, collector):
    address, spans = collector
    done, errors = await run(home, tmp_path, address)
    assert done == 0, errors
    whole, broken = [span for span in spans if span.name == "message"]
    of = {span.name: span for span in spans if span.trace_id == whole.trace_id}
    assert set(of) == {"message", "route", "prompt", "engine"}
    assert of["route"].parent_span_id == of["prompt"].span_id
    assert of["prompt"].parent_span_id == of["engine"].parent_span_id == whole.span_id
    assert facts(whole) == {"request": "request-1", "platform": "web"}
    assert facts(of["engine"])["request"] == "request-1" and facts(of["engine"])["answer_tokens"] == 3
    assert [event.name for event in of["engine"].events] == ["first text"]
    refused = next(span for span in spans if span.name == "engine" and span.trace_id == broken.trace_id)
    assert facts(refused)["outcome"] == "refused" and refused.status.message == "BadInput" and not refused.events
    assert "treasure" not in json.dumps([str(span) for span in spans])


async def test_without_a_collector_that_takes_them_messages_are_answered_all_the_same(home, tmp_path):
    done, errors = await run(home, tmp_path, "http://127.0.0.1:9")
    assert done == 0, errors


@pytest.mark.parametrize("address", ["localhost:4318", "ftp://collector", "http://", "/v1/traces"])
async def test_an_address_that_is_none_is_one_sentence(address):
    with pytest.raises(BadInput, match="collector"):
        async with traced(address):
            pass
