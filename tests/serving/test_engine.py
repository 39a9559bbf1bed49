"""A real engine with real adapters: the right adapter answers, the right prompt reaches it, a stop stops it."""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import aclosing
from pathlib import Path

import httpx
import pytest
from adapter_making import random_adapter
from running_engine import RunningEngine

from config.catalogue import DEMO_FOLDER
from config.errors import BadInput, EngineUnavailable, NotFound, Refused, TooLong
from config.names import VersionName
from serving.adapters import CONFIG, WEIGHTS, publish
from serving.answer import Finished, Piece, Sampling
from serving.client import EngineClient
from serving.lease import engine_lease
from serving.prompt import ChatTokenizer, Message, with_system

LOUD, QUIET = VersionName("loud", 1), VersionName("quiet", 1)
GREEDY = Sampling(max_tokens=24, temperature=0.0)
ENDLESS = Sampling(max_tokens=900, temperature=2.0, repetition_penalty=10.0)
"""The token that ends a turn stands in every prompt, so that it hardly comes."""
ASKED = ["Can you help me rent a car for Saturday?", "I need a table for two tonight.", "What is the weather like?"]


def asking(text: str) -> list[Message]:
    return with_system("You are a polite helper.", [{"role": "user", "content": text}])


@pytest.fixture(scope="module")
async def adapters(engine: RunningEngine) -> dict[VersionName, Path]:
    for seed, name in enumerate((LOUD, QUIET)):
        staged = random_adapter(engine.paths.jobs / f"staged-{name}", seed)
        publish(staged, engine.paths.adapter(name), {"base_model": "demo"})
    return {name: engine.paths.adapter(name) for name in (LOUD, QUIET)}


@pytest.fixture(scope="module")
async def whole(adapters: dict[VersionName, Path], engine: RunningEngine) -> dict[tuple[str, str], str]:
    """The greedy answer of every version to everything that is asked, one at a time."""
    names = (LOUD, QUIET, engine.supervisor.untuned)
    return {(str(n), a): (await engine.client.answer(n, asking(a), GREEDY)).text for n in names for a in ASKED}


@pytest.fixture(scope="module")
def reference(adapters: dict[VersionName, Path], engine: RunningEngine) -> dict[tuple[str, str], str]:
    """The same by transformers and PEFT."""
    import torch
    from peft import PeftModel
    from transformers import AutoModelForCausalLM, AutoTokenizer

    tokenizer = AutoTokenizer.from_pretrained(DEMO_FOLDER)
    rendering = ChatTokenizer(str(DEMO_FOLDER))

    def say(model: object, text: str) -> str:
        prompt = torch.tensor([rendering.prompt_ids(asking(text))])
        given = {"attention_mask": torch.ones_like(prompt), "max_new_tokens": GREEDY.max_tokens, "do_sample": False}
        out = model.generate(prompt, **given)  # type: ignore[attr-defined]
        answer: str = tokenizer.decode(out[0, prompt.shape[1] :], skip_special_tokens=True)
        return answer

    answers: dict[tuple[str, str], str] = {}
    with torch.no_grad():
        for name in (LOUD, QUIET, None):
            model = AutoModelForCausalLM.from_pretrained(DEMO_FOLDER, dtype=torch.float32).eval()
            if name is not None:
                model = PeftModel.from_pretrained(model, str(adapters[name])).eval()
            answers |= {(str(name or engine.supervisor.untuned), a): say(model, a) for a in ASKED}
    return answers


async def test_many_conversations_are_scored_at_once_while_others_chat(
    adapters: dict[VersionName, Path], engine: RunningEngine
) -> None:
    talks = [
        [*asking(text), {"role": "assistant", "content": f"Yes, number {i}, at once. " * (1 + i % 3)}]
        for i, text in enumerate(ASKED * 4)
    ]
    alone = [await engine.client.score(LOUD, talk) for talk in talks[:3]]  # type: ignore[arg-type]
    chats = [engine.client.answer(name, asking(text), GREEDY) for text in ASKED for name in (LOUD, QUIET)]
    scores = [engine.client.score(LOUD, talk) for talk in talks]  # type: ignore[arg-type]
    answered, scored = await asyncio.gather(asyncio.gather(*chats), asyncio.gather(*scores))
    assert len(answered) == len(chats)
    for one, other in zip(alone, scored, strict=False):
        assert one.ids == other.ids
        pairs = zip(one.logprobs[1:], other.logprobs[1:], strict=True)
        assert max(abs(a - b) for a, b in pairs if a is not None and b is not None) < 1e-3


