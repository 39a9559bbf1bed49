"""GPUs for serving and tuning: what a job does about them before it learns, and after.

`reserve`: memory was split when the engine was started; tuning keeps to its share. `sleep`: the engine finishes what it
answers, sleeps, and gives the card to tuning; who asks meanwhile waits and is told; before anybody is answered again,
every version that is in service, or that the engine has loaded since it started, must score a conversation as it did
before, else the engine is started anew. `separate`: tuning runs on another card, or on another machine. Where there is
no GPU, or no engine of this process to mind, there is nothing to do. Knows nothing of what is learnt.
"""

from __future__ import annotations

import asyncio
import os
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field
from typing import Protocol

import structlog
from sqlalchemy import select

from config.errors import EngineUnavailable, JobFailed, ParlanceError
from config.hardware import WHOLE_CARD, Hardware, Plan, no_other_card, probe
from config.names import VersionName
from config.paths import Paths
from config.settings import Settings
from serving.client import EngineClient
from serving.prompt import Message
from serving.sleeping import Sleeper
from store.database import Database
from store.tables import Assistant
from tuning.gate.parity import LIMITS
from tuning.training.run import MEMORY_SHARE_VARIABLE

AT_ONCE = 4
MOST_CHECKED = 256
"""Of the versions that the engine has loaded, besides those in service: the last ones."""
CHECKED: list[Message] = [
    {"role": "user", "content": "Good morning! Could you tell me how to get to the station?"},
    {"role": "assistant", "content": "Sure, go down the road and turn left at the bridge. When does your train leave?"},
]
"""Scored by every version before the engine sleeps and after it has woken."""

Scores = dict[VersionName, list[float]]

log = structlog.get_logger()


class ServingEngine(Protocol):
    """The engine as this needs it; `serving.supervisor.EngineSupervisor` is one."""

    plan: Plan
    paths: Paths
    untuned: VersionName

    @property
    def client(self) -> EngineClient: ...

    async def wait_ready(self) -> None:
        """Until it answers."""
        ...

    def rest(self, sentence: str, seconds: float | None = None) -> None:
        """Have those who ask wait, and tell them why, and for about how many seconds more where that is known."""
        ...

    def rise(self) -> None:
        """The end of it."""
        ...

    async def restart(self, plan: Plan) -> None:
        """End it and start it by this plan."""
        ...


@dataclass(slots=True)
class Room:
    """What a training process is given, as environment besides its own."""

    environment: Mapping[str, str] = field(default_factory=dict)
    resting: ServingEngine | None = None
    who: str = ""

    def tell(self, seconds_left: float | None) -> None:
        """Say how long it still takes to those who wait for the engine, where it sleeps."""
        if self.resting is not None:
            with suppress(EngineUnavailable):  # it has ended, and says so itself
                self.resting.rest(resting_sentence(self.who, seconds_left), seconds_left)


