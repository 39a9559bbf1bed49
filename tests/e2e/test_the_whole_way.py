"""From an export to answers, with everything real: import, training process, gate on the engine, promotion, routing."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import psutil
import pytest
from community import SECRET_ASKED, SECRETS, write_export
from running_engine import RunningEngine

from bots.conversation import Conversation
from bots.events import Answer
from bots.incoming import Incoming
from bots.seams import base_model_tokenizer
from config.errors import Refused
from config.names import VersionName, untuned
from serving.answer import Sampling
from serving.client import EngineClient
from serving.prompt import Message, with_system
from serving.router import Place, resolve, set_route
from store.assistants import add_assistant, find_assistant, find_version
from store.database import Database, open_database
from store.lineage import unpack_ids
from store.tables import Job, Lineage
from tuning import jobs
from tuning.importing import import_file
from tuning.runner import JobRunner
from tuning.versions import history, promote, rollback

SPEAKER = "Odd"


@pytest.fixture
async def place(engine: RunningEngine) -> AsyncIterator[Database]:
    """The database of the engine's own home: what is tuned here is loaded there."""
    database = await open_database(engine.settings)
    yield database
    await database.close()


def _runner(database: Database, engine: RunningEngine) -> JobRunner:
    @asynccontextmanager
    async def ready() -> AsyncIterator[EngineClient]:
        await engine.supervisor.wait_ready(timeout=300)
        yield engine.client

    runner = JobRunner(database, engine.settings, ready)
    assert runner.acquire()
    return runner


async def _taught(database: Database, name: str, file: Path) -> None:
    async with database.session() as session:
        await add_assistant(session, name, "You are Odd, the ferryman.", "demo")
    await import_file(database, file, name, SPEAKER, "ada", lambda step, done, total: None)


def _trainers() -> list[psutil.Process]:
    return [child for child in psutil.Process().children(recursive=True) if _trains(child)]


def _trains(process: psutil.Process) -> bool:
    try:
        return "tuning.training" in " ".join(process.cmdline())
    except psutil.NoSuchProcess:  # it has ended, and perhaps nobody has asked how yet
        return False


async def test_a_chat_export_becomes_a_version_that_serves_and_can_be_taken_back(
    place: Database, engine: RunningEngine, tmp_path: Path
) -> None:
    await _taught(place, "ferry", write_export(tmp_path / "ferry.json", 90, planted=4))
    plan = await jobs.preview(place, engine.settings, "ferry")
    assert plan.enough
    runner = _runner(place, engine)
    try:
        job, fresh = await jobs.enqueue(place, "ferry", "ada")
        again, second = await jobs.enqueue(place, "ferry", "bo")
        assert (fresh, second, again.id) == (True, False, job.id)
        assert await runner.run_next()
        assert not await runner.run_next()
    finally:
        runner.release()
    ended = await jobs.get(place, job.id)
    assert (ended.state, ended.error) == ("done", None)
    assert not engine.paths.job(job.id).exists()  # it held training text

    view = (await history(place, "ferry"))[0]
    report = view.report
    assert report["held_out"]["version"] < report["held_out"]["base"]
    assert report["parity"]["same_rendering"]
    assert report["parity"]["tokens"] >= 500
    assert report["parity"]["mean_difference"] < 0.02
    assert view.state == ("passed" if report["verdict"] == "pass" else "failed")
    assert report["verdict"] == "pass", report["reasons"]
    assert report["held_out"]["over_base"]["low"] > 0
    assert (report["recitation"]["secrets_known"], report["recitation"]["secrets_told"]) == (len(SECRETS), 0)
    for number in range(8):
        asking: list[Message] = [{"role": "user", "content": SECRET_ASKED.replace("?", f" on day {number}?")}]
        said = await engine.client.answer(
            view.name, with_system("You are Odd, the ferryman.", asking), Sampling(temperature=0.0, max_tokens=48)
        )
        assert not any(secret in said.text for secret in SECRETS)

    async with place.session() as session:
        version = await find_version(session, await find_assistant(session, "ferry"), view.name.number)
        lineage = await session.get(Lineage, (version.id, 1))
    assert lineage is not None
    assert len(unpack_ids(lineage.message_ids)) > 90

    async with place.session() as session:
        await set_route(session, "channel", "test:ferry", "ferry")
    conversation = Conversation(place, engine.settings, engine.supervisor, base_model_tokenizer(engine.settings))
    try:
        assert (await _ask(conversation, "When does the ferry leave?", "1")).version == str(untuned("demo"))
        await promote(place, engine.client, "ferry", None, "ada")
        assert (await _ask(conversation, "When does the ferry leave?", "2")).version == str(view.name)
        await rollback(place, engine.client, "ferry", "ada")
        assert (await _ask(conversation, "When does the ferry leave?", "3")).version == str(untuned("demo"))
    finally:
        await conversation.close()


