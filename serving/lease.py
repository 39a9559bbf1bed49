"""A client of a ready engine for a command: of whoever keeps one on this home, else of one that lives as long as it.

Knows nothing of what the command asks.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager

from config.errors import EngineUnavailable, Refused
from config.settings import Settings
from serving.client import EngineClient
from serving.failures import tried_again
from serving.ownership import live_record
from serving.status import EngineStatus, starting
from serving.supervisor import EngineSupervisor
from store.crypto import Cipher


@asynccontextmanager
async def engine_lease(
    settings: Settings, cipher: Cipher, say: Callable[[str], None] = lambda sentence: None
) -> AsyncIterator[EngineClient]:
    """A client of a ready engine: of the one that another process keeps on this home, else of one of our own, which
    is stopped at the end. `say` is told how far it is, a sentence at a time.

    Raises EngineUnavailable where it cannot be had, Refused where another base model is being served here.
    """
    supervisor = EngineSupervisor(settings, cipher)
    told = ""
    try:
        while True:
            status = await _status_of_home(supervisor)
            if status.state == "ready":
                break
            if status.state == "failed":
                raise EngineUnavailable(status.sentence)
            if status.sentence != told:
                say(status.sentence)
                told = status.sentence
            await asyncio.sleep(0.5)
        yield supervisor.client
    finally:
        await supervisor.stop()


async def _status_of_home(supervisor: EngineSupervisor) -> EngineStatus:
    """How the engine of this home is, whoever owns it; where nobody does, `supervisor` becomes its owner."""
    if supervisor.ownership.acquire():
        supervisor.start()
        return supervisor.status
    record = live_record(supervisor.paths)
    if record is None:
        return EngineStatus("warming", "The engine is warming up.", None)
    if record.model != supervisor.model.name:
        raise Refused(f"Parlance is serving {record.model} here; stop it before using another base model.")
    if record.state == "ready":
        well = await supervisor.client.healthy()
        return EngineStatus("ready" if well else "restarting", "The engine is being started again.", None)
    if record.state == "failed":
        again = tried_again(record.sentence, max(0.0, record.started - time.time()))
        return EngineStatus("failed", again, None)
    if record.state in ("unwell", "asleep") or record.pid == 0:
        return EngineStatus(record.state, record.sentence, None)
    usual = supervisor.now.usual.seconds
    return starting(record.state, record.sentence, time.time() - record.started, usual)
