"""Processes that stand in for engines where only their coming and going matters, and what tests of that share."""

from __future__ import annotations

import asyncio
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path

import psutil
from adapter_making import random_adapter

from config.catalogue import CatalogueModel
from config.hardware import Plan
from config.names import VersionName
from serving.adapters import publish
from serving.answer import Sampling
from serving.prompt import Message
from serving.supervisor import EngineSupervisor
from store.assistants import add_assistant, find_assistant
from store.database import Database

STAND_IN = Path(__file__).with_name("stand_in_engine.py")
HELLO: list[Message] = [{"role": "user", "content": "Hello"}]
WAIT: list[Message] = [{"role": "user", "content": "wait"}]
ONE = Sampling(max_tokens=1, temperature=0.0)
SERVING = 12
"""Assistants with a version in service: more than a fresh engine has slots."""


def stand_in(model: CatalogueModel, plan: Plan, socket: Path, targets: Sequence[str]) -> list[str]:
    return [sys.executable, str(STAND_IN), str(socket)]


async def says(supervisor: EngineSupervisor, messages: list[Message] = HELLO) -> str:
    return (await supervisor.client.answer(supervisor.untuned, messages, ONE)).text


def living(pid: int) -> bool:
    try:
        return psutil.Process(pid).status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False


async def until(truth: Callable[[], bool], seconds: float = 30) -> None:
    deadline = time.monotonic() + seconds
    while not truth():
        assert time.monotonic() < deadline, "it did not come true"
        await asyncio.sleep(0.02)


async def gone(pid: int) -> None:
    await until(lambda: not living(pid))


async def outgrow(database: Database, supervisor: EngineSupervisor) -> None:
    """More versions in service than the engine has slots."""
    for number in range(SERVING):
        name = VersionName(f"grown-{number}", 1)
        staged = random_adapter(supervisor.paths.jobs / f"grown-{number}", number)
        publish(staged, supervisor.paths.adapter(name), {"base_model": "demo"})
        async with database.session() as session:
            await add_assistant(session, name.assistant, "Be kind.", "demo")
            (await find_assistant(session, name.assistant)).in_service = 1