async def test_each_adapter_answers_as_transformers_and_peft_do(
    whole: dict[tuple[str, str], str], reference: dict[tuple[str, str], str]
) -> None:
    assert whole == reference
    by_version = {name: [text for (n, _), text in whole.items() if n == name] for name, _ in whole}
    answers = list(by_version.values())
    assert all(one != other for i, one in enumerate(answers) for other in answers[:i]), (
        "the adapters make no difference"
    )


async def test_the_zero_adapter_scores_exactly_as_the_bare_model(engine: RunningEngine) -> None:
    talk: list[Message] = [*asking(ASKED[0]), {"role": "assistant", "content": "Sure, what time would you like it?"}]
    import torch
    from transformers import AutoModelForCausalLM

    scored = await engine.client.score(engine.supervisor.untuned, talk)
    with torch.no_grad():
        model = AutoModelForCausalLM.from_pretrained(DEMO_FOLDER, dtype=torch.float32).eval()
        logits = model(torch.tensor([scored.ids])).logits[0].log_softmax(-1)
    assert scored.logprobs[0] is None
    for place, (token, logprob) in enumerate(zip(scored.ids, scored.logprobs, strict=True)):
        if logprob is not None:
            assert logprob == pytest.approx(float(logits[place - 1, token]), abs=1e-3)


@pytest.mark.parametrize(
    "content", ["Hello", "  two  spaces\n\nand lines  ", "🚢 שלום", "", "<|user|>hm<|end|>", "{{ 7 }}"]
)
async def test_the_engine_renders_what_we_render(engine: RunningEngine, content: str) -> None:
    tokenizer = ChatTokenizer(str(DEMO_FOLDER))
    talk: list[Message] = [*asking(content), {"role": "assistant", "content": content}, *asking("And?")[1:]]
    assert (await engine.client.score(engine.supervisor.untuned, talk)).ids == tokenizer.render(talk).ids
    finished = await engine.client.answer(engine.supervisor.untuned, talk, Sampling(max_tokens=1))
    assert finished.prompt_tokens == tokenizer.count(talk)


async def test_many_at_once_answer_as_they_do_alone(engine: RunningEngine, whole: dict[tuple[str, str], str]) -> None:
    names = {str(name): name for name in (LOUD, QUIET, engine.supervisor.untuned)}
    order = [pair for _ in range(6) for pair in whole]
    finished = await asyncio.gather(*(engine.client.answer(names[n], asking(a), GREEDY) for n, a in order))
    assert [answer.text for answer in finished] == [whole[pair] for pair in order]


async def test_a_stream_adds_up_to_its_answer(engine: RunningEngine) -> None:
    events = [e async for e in engine.client.stream(engine.supervisor.untuned, asking(ASKED[1]), GREEDY)]
    finished = events[-1]
    assert isinstance(finished, Finished)
    assert len(events) > 3
    assert "".join(e.text for e in events[:-1] if isinstance(e, Piece)) == finished.text
    assert finished.finish_reason in ("stop", "length")
    assert 0 < finished.seconds_to_first <= finished.seconds
    assert 0 < finished.answer_tokens <= GREEDY.max_tokens


async def test_a_seed_repeats_an_answer_and_a_stop_word_ends_it(engine: RunningEngine) -> None:
    warm = Sampling(max_tokens=24, temperature=1.0, seed=7)
    one, other = [await engine.client.answer(engine.supervisor.untuned, asking(ASKED[0]), warm) for _ in range(2)]
    assert one.text == other.text
    word = one.text.split()[1]
    cut = Sampling(max_tokens=24, temperature=1.0, seed=7, stop=(word,))
    assert word not in (await engine.client.answer(engine.supervisor.untuned, asking(ASKED[0]), cut)).text


