"""Exchanges an engine that its use has outgrown, at a quiet moment, for one that is large enough.

Promises that nobody's answer is cut by it: where memory allows, a second engine takes over from the first; where it
does not, the engine is started anew at a moment in which nothing is under way. What is to come is said in the
engine's own sentence, which the status page and `/status` show.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import time

import psutil

from config.errors import EngineUnavailable, NotFound, Refused
from config.hardware import GIB, Plan
from serving.handover import under_way
from serving.sizing import Size, in_use, outgrown
from serving.supervisor import EngineSupervisor
from store.database import Database

LOOK_SECONDS = 20.0
QUIET_SECONDS = 30.0
"""Nobody has asked anything for so long: a moment at which starting an engine slows nobody down."""
PATIENCE_SECONDS = 900.0
"""For so long a quiet moment is awaited; then a second engine is started all the same, since nothing is cut by it."""
SPARE = GIB // 2
"""Bytes that a second engine leaves free."""

log = logging.getLogger(__name__)


class Resizing:
    """Looks after the size of `engine`, from `database`, until cancelled."""

    def __init__(self, database: Database, engine: EngineSupervisor) -> None:
        self._database = database
        self._engine = engine
        self._since: float | None = None
        """Since when the engine is too small."""
        self._quiet_since: float | None = None

    async def run_forever(self) -> None:
        """Look every LOOK_SECONDS. What cannot be done now is tried again later."""
        while True:
            try:
                await self.look()
            except EngineUnavailable as error:
                log.warning("the engine could not be exchanged: %s", error)
            await asyncio.sleep(LOOK_SECONDS)

    async def look(self) -> bool:
        """See whether the engine is large enough, and exchange it if it is time; whether it was exchanged.

        Raises EngineUnavailable where that was tried and did not come off; the engine that runs goes on then.
        """
        engine = self._engine
        if engine.status.state != "ready":
            return False
        use = await in_use(self._database, engine.paths, engine.model)
        better = await asyncio.to_thread(engine.plan_now)
        why = outgrown(Size.of(engine.plan), use, Size.of(better))
        if why is None:
            self._since, engine.notice = None, ""
            return False
        self._since = self._since or time.monotonic()
        second = await asyncio.to_thread(second_fits, engine, better)
        engine.notice = _notice(why, second)
        if not await self._is_time(second):
            return False
        log.info("the engine is exchanged: %s", why)
        if second:
            await engine.hand_over(better, use.versions)
            now = await in_use(self._database, engine.paths, engine.model)
            for version in set(now.versions) - set(use.versions):  # promoted while the second one was starting
                with contextlib.suppress(NotFound, Refused):
                    await engine.client.warm(version)
        else:
            await engine.restart(better)
        engine.notice = ""
        return True

    async def _is_time(self, second: bool) -> bool:
        now = time.monotonic()
        if await under_way(self._engine.paths.engine_socket):
            self._quiet_since = None
        elif self._quiet_since is None:
            self._quiet_since = now
        if self._quiet_since is not None and now - self._quiet_since >= QUIET_SECONDS:
            return True
        return second and self._since is not None and now - self._since >= PATIENCE_SECONDS


def _notice(why: str, second: bool) -> str:
    if second:
        return f"But {why}: a larger engine takes its place at a quiet moment, and nobody has to wait for it."
    return (
        f"But {why}: it is started anew, larger, as soon as nobody has asked anything for {QUIET_SECONDS:.0f} seconds."
    )


def second_fits(engine: EngineSupervisor, better: Plan) -> bool:
    """Whether memory allows an engine started by `better` beside the one that runs: as much as that one has now, what
    conversations and adapters may come to, and some to spare. On a GPU, whether both shares fit the card."""
    if better.device != "cpu":
        return engine.plan.gpu_memory_share + better.gpu_memory_share <= 1.0
    each = engine.model.adapter_bytes(better.max_lora_rank, 4 if better.dtype == "float32" else 2)
    more = better.kv_cache + (better.max_loras + better.max_cpu_loras) * each
    return _memory_of(engine.pid) + more + SPARE < psutil.virtual_memory().available


def _memory_of(leash: int | None) -> int:
    """Bytes that a leash and all it started have for themselves."""
    total = 0
    if leash is None:
        return total
    with contextlib.suppress(psutil.NoSuchProcess):
        top = psutil.Process(leash)
        for process in (top, *top.children(recursive=True)):
            with contextlib.suppress(psutil.NoSuchProcess):
                total += process.memory_full_info().uss
    return total
