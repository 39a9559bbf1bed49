"""Figures and request ids with the real engine."""

from __future__ import annotations

import asyncio
import json
import random
import re
import shutil

from adapter_making import random_adapter

from config.names import VersionName
from config.request import working_for
from console.metrics import TAKEN
from serving.adapters import publish
from serving.answer import Sampling
from serving.client import CHAT

HELLO = [{"role": "user", "content": "Hello, I need a taxi."}]


async def test_the_engine_has_the_figures_that_are_taken_from_it(engine):
    found = set(re.findall(rb"^# TYPE vllm:(\S+)", await engine.client.own_metrics(), re.MULTILINE))
    assert {name.encode() for name in TAKEN} <= found


async def test_the_engine_works_under_the_id_that_our_log_has_and_what_it_gave_is_counted(engine):
    messages = [{"role": "user", "content": "Hello"}]
    version = engine.supervisor.untuned
    of = {"assistant": "harbour", "origin": "chat"}

    def counted() -> tuple[float, float]:
        read = engine.client.metrics.registry.get_sample_value
        return read("parlance_answer_tokens_total", of) or 0, read("parlance_prompt_tokens_total", of) or 0

    before = counted()  # the engine and its client are shared by all tests
    with working_for("chat") as request:
        request.asks("harbour")
        finished = await engine.client.answer(version, messages, Sampling(max_tokens=4, temperature=0.0))
        body = {"model": str(version), "messages": messages, "max_tokens": 1}
        async with engine.client._http.post(
            CHAT, data=json.dumps(body), headers={"X-Request-Id": request.id}
        ) as answer:
            assert request.id in (await answer.json())["id"]
    assert counted() == (before[0] + finished.answer_tokens, before[1] + finished.prompt_tokens)


async def test_the_engine_keeps_no_figure_of_each_set_of_adapters_that_ran_together(engine):
    names = [VersionName("figures", number) for number in range(1, 7)]
    for name in names:
        staged = random_adapter(engine.paths.jobs / f"staged-{name}", name.number)
        publish(staged, engine.paths.adapter(name), {"base_model": "demo"})
    drawn = random.Random(5)
    for _ in range(8):
        asked = [Sampling(max_tokens=drawn.randint(2, 12), temperature=0.0) for _ in range(4)]
        together = zip(drawn.sample(names, 4), asked, strict=True)
        await asyncio.gather(*(engine.client.answer(name, HELLO, sampling) for name, sampling in together))
    told = (await engine.client.own_metrics()).splitlines()
    assert not [line for line in told if b"figures@v" in line]
    assert any(line.startswith(b"vllm:num_requests_running{") for line in told)
    shutil.rmtree(engine.paths.adapter(names[0]).parent)