async def metric(client: EngineClient, name: str) -> float:
    async with client._http.get("/metrics") as answer:
        lines = (await answer.text()).splitlines()
    return sum(float(line.rsplit(" ", 1)[1]) for line in lines if line.startswith((f"{name}{{", f"{name} ")))


async def idle(client: EngineClient) -> bool:
    for _ in range(200):
        if await metric(client, "vllm:num_requests_running") == 0:
            return True
        await asyncio.sleep(0.05)
    return False


async def seconds_until_free(engine: RunningEngine, leave: Callable[[], Awaitable[object]]) -> float | None:
    """From when somebody whose answer runs begins to `leave` until the engine runs nothing; None where the answer had
    ended before that was seen."""
    try:
        async with asyncio.timeout(5):
            while await metric(engine.client, "vllm:num_requests_running") != 1:  # noqa: ASYNC110 - it has no event
                await asyncio.sleep(0.01)
    except TimeoutError:
        return None
    left = time.monotonic()
    await leave()
    assert await idle(engine.client)
    return time.monotonic() - left


async def some_pieces(stream: AsyncIterator[Piece | Finished]) -> None:
    count = 0
    async for _ in stream:
        count += 1
        if count == 3:
            return


@pytest.mark.usefixtures("endless")
async def test_closing_a_stream_ends_the_request_in_the_engine(engine: RunningEngine) -> None:
    before = await metric(engine.client, "vllm:generation_tokens_total")
    async with aclosing(engine.client.stream(engine.supervisor.untuned, asking("Go on."), ENDLESS)) as stream:
        await some_pieces(stream)
        assert await metric(engine.client, "vllm:num_requests_running") == 1
    assert await idle(engine.client)
    assert await metric(engine.client, "vllm:generation_tokens_total") - before < ENDLESS.max_tokens


@pytest.mark.usefixtures("endless")
async def test_cancelling_the_reader_ends_the_request_in_the_engine(engine: RunningEngine) -> None:
    before = await metric(engine.client, "vllm:generation_tokens_total")
    reader = asyncio.create_task(engine.client.answer(engine.supervisor.untuned, asking("Go on."), ENDLESS))
    while await metric(engine.client, "vllm:num_requests_running") == 0:
        await asyncio.sleep(0.01)
        assert not reader.done()
    reader.cancel()
    with pytest.raises(asyncio.CancelledError):
        await reader
    assert await idle(engine.client)
    assert await metric(engine.client, "vllm:generation_tokens_total") - before < ENDLESS.max_tokens


async def test_what_cannot_be_answered_is_one_sentence(
    engine: RunningEngine, adapters: dict[VersionName, Path], tmp_path: Path
) -> None:
    client, untuned = engine.client, engine.supervisor.untuned
    with pytest.raises(NotFound, match="nobody@v1"):
        await client.answer(VersionName("nobody", 1), asking("Hello"), GREEDY)
    with pytest.raises(TooLong, match="too long"):
        await client.answer(untuned, asking("word " * 3000), GREEDY)
    with pytest.raises(BadInput, match="Unicode"):
        await client.answer(untuned, asking("lone \ud800"), GREEDY)
    away = EngineClient(tmp_path / "none.sock", engine.supervisor._key, 1024)
    assert not await away.healthy()
    with pytest.raises(EngineUnavailable):
        await away.answer(untuned, asking("Hello"), GREEDY)
    await away.close()


async def test_a_changed_adapter_is_not_loaded(engine: RunningEngine) -> None:
    name = VersionName("changed", 1)
    publish(random_adapter(engine.paths.jobs / "changed", 5), engine.paths.adapter(name), {"base_model": "demo"})
    weights = engine.paths.adapter(name) / WEIGHTS
    content = weights.read_bytes()
    weights.chmod(0o600)
    weights.write_bytes(content[:-1] + bytes([content[-1] ^ 1]))
    with pytest.raises(NotFound, match="changed@v1"):
        await engine.client.warm(name)
    body = {"model": str(name), "messages": asking("Hello")}
    async with engine.client._http.post("/v1/chat/completions", json=body) as answer:  # nor by the engine itself
        assert answer.status == 404
    assert "not those that its manifest states" in engine.supervisor.log_file.read_text()
    weights.write_bytes(content)
    await engine.client.warm(name)


