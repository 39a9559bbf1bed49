"""Exchanges an engine that its use has outgrown, at a quiet moment, for one that is large enough.

Promises that nobody's answer is cut by it: where memory allows, a second engine takes over from the first; where it
does not, or none came up beside the first, the engine is started anew at a moment in which nothing is under way. What
is to come is said in the engine's own sentence, which the page and `/status` show; so is what no exchange can help.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import time
from collections.abc import AsyncGenerator

import psutil

from config.catalogue import GIB
from config.errors import EngineUnavailable, NotFound, Refused
from config.hardware import SHARED_CARD, Plan
from serving.failures import tried_again
from serving.handover import under_way
from serving.sizing import Size, Use, at_its_limit, in_use, outgrown
from serving.supervisor import EngineSupervisor
from store.database import Database

LOOK_SECONDS, HURRY_SECONDS = 20.0, 1.0
"""Between two looks, and where somebody waits for what comes of them."""
QUIET_SECONDS = 30.0
"""Nobody has asked anything for so long: a moment at which starting an engine slows nobody down."""
PATIENCE_SECONDS = 900.0
"""For so long a quiet moment is awaited; then a second engine is started all the same, since nothing is cut by it."""
TRIES_BESIDE, PAUSE_SECONDS = 2, 60.0
"""How often a second engine is tried beside the first, and the pause between; after that the first is started anew."""
LONG_PAUSE_SECONDS = 3600.0
"""Until all that is tried again, where the engine did not come up larger and runs as it was."""
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
        self._failed_beside = 0
        self._not_before = 0.0
        """When an exchange may be tried, after one that did not come off."""
        self._restarted = False
        """Whether it was started anew, and nobody has looked yet what became of that."""
        self._coming = "it is exchanged for a larger one."
        """What is to be done about it, in words."""
        self._waiting = 0
        """How many cannot go on before the engine is larger."""
        self._called = asyncio.Event()

    async def run_forever(self) -> None:
        """Look every LOOK_SECONDS. What cannot be done now, and what goes wrong, is tried again later."""
        while True:
            try:
                await self.look()
            except EngineUnavailable as error:
                log.warning("the engine could not be exchanged: %s", error)
            except Exception:
                log.exception("the engine's size could not be looked after")
            self._called.clear()
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(HURRY_SECONDS if self._waiting else LOOK_SECONDS):
                    await self._called.wait()

    async def make_room(self, rank: int) -> AsyncGenerator[str]:
        """Ends once the engine takes adapters of `rank`, one of which lies in the data folder: it is exchanged at once
        where a second one may run beside it, else at the first moment at which nothing is under way. Meanwhile it gives
        every second what is waited for; `run_forever` does it, so whoever waits here may leave at any time.

        Raises EngineUnavailable where the engine does not come up for that rank.
        """
        engine = self._engine
        self._waiting += 1
        self._called.set()
        try:
            while engine.plan.max_lora_rank < rank or engine.status.state != "ready":
                if engine.fell_back is not None and engine.fell_back.rank >= rank:
                    raise EngineUnavailable(
                        f"The engine did not come up for adapters of rank {rank}, and the end of logs/engine.log says "
                        "why; start the tuning again once that is mended, or choose the method lora."
                    )
                why = f"The engine takes adapters of rank {engine.plan.max_lora_rank} at most, and this one has {rank}"
                yield f"{why}: {self._coming}" if engine.status.state == "ready" else engine.status.sentence
                await asyncio.sleep(HURRY_SECONDS)
        finally:
            self._waiting -= 1

    async def look(self) -> bool:
        """See whether the engine is large enough, and exchange it if it is time; whether it was exchanged.

        Raises EngineUnavailable where that was tried and did not come off; the engine that runs goes on then.
        """
        engine = self._engine
        if engine.status.state != "ready" or engine.retiring:
            return False
        use = await in_use(self._database, engine.paths, engine.model)
        better = await asyncio.to_thread(engine.plan_now)
        if better.device != engine.plan.device:  # its card cannot be seen at this moment
            return False
        why = outgrown(Size.of(engine.plan), use, Size.of(better))
        if why is None:
            self._since, self._failed_beside, self._not_before, engine.fell_back = None, 0, 0.0, None
            engine.now.notice = at_its_limit(use, Size.of(better)) or ""
            return False
        self._since = self._since or time.monotonic()
        if self._restarted:
            self._restarted, self._failed_beside = False, 0
            self._not_before = time.monotonic() + (LONG_PAUSE_SECONDS if engine.fell_back is not None else 0.0)
        second = self._failed_beside < TRIES_BESIDE and await asyncio.to_thread(second_fits, engine, better)
        self._coming = self._what_comes(second)
        engine.now.notice = f"{why[0].upper()}{why[1:]}: {self._coming}"
        if not await self._is_time(second):
            return False
        log.info("the engine is exchanged: %s", why)
        if second:
            await self._hand_over(better, use)
        else:
            await engine.restart(better)
            self._restarted = True
        engine.now.notice = ""
        return True

    async def _hand_over(self, better: Plan, use: Use) -> None:
        engine = self._engine
        try:
            await engine.hand_over(better, use.versions)
        except EngineUnavailable:
            if engine.status.state == "ready":  # else it is the first one that went, or rests
                self._failed_beside += 1
                if self._failed_beside < TRIES_BESIDE:
                    self._not_before = time.monotonic() + PAUSE_SECONDS
            raise
        now = await in_use(self._database, engine.paths, engine.model)
        for version in set(now.versions) - set(use.versions):  # promoted while the second one was starting
            with contextlib.suppress(NotFound, Refused):
                await engine.client.warm(version)

    async def _is_time(self, second: bool) -> bool:
        now = time.monotonic()
        if await under_way(self._engine.paths.engine_socket):
            self._quiet_since = None
        elif self._quiet_since is None:
            self._quiet_since = now
        if now < self._not_before:
            return False
        if self._waiting:
            return second or self._quiet_since is not None
        if self._quiet_since is not None and now - self._quiet_since >= QUIET_SECONDS:
            return True
        return second and self._since is not None and now - self._since >= PATIENCE_SECONDS

    def _what_comes(self, second: bool) -> str:
        left = self._not_before - time.monotonic()
        if left > 0:
            return tried_again("a larger engine did not come up, and the end of logs/engine.log says why", left)
        if second:
            when = "" if self._waiting else " at a quiet moment"
            return f"a larger engine takes its place{when}, and nobody has to wait for it."
        when = f"as soon as nobody has asked anything for {QUIET_SECONDS:.0f} seconds"
        if self._waiting:
            when = "at the first moment at which nobody is being answered"
        why = "no larger one came up beside it, so " if self._failed_beside else ""
        return f"{why}it is started anew, larger, {when}."


def second_fits(engine: EngineSupervisor, better: Plan) -> bool:
    """Whether memory allows an engine started by `better` beside the one that runs: as much as that one has now, what
    conversations and adapters may come to, and some to spare. On a GPU, whether both shares fit the card beside what is
    kept for tuning there: an engine does not start where less than its share is free."""
    if better.device != "cpu":
        tuning = better.training_share if better.sharing == "reserve" else 0.0
        return engine.plan.gpu_memory_share + better.gpu_memory_share + tuning <= SHARED_CARD
    each = engine.model.adapter_bytes(better.max_lora_rank)
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
