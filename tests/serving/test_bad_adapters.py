"""Bad adapters and a real engine: each is refused, nobody who is being answered notices, no answer is lost."""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import aclosing, asynccontextmanager
from pathlib import Path
from typing import Any

import numpy as np
import openai
import pytest
from adapter_making import random_adapter
from gateway_running import running
from running_engine import RunningEngine
from safetensors.numpy import load_file, save_file

from config.errors import NotFound, Refused
from config.names import VersionName
from console.chat_command import answer
from console.workplace import Workplace
from serving.adapters import CONFIG, WEIGHTS, publish
from serving.answer import Finished, Piece, Sampling
from serving.entrance import Entrance
from serving.fallback import with_last_good
from serving.prompt import ChatTokenizer, Message
from serving.router import Routed, in_service
from store.assistants import add_assistant, find_assistant, find_version
from store.database import Database
from store.tables import Promotion, Version

HELLO: list[Message] = [{"role": "user", "content": "Hello, I need a taxi."}]
SHORT = Sampling(max_tokens=12, temperature=0.0)
ENDLESS = Sampling(max_tokens=900, temperature=2.0, repetition_penalty=10.0)
"""The token that ends a turn stands in every prompt, so that it hardly comes."""


def made(engine: RunningEngine, name: VersionName, seed: int) -> Path:
    """A good adapter that is not a version yet."""
    return random_adapter(engine.paths.jobs / f"faults-{name}", seed)


def published(engine: RunningEngine, name: VersionName, staged: Path, base: str = "demo") -> VersionName:
    publish(staged, engine.paths.adapter(name), {"base_model": base})
    return name


def resized(staged: Path, factor: int) -> None:
    """As of a model that is `factor` times as wide; below 0: that many times narrower."""
    tensors = load_file(staged / WEIGHTS)

    def side(size: int) -> int:
        return size * factor if factor > 0 else size // -factor

    for name, values in tensors.items():
        rows, columns = values.shape
        shape = (rows, side(columns)) if ".lora_A." in name else (side(rows), columns)
        tensors[name] = np.full(shape, 0.01, np.float32)
    save_file(tensors, staged / WEIGHTS)