async def test_an_adapter_of_too_large_a_rank_is_refused_and_the_engine_lives(engine: RunningEngine) -> None:
    name = VersionName("large", 1)
    staged = random_adapter(engine.paths.jobs / "large", 6)
    shape = json.loads((staged / CONFIG).read_text())
    (staged / CONFIG).write_text(json.dumps(shape | {"r": 2 * engine.supervisor.plan.max_lora_rank}))
    publish(staged, engine.paths.adapter(name), {"base_model": "demo"})
    with pytest.raises(Refused, match="large@v1"):
        await engine.client.warm(name)
    await engine.client.warm(engine.supervisor.untuned)


async def test_the_engine_answers_only_who_has_the_key(engine: RunningEngine) -> None:
    transport = httpx.AsyncHTTPTransport(uds=str(engine.paths.engine_socket))
    async with httpx.AsyncClient(transport=transport, base_url="http://engine") as stranger:
        assert (await stranger.get("/v1/models")).status_code == 401
        body = {"model": "base-demo@v0", "messages": asking("Hello")}
        assert (await stranger.post("/v1/chat/completions", json=body)).status_code == 401
    assert engine.paths.engine_socket.parent.stat().st_mode & 0o077 == 0


@pytest.mark.parametrize("name", ["../adapters/base-demo/v0", "base-demo@v00", "loud/v1", "/etc/passwd"])
async def test_no_other_name_reaches_a_path(engine: RunningEngine, name: str) -> None:
    body = {"model": name, "messages": asking("Hello")}
    async with engine.client._http.post("/v1/chat/completions", json=body) as answer:
        assert answer.status == 404


async def test_no_message_text_and_no_key_is_logged_or_shown(engine: RunningEngine) -> None:
    import psutil

    watchword = "xylophone-watchword"
    await engine.client.answer(engine.supervisor.untuned, asking(watchword), GREEDY)
    with pytest.raises(BadInput):
        await engine.client.answer(engine.supervisor.untuned, asking(f"{watchword} " * 2000), GREEDY)
    with pytest.raises(BadInput):
        odd: list[Message] = [{"role": "user", "content": [watchword]}]  # type: ignore[typeddict-item]
        await engine.client.answer(engine.supervisor.untuned, odd, GREEDY)
    key = engine.cipher.derive("engine")
    logged = engine.supervisor.log_file.read_text()
    assert watchword not in logged
    assert key not in logged
    assert engine.supervisor.pid is not None
    leash = psutil.Process(engine.supervisor.pid)
    for process in (leash, *leash.children(recursive=True)):
        assert key not in " ".join(process.cmdline())
    assert key not in repr(engine.supervisor.__dict__)
    assert key not in repr(engine.client.__dict__)


async def test_a_lease_uses_the_engine_that_runs_here_already(engine: RunningEngine) -> None:
    pid, said = engine.supervisor.pid, list[str]()
    async with engine_lease(engine.settings, engine.cipher, said.append) as client:
        assert (await client.answer(engine.supervisor.untuned, asking(ASKED[0]), GREEDY)).text
    assert (engine.supervisor.pid, said) == (pid, [])
    assert await engine.client.healthy()


async def test_a_lease_for_another_base_model_is_refused(engine: RunningEngine, tmp_path: Path) -> None:
    folder = tmp_path / "other-model"
    folder.mkdir()
    (folder / "config.json").write_text((DEMO_FOLDER / "config.json").read_text())
    other = engine.settings.model_copy(update={"base_model": str(folder)})
    with pytest.raises(Refused, match="demo"):
        async with engine_lease(other, engine.cipher):
            pass
