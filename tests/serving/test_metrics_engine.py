"""Figures and request ids with the real engine."""

from __future__ import annotations

import json
import re

from config.request import working_for
from console.metrics import TAKEN
from serving.client import CHAT, Sampling


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