def cut_short(file: Path) -> None:
    content = file.read_bytes()
    file.chmod(0o600)
    file.write_bytes(content[: len(content) // 2])


def corrupt(engine: RunningEngine, name: VersionName) -> None:
    staged = made(engine, name, 11)
    (staged / WEIGHTS).write_bytes(os.urandom(100_000))
    published(engine, name, staged)


def truncated(engine: RunningEngine, name: VersionName) -> None:
    staged = made(engine, name, 12)
    cut_short(staged / WEIGHTS)
    published(engine, name, staged)


def truncated_later(engine: RunningEngine, name: VersionName) -> None:
    published(engine, name, made(engine, name, 13))
    cut_short(engine.paths.adapter(name) / WEIGHTS)


def of_another_base(engine: RunningEngine, name: VersionName) -> None:
    published(engine, name, made(engine, name, 14), base="other")


def of_a_wider_base(engine: RunningEngine, name: VersionName) -> None:
    staged = made(engine, name, 15)
    resized(staged, 2)
    published(engine, name, staged)


def of_a_narrower_base(engine: RunningEngine, name: VersionName) -> None:
    staged = made(engine, name, 16)
    resized(staged, -2)
    published(engine, name, staged)


def of_too_high_a_rank(engine: RunningEngine, name: VersionName) -> None:
    staged = made(engine, name, 17)
    shape = json.loads((staged / CONFIG).read_text())
    (staged / CONFIG).write_text(json.dumps(shape | {"r": 8 * engine.supervisor.plan.max_lora_rank}))
    published(engine, name, staged)


def without_a_folder(engine: RunningEngine, name: VersionName) -> None:
    published(engine, name, made(engine, name, 18))
    shutil.rmtree(engine.paths.adapter(name))


BAD = [
    corrupt, truncated, truncated_later, of_another_base, of_a_wider_base, of_a_narrower_base, of_too_high_a_rank,
    without_a_folder,
]  # fmt: skip


@pytest.mark.usefixtures("endless")
@pytest.mark.parametrize("bad", BAD)
async def test_a_bad_adapter_is_refused_and_whoever_is_being_answered_notices_nothing(
    engine: RunningEngine, bad: Any
) -> None:
    name = VersionName(bad.__name__.replace("_", "-"), 1)
    bad(engine, name)
    pid = engine.supervisor.pid
    async with aclosing(engine.client.stream(engine.supervisor.untuned, HELLO, ENDLESS)) as other:
        await anext(other)
        for _ in range(2):  # once refused, it is not half loaded
            with pytest.raises((NotFound, Refused), match=str(name)):
                await engine.client.answer(name, HELLO, SHORT)
        assert await asked_of_the_engine_itself(engine, name) in (400, 404)
        await anext(other)
    assert (engine.supervisor.pid, engine.supervisor.status.state) == (pid, "ready")
    shutil.rmtree(engine.paths.adapter(name).parent)  # what lies there is what an engine's size follows


async def asked_of_the_engine_itself(engine: RunningEngine, name: VersionName) -> int:
    """The status of an answer that nothing of ours stood before."""
    body = {"model": str(name), "messages": HELLO, "max_tokens": 1}
    async with engine.client._http.post("/v1/chat/completions", json=body) as answer:
        return answer.status


async def test_a_folder_deleted_after_it_was_loaded_and_put_aside_does_not_end_the_engine(
    engine: RunningEngine,
) -> None:
    name = published(engine, VersionName("vanishing", 1), made(engine, VersionName("vanishing", 1), 20))
    await engine.client.answer(name, HELLO, SHORT)
    pid = engine.supervisor.pid
    shutil.rmtree(engine.paths.adapter(name))
    for number in range(1, engine.supervisor.plan.max_cpu_loras + 2):  # until nothing of it is in memory
        crowd = VersionName("crowd", number)
        await engine.client.warm(published(engine, crowd, made(engine, crowd, 100 + number)))
    with pytest.raises(NotFound, match="vanishing@v1"):
        await engine.client.answer(name, HELLO, SHORT)
    assert (engine.supervisor.pid, engine.supervisor.status.state) == (pid, "ready")
    assert (await engine.client.answer(engine.supervisor.untuned, HELLO, SHORT)).text


async def added(engine: RunningEngine, database: Database, name: str, count: int) -> None:
    """An assistant with so many versions that passed, each of which has served; the last one serves."""
    async with database.session() as session:
        assistant = await add_assistant(session, name, "You are kind.", "demo")
        for number in range(1, count + 1):
            version = VersionName(name, number)
            published(engine, version, made(engine, version, number))
            session.add(
                Version(
                    assistant_id=assistant.id, number=number, state="passed", digest="0" * 64, base_model="demo",
                    system_prompt=f"You are {name} {number}.", report={"sentence": ""},
                )
            )  # fmt: skip
            move = Promotion(assistant_id=assistant.id, action="promote", before=None, after=number, asked_by="Ada")
            session.add(move)
        assistant.in_service = count


async def test_an_assistant_falls_back_to_its_last_good_version(engine: RunningEngine, database: Database) -> None:
    await added(engine, database, "pier", 3)
    cut_short(engine.paths.adapter(VersionName("pier", 3)) / WEIGHTS)
    shutil.rmtree(engine.paths.adapter(VersionName("pier", 2)))
    tried = []
    entrance = Entrance(engine.supervisor, engine.supervisor.plan.max_requests)

    async def find() -> tuple[VersionName, Routed]:
        async with database.session() as session:
            routed = await in_service(session, await find_assistant(session, "pier"))
        return routed.version, routed

    async def ask(routed: Routed) -> tuple[str, Piece | Finished]:
        tried.append(str(routed.version))
        stream = entrance.stream(routed.version, HELLO, SHORT, assistant="pier", person="ada")
        return routed.system_prompt, [event async for event in stream][-1]

    prompt, last = await with_last_good(database, find, ask)
    assert tried == ["pier@v3", "pier@v2", "pier@v1"] and isinstance(last, Finished)
    assert prompt == "You are pier 1."
    async with database.session() as session:
        assistant = await find_assistant(session, "pier")
        assert assistant.in_service == 1
        troubles = [(await find_version(session, assistant, number)).trouble for number in (1, 2, 3)]
    assert troubles == [None, "its files are gone or damaged", "its files are gone or damaged"]


Ask = Callable[[str], Awaitable[str]]
"""Who answers to a name: a version."""


@asynccontextmanager
async def terminal(engine: RunningEngine, database: Database) -> AsyncIterator[Ask]:
    async def ask(name: str) -> str:
        said = await answer(Workplace(engine.settings, database), engine.client, name, [*HELLO], show=False)
        return str(said["version"])

    yield ask


@asynccontextmanager
async def gateway(engine: RunningEngine, database: Database) -> AsyncIterator[Ask]:
    tokenizer = ChatTokenizer(engine.supervisor.model.location)
    async with running(database, engine.settings, engine.supervisor, tokenizer) as door, door.client() as client:

        async def ask(name: str) -> str:
            said: list[Any] = [*HELLO]
            return (await client.chat.completions.create(model=name, messages=said, max_tokens=4)).model

        yield ask


@pytest.mark.parametrize("door", [terminal, gateway])
async def test_at_each_door_a_bad_version_is_answered_for_by_the_last_good_one(
    engine: RunningEngine, database: Database, door: Any
) -> None:
    name = door.__name__
    await added(engine, database, name, 2)
    async with door(engine, database) as ask:
        assert await ask(name) == f"{name}@v2"
        cut_short(engine.paths.adapter(VersionName(name, 2)) / WEIGHTS)
        assert await ask(name) == f"{name}@v1"
        with pytest.raises((NotFound, openai.NotFoundError)):
            await ask(f"{name}@v2")
    async with database.session() as session:
        row = await find_version(session, await find_assistant(session, name), 2)
        assert row.trouble == "its files are gone or damaged"
    shutil.rmtree(engine.paths.adapter(VersionName(name, 1)).parent)
