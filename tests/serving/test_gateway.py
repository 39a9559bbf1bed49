"""The gateway as clients meet it, over an engine that says what it is told to."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from dataclasses import replace
from typing import Any

import httpx
import openai
import pytest
from gateway_running import GATED, SYSTEM, Door, ToldEngine, ToolWords, made_key, running, two_assistants
from sqlalchemy import text
from structlog.testing import capture_logs
from waiting import until

from config.errors import EngineUnavailable, TooLong
from config.names import VersionName
from config.settings import Settings
from serving import entrance
from serving.gateway import asking
from serving.gateway.limits import Windows
from serving.gateway.tool_calls import CallReader
from serving.status import EngineStatus
from store.database import Database
from store.keys import revoke_key
from store.tables import Assistant, Version

HELLO: list[Any] = [{"role": "user", "content": "Hello"}]
TEXT: Any = {"type": "text", "text": ""}
TOOL: Any = {
    "type": "function",
    "function": {"name": "tide", "description": "When the tide turns", "parameters": {"type": "object"}},
}


@pytest.fixture
async def door(database: Database, settings: Settings) -> AsyncIterator[Door]:
    await two_assistants(database)
    async with running(database, settings, ToldEngine(), ToolWords()) as door:
        yield door


async def events(answer: httpx.Response) -> list[Any]:
    """What a stream said, [DONE] included."""
    lines = [line.removeprefix("data: ") for line in answer.text.split("\n\n") if line]
    return [line if line == "[DONE]" else json.loads(line) for line in lines]


def refusal(answer: httpx.Response) -> Any:
    body = answer.json()
    assert set(body) == {"error"} and set(body["error"]) == {"message", "type", "param", "code"}
    return body["error"]


async def test_an_answer_has_openais_shape_and_names_the_version_that_gave_it(door: Door) -> None:
    async with door.client() as client:
        answer = await client.chat.completions.create(model="harbour", messages=HELLO)
    assert answer.object == "chat.completion" and answer.id.startswith("chatcmpl-")
    assert answer.model == "harbour@v2"
    assert answer.choices[0].message.role == "assistant"
    assert answer.choices[0].message.content == "Hello there."
    assert answer.choices[0].finish_reason == "stop"
    assert answer.usage is not None
    assert (answer.usage.prompt_tokens, answer.usage.completion_tokens, answer.usage.total_tokens) == (7, 2, 9)


async def test_a_stream_ends_with_its_reason_then_the_usage_without_choices_then_done(door: Door) -> None:
    answer = await door.ask(stream=True, stream_options={"include_usage": True})
    assert answer.headers["content-type"].startswith("text/event-stream")
    *said, reason, usage, done = await events(answer)
    assert "".join(one["choices"][0]["delta"].get("content") or "" for one in said) == "Hello there."
    assert said[0]["choices"][0]["delta"]["role"] == "assistant"
    assert reason["choices"][0] == {"index": 0, "delta": {}, "logprobs": None, "finish_reason": "stop"}
    assert usage["choices"] == [] and usage["usage"]["total_tokens"] == 9
    assert all(one["usage"] is None for one in [*said, reason])
    assert done == "[DONE]"
    assert len({one["id"] for one in [*said, reason, usage]}) == 1


async def test_a_stream_that_asks_for_no_usage_gets_none(door: Door) -> None:
    *said, done = await events(await door.ask(stream=True))
    assert done == "[DONE]" and said[-1]["choices"][0]["finish_reason"] == "stop"
    assert not any("usage" in one for one in said)


async def test_what_is_asked_for_is_how_the_answer_is_drawn(door: Door) -> None:
    await door.ask(temperature=0, top_p=0.5, seed=7, stop=["END", ""], max_completion_tokens=20, max_tokens=30, n=1)
    (sampling,) = door.engine.samplings
    assert (sampling.temperature, sampling.top_p, sampling.seed, sampling.stop) == (0, 0.5, 7, ("END",))
    assert sampling.max_tokens == 20
    await door.ask(stop="END", max_tokens=30.0, top_p=0)
    assert door.engine.samplings[1].max_tokens == 30 and 0 < door.engine.samplings[1].top_p < 0.001


async def test_what_is_not_asked_for_is_as_in_the_assistants_chats(door: Door, settings: Settings) -> None:
    await door.ask()
    (sampling,) = door.engine.samplings
    assert sampling.temperature == settings.temperature
    assert sampling.repetition_penalty == settings.repetition_penalty
    assert sampling.max_tokens == min(settings.max_answer_tokens, 100 - len(f"{GATED} 2 Hello".split()))


async def test_unknown_fields_are_ignored(door: Door) -> None:
    answer = await door.ask(store=True, reasoning_effort="low", logit_bias={"50": 1}, user="u", made_up={"a": [1]})
    assert answer.status_code == 200


async def test_content_may_be_text_parts_and_one_side_may_speak_several_times(door: Door) -> None:
    parts = [{"type": "text", "text": "How "}, {"type": "text", "text": "deep?"}]
    said = [
        {"role": "user", "content": "Hello"},
        {"role": "user", "content": parts, "name": "ada"},
        {"role": "assistant", "content": "Three"},
        {"role": "assistant", "content": [{"type": "text", "text": "metres."}]},
        {"role": "user", "content": "Now?"},
    ]
    assert (await door.ask(messages=said)).status_code == 200
    assert door.engine.requests[0][1][1:] == [
        {"role": "user", "content": "Hello\nHow deep?"},
        {"role": "assistant", "content": "Three\nmetres."},
        {"role": "user", "content": "Now?"},
    ]


async def test_the_gated_prompt_leads_and_what_the_client_says_as_system_follows(door: Door) -> None:
    said = [
        {"role": "system", "content": "Be brief."},
        *HELLO,
        {"role": "developer", "content": "No jokes."},
    ]
    await door.ask(messages=said)
    assert door.engine.requests[0][1] == [
        {"role": "system", "content": f"{GATED} 2\n\nBe brief.\n\nNo jokes."},
        {"role": "user", "content": "Hello"},
    ]


async def test_a_key_may_let_the_client_lead(door: Door) -> None:
    key, _ = await made_key(door.database, leads="client")
    await door.ask(key, messages=[{"role": "system", "content": "Be brief."}, *HELLO])
    await door.ask(key)
    prompts = [messages[0]["content"] for _, messages in door.engine.requests]
    assert prompts == ["Be brief.", f"{GATED} 2"]


async def test_no_client_writes_control_tokens(door: Door) -> None:
    said = [{"role": "system", "content": "a<|end|>b"}, {"role": "user", "content": [TEXT | {"text": "c<|end|>d"}]}]
    await door.ask(messages=said)
    system, user = door.engine.requests[0][1]
    assert system["content"].endswith("\n\nab") and user["content"] == "cd"


async def test_a_name_follows_promotions_and_a_pinned_one_stays(door: Door) -> None:
    await door.ask(model="harbour")
    await door.ask(model="harbour@v1")
    async with door.database.session() as session:
        (await session.get_one(Assistant, 1)).in_service = 1
    await door.ask(model="harbour")
    await door.ask(model="garden")
    asked = [(str(version), messages[0]["content"]) for version, messages in door.engine.requests]
    assert asked == [
        ("harbour@v2", f"{GATED} 2"),
        ("harbour@v1", f"{GATED} 1"),
        ("harbour@v1", f"{GATED} 1"),
        ("base-demo@v0", "You are the garden."),
    ]


async def test_what_is_no_model_is_not_found(door: Door) -> None:
    names = (
        "nobody", "harbour@v3", "harbour@v9", "harbour@v0", "garden@v1", "base-demo@v0", "harbour@", "harbour@v01",
        "../harbour", "", "Ω", "x" * 5000, "harbour\ud800",
    )  # fmt: skip
    for name in names:
        error = refusal(await door.ask(model=name))
        assert (error["code"], error["param"], error["type"]) == ("model_not_found", "model", "invalid_request_error")
        assert len(error["message"]) < 250
    assert door.engine.requests == []


async def test_a_version_that_learnt_from_deleted_words_is_no_model_where_the_policy_bars_it(door: Door) -> None:
    async with door.database.session() as session:
        version = await session.get_one(Version, 1)
        version.forgotten_at = version.created_at
    assert (await door.ask(model="harbour@v1")).status_code == 200
    async with door.database.session() as session:
        (await session.get_one(Assistant, 1)).on_forget = "withdraw"
    assert (await door.ask(model="harbour@v1")).status_code == 404


async def test_models_are_those_of_the_keys_scope(door: Door) -> None:
    key, _ = await made_key(door.database, assistants=["garden"])
    async with door.client() as everything, door.client(key) as some:
        assert [one.id async for one in everything.models.list()] == ["garden", "harbour", "harbour@v1", "harbour@v2"]
        assert [one.id async for one in some.models.list()] == ["garden"]
        one = await everything.models.retrieve("harbour@v1")
        assert (one.id, one.object, one.owned_by) == ("harbour@v1", "model", "parlance") and one.created > 1e9
        for name in ("harbour", "harbour@v1"):
            with pytest.raises(openai.NotFoundError):
                await some.models.retrieve(name)
            with pytest.raises(openai.NotFoundError):
                await some.chat.completions.create(model=name, messages=HELLO)
        assert (await some.chat.completions.create(model="garden", messages=HELLO)).model == "garden"


async def test_only_a_key_that_is_one_gets_in_and_a_cookie_is_none(door: Door) -> None:
    headers: list[dict[str, str]] = [
        {}, {"Authorization": "Bearer"}, {"Authorization": f"Basic {door.key}"}, {"Cookie": f"parlance={door.key}"},
        {"Authorization": f"Bearer {door.key[:-1]}"}, {"Authorization": f"Bearer {door.key}x"},
        {"Authorization": "Bearer " + door.key.replace(door.key[-6:], "AAAAAA")}, {"Authorization": "Bearer sk-1"},
    ]  # fmt: skip
    async with httpx.AsyncClient(base_url=door.address, trust_env=False, verify=False) as http:
        for one in headers:
            for answer in (
                await http.get("/v1/models", headers=one),
                await http.post("/v1/chat/completions", headers=one, content=b"{not json"),
                await http.get("/v1/nowhere", headers=one),
                await http.get("/v1/openapi.json", headers=one),
            ):
                assert answer.status_code == 401
                assert answer.headers["www-authenticate"] == "Bearer"
                assert refusal(answer)["code"] == "invalid_api_key"
        page = {"Authorization": f"bearer {door.key}", "Origin": "https://elsewhere.example"}
        assert (await http.get("/v1/models", headers=page)).status_code == 200


async def test_a_revoked_key_is_none_from_that_moment_on(door: Door) -> None:
    key, row = await made_key(door.database, "leaving")
    assert (await door.ask(key)).status_code == 200
    async with door.database.session() as session:
        await revoke_key(session, row.prefix)
    assert (await door.ask(key)).status_code == 401
    again, _ = await made_key(door.database, "leaving")
    assert (await door.ask(again)).status_code == 200 and (await door.ask(key)).status_code == 401


async def test_more_than_a_keys_limit_is_told_when_to_come_back(door: Door) -> None:
    key, _ = await made_key(door.database, a_minute=2)
    assert [(await door.ask(key)).status_code for _ in range(2)] == [200, 200]
    answer = await door.ask(key)
    assert answer.status_code == 429 and refusal(answer)["code"] == "rate_limit_exceeded"
    assert 1 <= int(answer.headers["retry-after"]) <= 60
    assert (await door.ask()).status_code == 200
    async with door.client(key) as client:
        with pytest.raises(openai.RateLimitError):
            await client.models.list()
    assert door.entrance.turned_away == {"busy": 0, "engine_away": 0, "key_limit": 2}


def test_no_sixty_seconds_hold_more_than_the_limit() -> None:
    moment = 0.0
    windows = Windows(lambda: moment)
    passed = []
    for _ in range(1000):
        wait = windows.take(1, 5)
        if wait:
            moment += wait / 3
        else:
            passed.append(moment)
            moment += 0.7
    assert all(later - earlier >= 60 for earlier, later in zip(passed, passed[5:], strict=False))
    assert len(passed) > moment / 60 * 4.5
    assert windows.take(2, 5) == 0


async def test_a_prompt_that_is_too_long_has_the_code_that_clients_look_for(door: Door) -> None:
    error = refusal(await door.ask(messages=[{"role": "user", "content": "word " * 95}]))
    assert error["code"] == "context_length_exceeded" and "maximum context length is 100 tokens" in error["message"]
    async with door.client() as client:
        with pytest.raises(openai.BadRequestError) as caught:
            await client.chat.completions.create(model="harbour", messages=[{"role": "user", "content": "a " * 200}])
    assert caught.value.code == "context_length_exceeded"
    assert door.engine.requests == []


async def test_more_answer_than_there_is_room_for_is_cut_to_the_room(door: Door) -> None:
    assert (await door.ask(max_tokens=5000)).status_code == 200
    assert door.engine.samplings[0].max_tokens == 100 - len(f"{GATED} 2 Hello".split())
    nearly = [{"role": "user", "content": "word " * 88}]  # leaves four tokens
    assert (await door.ask(messages=nearly, max_tokens=4)).status_code == 200
    assert refusal(await door.ask(messages=nearly))["code"] == "context_length_exceeded"


@pytest.mark.parametrize("state", ["warming", "unwell", "restarting"])
async def test_who_asks_while_the_engine_is_away_waits_and_is_answered(door: Door, state: str) -> None:
    door.engine.be(state, "The engine is not there.")
    waiting = [asyncio.create_task(door.ask(stream=stream)) for stream in (True, False)]
    async with door.client() as client:
        assert (await client.models.list()).data
        waiting.append(asyncio.create_task(client.chat.completions.create(model="harbour", messages=HELLO)))
        await until(lambda: door.line.taken == 3)
        assert (await door.ask(model="nobody")).status_code == 404  # which no engine has to say
        assert not any(task.done() for task in waiting) and not door.engine.requests
        door.engine.be("ready", "The engine is ready.")
        streamed, whole, completion = await asyncio.gather(*waiting)
    assert (streamed.status_code, whole.status_code) == (200, 200) and "[DONE]" in streamed.text
    assert completion.choices[0].message.content == "Hello there."


async def test_a_client_that_waits_for_the_engine_and_goes_away_leaves_its_place(door: Door) -> None:
    door.engine.be("restarting", "The engine is being started again.")
    waiting = asyncio.create_task(door.ask())
    await until(lambda: door.line.taken == 1)
    waiting.cancel()
    await until(lambda: door.line.taken == 0)
    assert not door.engine.requests


async def test_once_the_deadline_is_over_a_client_is_told_when_to_come_back(
    door: Door, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(asking, "LONGEST_WAIT", 0.1)
    door.engine.be("restarting", "The engine is being started again.")
    answer = await door.ask(stream=True)
    assert answer.status_code == 503 and answer.headers["retry-after"] == "5"
    assert refusal(answer) == {
        "message": "The engine is being started again.", "type": "server_error", "param": None,
        "code": "engine_unavailable",
    }  # fmt: skip
    assert door.line.taken == 0


async def test_where_it_is_known_to_take_longer_than_the_deadline_a_client_is_told_at_once(door: Door) -> None:
    door.engine.be("warming", "The engine is warming up.")
    door.engine.status = replace(door.engine.status, seconds_left=400.0)
    assert (await door.ask()).headers["retry-after"] == "60"  # more is no answer to OpenAI's client
    door.engine.be("failed", "The engine failed.")
    async with door.client() as client:
        with pytest.raises(openai.InternalServerError, match="The engine failed"):
            await client.chat.completions.create(model="harbour", messages=HELLO)


async def test_once_it_is_known_that_the_engine_rests_for_longer_nobody_waits_for_nothing(
    door: Door, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(entrance, "LOOK_AGAIN_SECONDS", 0.05)
    door.engine.be("asleep", "The assistants rest while ada learns.")
    waiting = [asyncio.create_task(door.ask()) for _ in range(3)]
    await until(lambda: door.line.taken == 3)
    told = "The assistants rest while ada learns, for about 20 minutes more."
    door.engine.status = EngineStatus("asleep", told, 1200.0)
    for answer in await asyncio.gather(*waiting):
        assert answer.status_code == 503 and answer.headers["retry-after"] == "60"
        assert refusal(answer)["message"] == told
    assert door.line.taken == 0 and not door.engine.requests
    waiting = [asyncio.create_task(door.ask())]
    door.engine.status = EngineStatus("asleep", told, 200.0)  # that is in time
    await until(lambda: door.line.taken == 1)
    door.engine.be("ready", "The engine is ready.")
    assert (await waiting[0]).status_code == 200


async def test_nobody_stands_in_line_for_an_engine_that_will_not_be_there_in_time(
    database: Database, settings: Settings
) -> None:
    await two_assistants(database)
    engine = ToldEngine()
    engine.be("asleep", "The assistants rest.")
    async with running(database, settings, engine, ToolWords(), requests=1, longest=2) as door:
        first = asyncio.create_task(door.ask())
        await until(lambda: door.line.taken == 1)
        engine.status = EngineStatus("asleep", "The assistants rest for about 20 minutes more.", 1200.0)
        late = await door.ask()
        assert late.status_code == 503 and "20 minutes" in refusal(late)["message"]
        assert door.line.waiting == 0
        engine.be("ready", "The engine is ready.")
        assert (await first).status_code == 200


async def test_a_full_line_before_an_engine_that_is_away_is_no_fault_of_the_others(
    database: Database, settings: Settings
) -> None:
    await two_assistants(database)
    engine = ToldEngine()
    engine.be("restarting", "The engine is being started again.")
    async with running(database, settings, engine, ToolWords(), requests=1, longest=2) as door:
        waiting = [asyncio.create_task(door.ask()) for _ in range(3)]
        await until(lambda: door.line.waiting == 2)
        late = await door.ask()
        assert late.status_code == 503 and "started again" in refusal(late)["message"]
        engine.be("ready", "The engine is ready.")
        assert {answer.status_code for answer in await asyncio.gather(*waiting)} == {200}


async def test_when_too_many_ask_the_rest_are_told_when_to_come_back(database: Database, settings: Settings) -> None:
    await two_assistants(database)
    go = asyncio.Event()
    engine = ToldEngine([[go, "Done."]])
    async with running(database, settings, engine, ToolWords(), requests=1, longest=8) as door:
        waiting = [asyncio.create_task(door.ask()) for _ in range(20)]
        done, _ = await asyncio.wait(waiting, return_when=asyncio.FIRST_COMPLETED)
        first = done.pop().result()
        assert first.status_code == 429 and int(first.headers["retry-after"]) >= 5
        assert refusal(first)["code"] == "rate_limit_exceeded"
        go.set()
        codes = [answer.status_code for answer in await asyncio.gather(*waiting)]
    assert codes.count(200) == 9 and codes.count(429) == 11
    assert engine.most_running == 1


async def test_what_cannot_be_done_is_refused_in_words_and_names_its_field(door: Door) -> None:
    wrong: list[tuple[Any, str]] = [
        ({"n": 2}, "n"),
        ({"messages": []}, "messages"),
        ({"messages": "Hello"}, "messages"),
        ({"messages": [{"role": "wizard", "content": "x"}]}, "messages[0].role"),
        ({"messages": [{"content": "x"}]}, "messages[0].role"),
        ({"messages": [*HELLO, {"role": "user", "content": 7}]}, "messages[1].content"),
        ({"messages": [{"role": "user", "content": [{"type": "image_url", "image_url": {"url": "x"}}]}]},
         "messages[0].content[0].type"),
        ({"temperature": 3}, "temperature"),
        ({"temperature": "1"}, "temperature"),
        ({"top_p": -1}, "top_p"),
        ({"max_tokens": 0}, "max_tokens"),
        ({"stop": ["x"] * 17}, "stop"),
        ({"seed": 1.5}, "seed"),
        ({"stream": "yes"}, "stream"),
        ({"model": None}, "model"),
        ({"response_format": {"type": "json_object"}}, "response_format"),
        ({"tool_choice": "required", "tools": [TOOL]}, "tool_choice"),
        ({"tools": [TOOL]}, "tools"),
        ({"messages": [*HELLO, {"role": "tool", "content": "x", "tool_call_id": "a"}]}, "messages"),
    ]  # fmt: skip
    for body, param in wrong:
        answer = await door.ask(**body)
        assert answer.status_code == 400
        error = refusal(answer)
        assert error["param"] == param and error["type"] == "invalid_request_error" and len(error["message"]) > 20
    assert door.engine.requests == []


async def test_every_failure_has_openais_shape(door: Door) -> None:
    headers = {"Authorization": f"Bearer {door.key}"}
    json_headers = headers | {"Content-Type": "application/json"}
    async with httpx.AsyncClient(base_url=door.address, trust_env=False, verify=False, headers=headers) as http:
        chat = "/v1/chat/completions"
        answers = {
            404: await http.get("/v1/embeddings"),
            405: await http.get(chat),
            400: await http.post(chat, content=b"{not json", headers=json_headers),
            413: await http.post(chat, content=b"0" * 4_000_001, headers=json_headers),
        }
        assert {code: answer.status_code for code, answer in answers.items()} == {code: code for code in answers}
        for answer in answers.values():
            assert len(refusal(answer)["message"]) > 20
        assert answers[405].headers["allow"] == "POST"
        plain = await http.post(chat, content=b"hello", headers={"Content-Type": "text/plain"})
        assert plain.status_code == 400 and "application/json" in refusal(plain)["message"]

        async def endless() -> AsyncIterator[bytes]:
            for _ in range(5):
                yield b" " * 1_000_000

        assert refusal(await http.post(chat, content=endless(), headers=json_headers))["type"]
        deep = await http.post(chat, content=b"[" * 200_000, headers=json_headers)
        assert deep.status_code == 400 and refusal(deep)
    assert refusal(await door.ask(messages=[{"role": "user", "content": "\ud800" * 90 + " word" * 99}]))


async def test_a_database_that_breaks_while_the_key_is_looked_up_is_told_in_openais_shape(door: Door) -> None:
    async with door.database.session() as session:
        await session.execute(text("ALTER TABLE client_keys RENAME TO gone"))
    with capture_logs() as logged:
        answer = await door.ask()
    assert answer.status_code == 500 and refusal(answer)["type"] == "server_error"
    assert [one["kind"] for one in logged if one["event"] == "gateway_broke"] == ["OperationalError"]
    assert door.key not in str(logged)


@pytest.mark.parametrize("stream", [True, False])
async def test_what_only_the_engine_finds_too_long_has_the_code_that_clients_look_for(door: Door, stream: bool) -> None:
    door.engine.script = [[TooLong("The conversation is too long for this model; say it in fewer words.")]]
    answer = await door.ask(stream=stream)
    error = refusal(answer)
    assert answer.status_code == 400 and (error["code"], error["param"]) == ("context_length_exceeded", "messages")


async def test_an_engine_that_breaks_off_is_asked_once_more_for_all_or_the_rest_and_then_it_is_said(door: Door) -> None:
    broken = EngineUnavailable("The engine broke off in the middle of the answer; ask again.")
    door.engine.script = [[broken], ["Here", " I am."]]
    assert (await door.ask()).json()["choices"][0]["message"]["content"] == "Here I am."
    door.engine.script = [[broken]]
    answer = await door.ask(stream=True)
    assert answer.status_code == 503 and refusal(answer)["code"] == "engine_unavailable"
    door.engine.script = [["Here", broken], ["I am."]]
    assert (await door.ask()).json()["choices"][0]["message"]["content"] == "I am."  # nothing of it was shown
    door.engine.script = [["Here", broken], [" I", " am."]]
    *said, usage, done = await events(await door.ask(stream=True, stream_options={"include_usage": True}))
    assert done == "[DONE]" and [one["choices"][0]["delta"].get("content") for one in said] == [
        "", "Here", " I", " am.", None,
    ]  # fmt: skip
    assert usage["usage"] == {"prompt_tokens": 6, "completion_tokens": 3, "total_tokens": 9}
    door.engine.script = [["Here", broken], [broken]]
    *said, last = await events(await door.ask(stream=True))
    assert last["error"]["message"] == str(broken) and "[DONE]" not in said
    door.engine.script = [["Here", broken], [broken]]
    async with door.client() as client:
        with pytest.raises(openai.APIError, match="broke off"):
            async for _ in await client.chat.completions.create(model="harbour", messages=HELLO, stream=True):
                pass


async def test_what_nobody_expected_is_a_sentence_and_no_word_of_it_is_logged(
    door: Door, caplog: pytest.LogCaptureFixture
) -> None:
    door.engine.script = [["Here", ValueError("the word xylophone")]]
    with capture_logs() as logged:
        *_, last = await events(await door.ask(stream=True))
        door.engine.script = [[ValueError("the word xylophone")]]
        answers = [await door.ask(stream=stream) for stream in (True, False)]
    assert last["error"]["type"] == "server_error" and "xylophone" not in json.dumps(last)
    for answer in answers:
        assert answer.status_code == 500 and refusal(answer)["type"] == "server_error"
        assert "xylophone" not in answer.text
    assert "xylophone" not in str(logged) + caplog.text
    assert [one["kind"] for one in logged if one["event"] == "gateway_broke"] == ["ValueError", "ValueError"]


@pytest.mark.parametrize("stream", [True, False])
@pytest.mark.parametrize("script", [["Hello"], []])
async def test_a_client_that_goes_away_ends_its_request_in_the_engine(
    door: Door, stream: bool, script: list[Any]
) -> None:
    never = asyncio.Event()
    door.engine.script = [[*script, never]]
    asked = asyncio.create_task(door.ask(stream=stream))
    await until(lambda: door.engine.running == 1)
    asked.cancel()
    await until(lambda: door.engine.running == 0)
    assert door.engine.closed == 1


async def test_what_is_said_is_in_no_log_and_no_file(door: Door, settings: Settings) -> None:
    door.engine.script = [["The answer is vermilion."]]
    with capture_logs() as logged:
        await door.ask(messages=[{"role": "user", "content": "Say xylophone"}], user="zebra")
        await door.ask(stream=True, messages=[{"role": "user", "content": "xylophone " * 99}])
        await door.ask(messages=[{"role": "user", "content": {"xylophone": 1}}])
    assert any(one["event"] == "gateway_answer" and one["key"] == "everything" for one in logged)
    written = b"".join(file.read_bytes() for file in settings.home.rglob("*") if file.is_file())
    for word in ("xylophone", "vermilion", "zebra", door.key):
        assert word not in str(logged)
        assert word.encode() not in written


async def called(database: Database, settings: Settings, script: list[Any], **body: Any) -> tuple[Any, ToldEngine]:
    """What a client with tools is answered, and the engine that was asked."""
    await two_assistants(database)
    engine = ToldEngine([script])
    async with running(database, settings, engine, ToolWords(knows_tools=True)) as door:
        answer = await door.ask(**{"tools": [TOOL]} | body)
    assert answer.status_code == 200, answer.text
    return answer, engine


CALL = ["Let me see.\n<tool", '_call>\n{"name": "tide", "arguments": {"day": "Mon', 'day"}}\n</tool_call>']


async def test_a_tool_call_comes_as_openai_has_it(database: Database, settings: Settings) -> None:
    answer, engine = await called(database, settings, [*CALL, "\n"])
    choice = answer.json()["choices"][0]
    assert choice["finish_reason"] == "tool_calls"
    assert choice["message"]["content"] == "Let me see."
    (call,) = choice["message"]["tool_calls"]
    assert call["function"] == {"name": "tide", "arguments": '{"day": "Monday"}'} and call["id"].startswith("call_")
    body = engine.samplings[0].body()
    assert body["tools"] == [TOOL] and body["temperature"] == settings.temperature


async def test_tool_calls_stream_whole_each_with_its_index(database: Database, settings: Settings) -> None:
    await two_assistants(database)
    engine = ToldEngine([[*CALL, "\n<tool", *CALL[1:]]])
    async with running(database, settings, engine, ToolWords(knows_tools=True)) as door, door.client() as client:
        stream = await client.chat.completions.create(model="harbour", messages=HELLO, tools=[TOOL], stream=True)
        choices = [chunk.choices[0] async for chunk in stream]
    calls = [call for choice in choices for call in choice.delta.tool_calls or ()]
    assert [(call.index, call.function.name) for call in calls if call.function] == [(0, "tide"), (1, "tide")]
    assert len({call.id for call in calls}) == 2
    assert "".join(choice.delta.content or "" for choice in choices) == "Let me see."
    assert choices[-1].finish_reason == "tool_calls"


async def test_what_tools_said_is_passed_on(database: Database, settings: Settings) -> None:
    call = {"id": "call_1", "type": "function", "function": {"name": "tide", "arguments": '{"day":"<|end|>Mon"}'}}
    said = [
        *HELLO,
        {"role": "assistant", "content": None, "tool_calls": [call]},
        {"role": "tool", "tool_call_id": "call_1", "content": "At <|end|>six."},
        {"role": "user", "content": "Thanks"},
    ]
    _, engine = await called(database, settings, ["At six."], messages=said)
    _, asked, answered, _ = engine.requests[0][1][1:]
    assert asked["tool_calls"][0]["function"] == {"name": "tide", "arguments": '{"day": "Mon"}'}  # type: ignore[typeddict-item]
    assert answered == {"role": "tool", "content": "At six.", "tool_call_id": "call_1"}


async def test_tools_that_may_not_be_called_are_not_told(database: Database, settings: Settings) -> None:
    _, engine = await called(database, settings, ["No."], tool_choice="none")
    assert "tools" not in engine.samplings[0].body()


@pytest.mark.parametrize("size", [1, 2, 7, 1000])
@pytest.mark.parametrize(
    ("said", "shown", "names"),
    [
        ("No call, but a < and a <tool here. ", "No call, but a < and a <tool here. ", []),
        ('<tool_call>{"name": "a", "arguments": {}}</tool_call>', "", ["a"]),
        ('A\n\n<tool_call>\n{"name": "a"}\n</tool_call>\n<tool_call>{"name": "b"}</tool_call>', "A", ["a", "b"]),
        ("<tool_call>not json</tool_call> B", "<tool_call>not json</tool_call> B", []),
        ('<tool_call>{"name": 7}</tool_call>', '<tool_call>{"name": 7}</tool_call>', []),
        ('<tool_call>{"name": "a"}', "", ["a"]),
        ('<tool_call>{"name": "a', '<tool_call>{"name": "a', []),
        ("ends with <tool_ca", "ends with <tool_ca", []),
    ],
)
def test_calls_are_read_however_the_answer_is_cut(said: str, shown: str, names: list[str], size: int) -> None:
    reader = CallReader()
    found = [one for at in range(0, len(said), size) for one in reader.feed(said[at : at + size])] + reader.finish()
    assert "".join(one for one in found if isinstance(one, str)) == shown
    assert [call.function.name for call in reader.calls] == names


def test_the_prompts_of_the_versions_differ_from_the_assistants() -> None:
    """Else the tests above would prove nothing."""
    assert SYSTEM not in (f"{GATED} 1", f"{GATED} 2") and VersionName("harbour", 2).number == 2
