"""From one engine to the next without anybody noticing: a second one becomes ready beside the first, takes its place at
the socket in one step, and the first ends once nothing is under way in it.

Promises that a new connection leads to one of the two at every moment, that an answer under way goes on where it began,
and that none of them outlives its `Succession`. Connections that were open before stay with the first engine; the
client opens new ones as soon as another engine listens at its socket. Knows not why an engine is exchanged.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
import time
from collections.abc import Sequence
from pathlib import Path

import aiohttp
from pydantic import SecretStr

from config.catalogue import CatalogueModel
from config.errors import EngineUnavailable, NotFound, Refused
from config.hardware import Plan
from config.names import VersionName
from config.paths import Paths
from serving.client import KEPT_SECONDS, EngineClient
from serving.engine import launch
from serving.leashed import Leashed

LAST_ANSWERS_SECONDS = 600.0
"""How long the answers under way in the former engine may take before it ends all the same."""
NEXT, LAST = ".next", ".last"
"""Endings of the sockets of an engine that is not serving yet, and of one that serves no more."""
START_SECONDS = 1800.0
"""How long a second engine may take until it is ready: everything it needs lies on this machine already."""
LOOK_EVERY = 0.5

log = logging.getLogger(__name__)


class Succession:
    """The engine that serves, and those before it that still finish answers. To who watches it, one process."""

    def __init__(self, first: Leashed, socket: Path) -> None:
        self._serving = first
        self._socket = socket
        self._passed_on = asyncio.Event()
        self._retiring: dict[asyncio.Task[None], Leashed] = {}

    @property
    def pid(self) -> int:
        return self._serving.pid

    @property
    def retiring(self) -> bool:
        """Whether a former engine still finishes answers."""
        return bool(self._retiring)

    @property
    def returncode(self) -> int | None:
        return self._serving.returncode

    async def wait(self) -> int:
        """Until the engine that serves by then has ended; its exit status."""
        while True:
            current = self._serving
            ended, passed_on = asyncio.create_task(current.wait()), asyncio.create_task(self._passed_on.wait())
            try:
                await asyncio.wait({ended, passed_on}, return_when=asyncio.FIRST_COMPLETED)
                if current is self._serving:
                    return await ended
            finally:
                for task in (ended, passed_on):
                    task.cancel()

    async def end(self) -> int:
        """End them all; the exit status of the one that served."""
        retiring = dict(self._retiring)
        for task in retiring:
            task.cancel()
        await asyncio.gather(*retiring, return_exceptions=True)
        left = [former for former in retiring.values() if former.returncode is None]  # its task had not begun
        status, *_ = await asyncio.gather(self._serving.end(), *(former.end() for former in left))
        return status

    def pass_on(self, successor: Leashed) -> None:
        """From now on `successor`, ready at `socket` with NEXT at its end, serves. Raises OSError where its socket is
        gone; then nothing has changed."""
        last = _beside(self._socket, LAST)
        last.unlink(missing_ok=True)
        os.link(self._socket, last)  # the former engine is asked there whether it has finished
        try:
            _beside(self._socket, NEXT).replace(self._socket)
        except OSError:
            last.unlink()
            raise
        former, self._serving = self._serving, successor
        passed_on, self._passed_on = self._passed_on, asyncio.Event()
        passed_on.set()
        retiring = asyncio.create_task(self._retire(former, last))
        self._retiring[retiring] = former
        retiring.add_done_callback(self._retiring.pop)

    async def _retire(self, former: Leashed, socket: Path) -> None:
        try:
            async with asyncio.timeout(LAST_ANSWERS_SECONDS):
                await _finished(socket)
        except TimeoutError:
            log.warning("the former engine still had answers under way after %.0f s", LAST_ANSWERS_SECONDS)
        finally:
            await former.end()
            await asyncio.to_thread(socket.unlink, missing_ok=True)


async def successor(
    model: CatalogueModel, plan: Plan, paths: Paths, key: SecretStr, versions: Sequence[VersionName]
) -> Leashed:
    """A second engine beside the one that serves, ready, and with `versions` loaded as far as it can load them; the
    first of these it must. Raises EngineUnavailable where it does not become ready."""
    socket = _beside(paths.engine_socket, NEXT)
    engine = await launch(model, plan, paths, key.get_secret_value(), socket)
    client = EngineClient(socket, key, plan.context)
    ended = asyncio.create_task(engine.wait())
    until = time.monotonic() + START_SECONDS
    try:
        while not await client.healthy():
            if ended.done() or time.monotonic() > until:
                raise EngineUnavailable(
                    f"A second engine did not start; the end of {paths.logs / 'engine.log'} says why."
                )
            await asyncio.wait({ended}, timeout=LOOK_EVERY)
        await client.warm(versions[0])
        for version in versions[1:]:
            with contextlib.suppress(NotFound, Refused):  # it is no worse off than with the first engine
                await client.warm(version)
    except BaseException:
        await engine.end()
        raise
    finally:
        ended.cancel()
        await client.close()
    return engine


async def under_way(socket: Path) -> int:
    """Requests that run or wait in the engine behind `socket`, whoever asked. Raises EngineUnavailable."""
    try:
        async with (
            asyncio.timeout(10),
            aiohttp.ClientSession(connector=aiohttp.UnixConnector(str(socket)), trust_env=False) as http,
            http.get("http://engine/metrics") as answer,
        ):
            lines = (await answer.text()).splitlines()
    except (aiohttp.ClientError, OSError, TimeoutError) as error:
        raise EngineUnavailable("The engine does not say what it is doing; look again in a minute.") from error
    counted = ("vllm:num_requests_running{", "vllm:num_requests_waiting{")
    return round(sum(float(line.rsplit(" ", 1)[1]) for line in lines if line.startswith(counted)))


async def _finished(socket: Path) -> None:
    """Until nothing is under way, and has not been for longer than a connection is used again; or nobody is there."""
    still = 0.0
    with contextlib.suppress(EngineUnavailable):
        while still <= KEPT_SECONDS:
            await asyncio.sleep(LOOK_EVERY)
            still = 0.0 if await under_way(socket) else still + LOOK_EVERY


def _beside(socket: Path, ending: str) -> Path:
    return socket.with_name(socket.name + ending)