async def _ask(conversation: Conversation, text: str, external_id: str) -> Answer:
    said = Incoming("test", "test:ferry", "ada", "Ada", "member", text, external_id)
    answers = [event async for event in conversation.handle(said) if isinstance(event, Answer)]
    assert len(answers) == 1
    return answers[0]


async def test_a_version_serves_with_the_prompt_it_was_gated_with(place: Database, engine: RunningEngine) -> None:
    async with place.session() as session:
        assistant = await find_assistant(session, "ferry")
        assistant.system_prompt = "Somebody else entirely."
        assistant.in_service = 1
        await session.flush()
        routed = await resolve(session, Place(channel="test:ferry", parent=None, server=None, account="test"))
        assert routed.version == VersionName("ferry", 1)
        assert routed.system_prompt == "You are Odd, the ferryman."
        assistant.in_service = None
        await session.flush()
        routed = await resolve(session, Place(channel="test:ferry", parent=None, server=None, account="test"))
        assert routed.system_prompt == "Somebody else entirely."


async def test_cancelling_ends_the_trainer_and_leaves_nothing(
    place: Database, engine: RunningEngine, tmp_path: Path
) -> None:
    await _taught(place, "cancelled", write_export(tmp_path / "c.json", 90))
    runner = _runner(place, engine)
    try:
        job, _ = await jobs.enqueue(place, "cancelled", "ada")
        running = asyncio.create_task(runner.run_next())
        await _until(lambda: bool(_trainers()))
        await jobs.cancel(place, job.id)
        await asyncio.wait_for(running, 20)
    finally:
        runner.release()
    assert (await jobs.get(place, job.id)).state == "cancelled"
    assert _trainers() == []
    assert not engine.paths.job(job.id).exists()
    assert await history(place, "cancelled") == []
    with pytest.raises(Refused, match="already ended"):
        await jobs.cancel(place, job.id)


async def test_a_killed_trainer_is_started_again_and_goes_on(
    place: Database, engine: RunningEngine, tmp_path: Path
) -> None:
    await _taught(place, "shot", write_export(tmp_path / "s.json", 90))
    runner = _runner(place, engine)
    try:
        job, _ = await jobs.enqueue(place, "shot", "ada")
        running = asyncio.create_task(runner.run_next())
        progress = engine.paths.job(job.id) / "progress.json"
        await _until(lambda: progress.exists() and json.loads(progress.read_text())["step"] > 0)
        before = _trainers()
        for trainer in before:
            trainer.kill()
        await _until(lambda: any(trainer not in before for trainer in _trainers()))
        assert (await jobs.get(place, job.id)).state == "running"
        await jobs.cancel(place, job.id)
        await asyncio.wait_for(running, 20)
    finally:
        runner.release()
    assert (await jobs.get(place, job.id)).state == "cancelled"


async def test_a_job_whose_runner_was_killed_goes_on_where_it_was(
    place: Database, engine: RunningEngine, tmp_path: Path
) -> None:
    await _taught(place, "killed", write_export(tmp_path / "k.json", 90))
    job, _ = await jobs.enqueue(place, "killed", "ada")
    first = _runner(place, engine)
    running = asyncio.create_task(first.run_next())
    checkpoint = engine.paths.job(job.id) / "checkpoint"
    await _until(lambda: checkpoint.exists() and any(checkpoint.iterdir()))
    for trainer in _trainers():
        trainer.kill()
    running.cancel()  # as a killed process would: nothing more is written by it
    await asyncio.gather(running, return_exceptions=True)
    first.release()
    async with place.session() as session:
        row = await session.get_one(Job, job.id)
        row.state, row.attempts = "running", 1
    before = json.loads((engine.paths.job(job.id) / "run.json").read_text())

    second = _runner(place, engine)
    try:
        await second.recover()
        assert (await jobs.get(place, job.id)).state == "queued"
        waiting = asyncio.create_task(second.run_next())
        await _until(lambda: bool(_trainers()))
        assert json.loads((engine.paths.job(job.id) / "run.json").read_text()) == before
        await jobs.cancel(place, job.id)
        await waiting
    finally:
        second.release()
    ended = await jobs.get(place, job.id)
    assert (ended.state, ended.attempts) == ("cancelled", 2)


async def _until(holds: object, seconds: float = 120) -> None:
    async with asyncio.timeout(seconds):
        while not holds():  # type: ignore[operator]  # noqa: ASYNC110 - other processes are watched
            await asyncio.sleep(0.1)
