"""What the demo runs on: a data folder of its own, an engine, a runner of jobs, a conversation, two communities."""

from __future__ import annotations

import asyncio
import shutil
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

from bots.conversation import Conversation
from bots.events import Answer, Notice
from bots.incoming import Incoming
from bots.seams import base_model_tokenizer
from config.catalogue import DEMO_FOLDER, find_model
from config.errors import JobFailed, Refused
from config.settings import Settings, load_settings
from console.demo.proof import Proof
from serving.adapters import ensure_untuned
from serving.client import EngineClient
from serving.supervisor import EngineSupervisor
from store.database import Database, open_database
from tuning.runner import JobRunner

EXPORTS = DEMO_FOLDER.parent / "exports"
MARK = "made-by-parlance-demo"


@dataclass(frozen=True, slots=True)
class Community:
    """One of the two that the demo ships."""

    name: str
    speaker: str
    about: str

    @property
    def export(self) -> Path:
        return EXPORTS / f"{self.name}.json"


HARBOUR = Community("harbour", "Bram Tolliver", "a sailing club and its gruff harbourmaster")
GARDEN = Community("garden", "Wren Abernathy", "a community garden and its gentlest member")
LATER = EXPORTS / "harbour-later.json"
"""The harbour's chat, exported again some weeks later."""


@dataclass(frozen=True, slots=True)
class Stage:
    """What the demo runs on."""

    settings: Settings
    database: Database
    engine: EngineSupervisor
    runner: JobRunner
    conversation: Conversation
    proof: Proof


def demo_home() -> Path:
    """The demo's own data folder, beside where it is run."""
    return Path.cwd() / ".demo"


def _fresh_home() -> Settings:
    """Raises Refused rather than empty a folder that the demo did not make."""
    home = demo_home()
    if home.exists():
        if not (home / MARK).exists():
            raise Refused(f"{home} was not made by the demo; move it away, then run the demo again.")
        shutil.rmtree(home)
    home.mkdir(mode=0o700)
    (home / MARK).touch()
    return load_settings(home=home, base_model="demo")


@asynccontextmanager
async def open_stage() -> AsyncIterator[Stage]:
    """Everything started; the engine warms while the first steps run."""
    settings = _fresh_home()
    database = await open_database(settings)
    await asyncio.to_thread(ensure_untuned, settings.paths, find_model("demo"))
    engine = EngineSupervisor(settings, database.cipher)
    engine.start()

    @asynccontextmanager
    async def ready() -> AsyncIterator[EngineClient]:
        await engine.wait_ready()
        yield engine.client

    runner = JobRunner(database, settings, ready)
    runner.acquire()
    conversation = Conversation(database, settings, engine, base_model_tokenizer(settings))
    try:
        yield Stage(settings, database, engine, runner, conversation, Proof())
    finally:
        await conversation.close()
        await engine.stop()
        runner.release()
        await database.close()


def message(channel: str, text: str, external_id: str) -> Incoming:
    """What a platform's connector would hand in for `text` written in the demo's channel `channel`."""
    return Incoming(
        account="demo", channel=f"demo:{channel}", author_id="ada", author="Ada", role="member", text=text,
        external_id=external_id,
    )  # fmt: skip


async def ask(stage: Stage, channel: str, text: str, external_id: str) -> Answer:
    """The answer to `text`, through the conversation. Raises JobFailed where none came."""
    answer, trouble = None, ""
    async for event in stage.conversation.handle(message(channel, text, external_id)):
        if isinstance(event, Answer):
            answer = event
        elif isinstance(event, Notice):
            trouble = event.text
    if answer is None:
        raise JobFailed(f"No answer came in {channel}: {trouble or 'nothing was said'}")
    return answer