class Sharing:
    """How the jobs of one process share a card with its engine; `engine` None where it serves nobody."""

    def __init__(
        self, database: Database, settings: Settings, engine: ServingEngine | None, hardware: Hardware | None = None
    ) -> None:
        self._database, self._settings, self._engine = database, settings, engine
        self._hardware = hardware

    @asynccontextmanager
    async def room(self, assistant: str, plan: Plan) -> AsyncIterator[Room]:
        """Room to train for `assistant` by `plan`, for as long as it is held.

        Raises JobFailed where this machine has no room by the policy that is set, EngineUnavailable where the engine
        cannot be put to sleep.
        """
        share = {MEMORY_SHARE_VARIABLE: str(plan.training_share or WHOLE_CARD)}
        if plan.device != "cuda" or self._settings.machine is not None:
            yield Room()
        elif self._settings.sharing == "separate":
            yield Room(share | {"CUDA_VISIBLE_DEVICES": await self._another_card()})
        elif self._engine is not None and self._settings.sharing == "sleep":
            async with self.asleep(assistant, self._engine):
                yield Room(share, self._engine, assistant)
        elif self._engine is None or plan.training_share:
            yield Room(share)
        else:
            raise JobFailed(
                "Serving and tuning do not fit this GPU together; set gpu_sharing to sleep, or to separate where there "
                "is another GPU, and start the tuning again."
            )

    @asynccontextmanager
    async def asleep(self, assistant: str, engine: ServingEngine) -> AsyncIterator[None]:
        """The engine sleeps; afterwards it answers as before, or is started anew."""
        await engine.wait_ready()
        engine.rest(resting_sentence(assistant, None))  # at once: from now on nobody else may exchange it
        sleeper = Sleeper(engine.paths.engine_socket)
        before: Scores = {}
        try:
            before = await scores(engine.client, await self._checked(engine))
            await sleeper.sleep()
            log.info("the engine sleeps", versions=len(before))
            yield
        finally:
            await self._woken(engine, sleeper, before)

    async def _woken(self, engine: ServingEngine, sleeper: Sleeper, before: Scores) -> None:
        """Awake, and every version as it was. Where that cannot be had the engine is started again, which can."""
        try:
            await sleeper.wake()
            wrong = changed(before, await scores(engine.client, list(before)), LIMITS[engine.plan.dtype])
        except ParlanceError as error:
            log.warning("the engine did not wake and is started again", why=str(error))
            wrong = [engine.untuned, *before]
        engine.rise()
        if not wrong:
            log.info("the engine is awake, every version as before", versions=len(before))
            return
        log.warning("versions answer otherwise after waking; the engine is started again", versions=len(wrong))
        try:
            await engine.restart(engine.plan)
        except EngineUnavailable as error:  # it has ended by itself, and is being started already
            log.warning("the engine is being started again already", why=str(error))

    async def _checked(self, engine: ServingEngine) -> list[VersionName]:
        """Whose answers are compared: the untuned model, what is in service, and what else the engine may hold, asked
        for by number or before a rollback. What it has not loaded it reads from its folder, asleep or not."""
        loaded = await engine.client.loaded()
        return list(dict.fromkeys([engine.untuned, *await self._in_service(), *loaded[-MOST_CHECKED:]]))

    async def _in_service(self) -> list[VersionName]:
        serving = select(Assistant.name, Assistant.in_service).where(Assistant.in_service.is_not(None))
        async with self._database.session() as session:
            rows = (await session.execute(serving.order_by(Assistant.id))).all()
        return [VersionName(name, number) for name, number in rows]

    async def _another_card(self) -> str:
        found = self._hardware
        hardware = found if found is not None else await asyncio.to_thread(probe, self._settings.home)
        number = self._settings.training_gpu
        why = no_other_card(hardware, number)
        if why is not None:
            raise JobFailed(why)
        return _visible(number)


def _visible(number: int, environment: Mapping[str, str] = os.environ) -> str:
    """The card's name among those that this process itself may see."""
    shown = [one.strip() for one in environment.get("CUDA_VISIBLE_DEVICES", "").split(",") if one.strip()]
    return shown[number] if number < len(shown) else str(number)


def resting_sentence(assistant: str, seconds_left: float | None) -> str:
    """What is said to those who wait."""
    if seconds_left is None:
        return f"The assistants rest while {assistant} learns."
    minutes = max(1, round(seconds_left / 60))
    return (
        f"The assistants rest while {assistant} learns, for about {minutes} minute{'' if minutes == 1 else 's'} more."
    )


async def scores(client: EngineClient, versions: Sequence[VersionName]) -> Scores:
    """Each version's log-probabilities of CHECKED, by the engine. A version that it cannot load is left out: it could
    not be served before either."""
    limit = asyncio.Semaphore(AT_ONCE)

    async def one(version: VersionName) -> tuple[VersionName, list[float]] | None:
        async with limit:
            try:
                scored = await client.score(version, CHECKED)
            except EngineUnavailable:
                raise
            except ParlanceError:
                return None
        return version, [value for value in scored.logprobs if value is not None]

    return dict([found for found in await asyncio.gather(*(one(version) for version in versions)) if found is not None])


def changed(before: Scores, after: Scores, limit: float) -> list[VersionName]:
    """Versions that score otherwise than before, by more than `limit` nats a token on average."""
    wrong = []
    for version, was in before.items():
        now = after.get(version, [])
        if len(now) != len(was) or sum(abs(a - b) for a, b in zip(was, now, strict=True)) > limit * len(was):
            wrong.append(version)
    return wrong
