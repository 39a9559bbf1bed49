"""Keeps one engine running for a data folder: started, watched, restarted with back-off, stopped with all its children.

Promises that `start` returns at once, that `status` always says in a sentence how things stand, and that nothing of
the engine outlives its owner. Knows how an engine is started only through `serving.engine`.
"""

from __future__ import annotations

import asyncio
import logging
import os
import sys
import time
from collections.abc import Awaitable, Callable, Sequence

from pydantic import SecretStr

from config.catalogue import find_model
from config.errors import BadInput, EngineUnavailable, ParlanceError
from config.hardware import Plan
from config.names import VersionName, untuned
from config.settings import Settings
from serving.adapters import ensure_untuned
from serving.client import EngineClient
from serving.engine import launch
from serving.engine_log import EngineLog
from serving.failures import Failures
from serving.handover import Succession, successor
from serving.leashed import leashed
from serving.metrics import ServingMetrics
from serving.ownership import EngineRecord, Ownership, State
from serving.pulse import HEALTH_EVERY, Pulse
from serving.sizing import Size, planned
from serving.status import Condition, EngineStatus, UsualStart
from serving.wholeness import Wholeness
from store.crypto import Cipher

READY = "The engine is ready."

log = logging.getLogger(__name__)


class EngineSupervisor:
    """The engine of the home in `settings`. Raises BadInput where the base model of the settings is unknown, or their
    context too large."""

    def __init__(self, settings: Settings, cipher: Cipher) -> None:
        self.paths = settings.paths
        self.model = find_model(settings.base_model)
        self.untuned = untuned(self.model.name)
        self._settings = settings
        self.plan = self.plan_now()
        self._key = SecretStr(cipher.derive("engine"))
        metrics, whole = ServingMetrics(self.plan.max_cpu_loras), Wholeness(self.paths)
        self.client = EngineClient(self.paths.engine_socket, self._key, self.plan.context, metrics, whole)
        self.log_file = self.paths.logs / "engine.log"
        self._log = EngineLog(self.log_file)
        self.now = Condition(UsualStart(self.paths, self.model.name))
        self.ownership = Ownership(self.paths)
        self._failures = Failures(self.log_file.name)
        self._engine: Succession | None = None
        self._exchanging = asyncio.Lock()
        self._asked_for = False
        """Whether the engine's end was asked for by `restart`."""
        self.between_engines: Callable[[], Awaitable[None]] | None = None
        """Done before each start, at a moment when no engine lives on this home; it must not raise."""
        self._former: Plan | None = None
        """What ran before the plan that is to be tried for the first time."""
        self.fell_back: Size | None = None
        """Of the last plan by which the engine did not come up, so that it runs by the one before."""
        self._task: asyncio.Task[None] | None = None

    def plan_now(self) -> Plan:
        """For an engine that is started now: by the adapters that are there, and the settings."""
        settings = self._settings
        return planned(
            self.paths, self.model, None, settings.sharing, settings.training_gpu, settings.context
        )  # fmt: skip

    @property
    def pid(self) -> int | None:
        """Process and group number of the engine's leash; None while none runs."""
        return self._engine.pid if self._engine is not None and self._engine.returncode is None else None

    @property
    def retiring(self) -> bool:
        """Whether an engine that serves no more still finishes answers."""
        return self._engine is not None and self._engine.retiring

    @property
    def status(self) -> EngineStatus:
        """How things stand now."""
        return self.now.status

    def start(self) -> None:
        """Begin; returns at once. A second call does nothing."""
        if self._task is None:
            self._say("warming", "The engine is warming up.")
            self._task = asyncio.create_task(self._keep_running())

    async def stop(self) -> None:
        """End the engine and all its processes, and let the home go."""
        if self._task is not None:
            self._task.cancel()
            await asyncio.gather(self._task, return_exceptions=True)
            self._task = None
        self._say("off", "The engine is not running.")
        self.ownership.release()
        await self.client.close()

    async def wait_ready(self, timeout: float | None = None) -> None:
        """Until the engine answers, for `timeout` seconds at most. Raises EngineUnavailable where it does not."""
        try:
            async with asyncio.timeout(timeout):
                await self.now.until_ready()
        except TimeoutError:
            raise EngineUnavailable(self.status.sentence) from None

    def rest(self, sentence: str, seconds: float | None = None) -> None:
        """Have those who ask wait, as while it warms up, and tell them `sentence`: the engine lives but is not to be
        asked, for about so many seconds more as far as is known. Raises EngineUnavailable where it is not ready."""
        if self.now.state not in ("ready", "asleep"):
            raise EngineUnavailable(self.status.sentence)
        self.now.rests_until = None if seconds is None else time.monotonic() + seconds
        self._say("asleep", sentence)

    def rise(self) -> None:
        """The end of a rest, where the engine has not ended meanwhile: then its next start is the end."""
        if self.now.state == "asleep":
            self._say("ready", READY)

    async def hand_over(self, larger: Plan, versions: Sequence[VersionName]) -> None:
        """Have a second engine, started by plan `larger`, take over from the one that runs, with `versions` loaded (the
        untuned first). Nothing is cut: see `serving.handover`.

        Raises EngineUnavailable where there is none to take over from, or the second did not become ready; the first
        serves on then, and nothing of the second is left.
        """
        async with self._exchanging:
            engine = self._engine
            if engine is None or self.now.state != "ready":
                raise EngineUnavailable(self.status.sentence)
            try:
                second = await successor(self.model, larger, self.paths, self._key, versions)
                try:
                    if self._engine is not engine or self.now.state != "ready":
                        raise EngineUnavailable(self.status.sentence)
                    engine.pass_on(second)
                except BaseException:
                    await second.end()
                    raise
            except OSError as error:  # a full disk, above all
                raise EngineUnavailable(f"A second engine could not take over ({error.strerror}).") from error
            self.plan, self.fell_back, self.now.began = larger, None, time.monotonic()
            self.client.metrics.handed_over(larger.max_cpu_loras, versions)
            self._say("ready", READY)

    async def restart(self, plan: Plan) -> None:
        """End the engine and start it by `plan`, for a moment at which nothing is under way. Returns when the old one
        has ended. One that does not come up by that plan is started by the former one again, and `fell_back` has the
        size that it was to have. Raises EngineUnavailable where none runs."""
        async with self._exchanging:
            engine = self._engine
            if engine is None or self.now.state != "ready":
                raise EngineUnavailable(self.status.sentence)
            larger = Size.of(plan) != Size.of(self.plan)
            self._former, self.plan, self._asked_for = self.plan if larger else None, plan, True
            self._say("restarting", f"The engine is being started again{', larger' if larger else ''}.")
            await engine.end()

    async def _keep_running(self) -> None:
        """For good: whatever becomes of an engine, another one is started after it."""
        while True:
            ready_for, wrong = 0.0, None
            try:
                if not self.ownership.held:
                    await self._own()
                ready_for = await self._one_life()
            except ParlanceError as error:  # somebody has to mend it; until then trying again costs little
                log.exception("the engine cannot be run")
                wrong = str(error)
            except Exception:
                log.exception("the engine's supervisor broke")
                wrong = "The engine cannot be run because of an error in Parlance itself, and the log says more."
            self._fall_back(ready_for)
            asked_for, self._asked_for = self._asked_for, False
            if asked_for and wrong is None:
                continue
            pause = self._failures.one_more(ready_for)
            self.now.began = time.monotonic() + pause
            if wrong is not None or self._failures.many:
                self._say("failed", wrong or self._failures.sentence)
            else:
                self._say("restarting", "The engine ended unexpectedly and is being started again.")
            log.warning("the engine ended and is started again in %.0f s; see %s", pause, self.log_file)
            await asyncio.sleep(pause)

    def _fall_back(self, ready_for: float) -> None:
        """To the former plan, where no engine came up by the one that it was exchanged for."""
        if self._former is not None and not self._asked_for and ready_for == 0.0:
            log.warning("the engine did not come up by its new plan and is started by the one before")
            self.plan, self._former, self.fell_back = self._former, None, Size.of(self.plan)

    async def _own(self) -> None:
        """Until this process owns the home's engine and nothing of a former one runs."""
        while not self.ownership.acquire():
            self._say("warming", "Another Parlance command is using the engine of this data folder; waiting for it.")
            await asyncio.sleep(HEALTH_EVERY)
        if await asyncio.to_thread(self.ownership.end_leftovers):
            log.warning("ended an engine that a former Parlance had left running")
        self._say("warming", "The engine is warming up.")

    async def _one_life(self) -> float:
        """Start an engine and stay with it until it has ended; for how many seconds it was ready."""
        if self.between_engines is not None:
            await self.between_engines()
        began = self.now.began = time.monotonic()
        await self._make_untuned()  # it also says which layers the engine keeps adapter slots for
        first = await launch(self.model, self.plan, self.paths, self._key.get_secret_value())
        self._engine = engine = Succession(first, self.paths.engine_socket)
        ended = asyncio.create_task(engine.wait())
        try:
            self._say(*self._starting())
            if not await self._becomes_ready(ended):
                return 0.0
            ready = time.monotonic()
            self.now.usual.remember(ready - began)
            if self._former is not None:  # the plan has proved itself
                self._former = self.fell_back = None
            self._say("ready", READY)
            await self._watch(ended)
            return time.monotonic() - ready
        finally:
            await engine.end()
            await ended
            self._engine = None
            self.client.metrics.engine_ended()

    def _starting(self) -> tuple[State, str]:
        if self._failures.many:
            return "restarting", f"{self._failures.sentence}; it is being tried again."
        if self.now.state == "warming":
            return "warming", "The engine is warming up."
        return "restarting", "The engine is being started again."

    async def _becomes_ready(self, ended: asyncio.Task[int]) -> bool:
        """Until it answers as the untuned model; False where it ended first. How long that takes nobody knows: a model
        may have to be fetched first."""
        pulse = Pulse(self.client, lambda: self.pid)
        while await pulse.look() != "well":
            if ended.done():
                return False
            await asyncio.wait({ended}, timeout=HEALTH_EVERY / 2)
        try:
            await self.client.warm(self.untuned)
        except EngineUnavailable:
            return False
        return True

    async def _watch(self, ended: asyncio.Task[int]) -> None:
        """Until the engine has ended, or has not been well for too long."""
        pulse = Pulse(self.client, lambda: self.pid)
        while not ended.done() and not pulse.lost:
            beat = await pulse.look()
            if beat == "well" and self.now.state == "unwell":
                log.info("the engine answers again")
                self._say("ready", READY)
            elif beat != "well" and not ended.done() and self.now.state == "ready":
                log.warning("the engine does not answer%s", ", because it was stopped" if beat == "stopped" else "")
                self._say("unwell", "The engine does not answer; if it stays so, it is started again by itself.")
            self._log.keep_small()
            await asyncio.wait({ended}, timeout=HEALTH_EVERY)

    async def _make_untuned(self) -> None:
        """The zero adapter; made in another process, since that loads torch."""
        if not self.paths.adapter(self.untuned).exists():
            command = [sys.executable, "-m", "serving.adapters", str(self.paths.home), self.model.location]
            with self.log_file.open("ab") as output:
                maker = await leashed(command, output=output, grace=1.0)
            try:
                if await maker.wait() != 0:
                    where = f"logs/{self.log_file.name}"
                    raise BadInput(f"The untuned model could not be prepared; the end of {where} says why.")
            finally:
                await maker.end()
        await asyncio.to_thread(ensure_untuned, self.paths, self.model)

    def _say(self, state: State, sentence: str) -> None:
        self.now.say(state, sentence)
        if self.ownership.held:
            try:
                self.ownership.write(self._record())
            except OSError as error:  # others see how it was before; the engine itself goes on
                log.warning("how the engine is could not be written down (%s)", error.strerror)

    def _record(self) -> EngineRecord:
        return EngineRecord(
            owner=os.getpid(), socket=str(self.paths.engine_socket), pid=self.pid or 0,
            started=time.time() - (time.monotonic() - (self.now.began or time.monotonic())),
            model=self.model.name, context=self.plan.context, state=self.now.state, sentence=self.now.sentence,
            size=Size.of(self.plan),
        )  # fmt: skip
