"""Puts an engine to sleep and wakes it: asleep at level 1, its weights lie in the machine's memory, the card is free.

Promises that answers under way are finished first, and that what is asked meanwhile waits inside the engine rather than
fails. On a processor vLLM says that it sleeps and does nothing. Knows neither why an engine is to sleep nor whether it
answers as before afterwards.
"""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

import aiohttp

from config.errors import EngineUnavailable

SLEEP_SECONDS, WAKE_SECONDS = 900.0, 300.0
"""Going to sleep waits for the answers under way; waking is a copy."""


class Sleeper:
    """Talks to the engine at `socket`, which was started so that it can sleep (`Plan.sleeps`)."""

    def __init__(self, socket: Path) -> None:
        self._socket = socket

    async def sleep(self) -> None:
        """Returns when the card's memory has been given back. Raises EngineUnavailable."""
        await self._post("/sleep", {"level": "1", "mode": "wait"}, SLEEP_SECONDS, "be put to sleep")

    async def wake(self) -> None:
        """Returns when it answers again. Raises EngineUnavailable, above all where the card's memory is not free."""
        await self._post("/wake_up", {}, WAKE_SECONDS, "be woken")

    async def asleep(self) -> bool:
        """Whether it sleeps. Raises EngineUnavailable."""
        told = await self._ask("GET", "/is_sleeping", {}, WAKE_SECONDS, "say whether it sleeps")
        return bool(told["is_sleeping"])

    async def _post(self, path: str, query: dict[str, str], seconds: float, what: str) -> None:
        await self._ask("POST", path, query, seconds, what)

    async def _ask(self, method: str, path: str, query: dict[str, str], seconds: float, what: str) -> dict[str, Any]:
        try:
            async with (
                asyncio.timeout(seconds),
                aiohttp.ClientSession(connector=aiohttp.UnixConnector(str(self._socket)), trust_env=False) as http,
                http.request(method, f"http://engine{path}", params=query) as answer,
            ):
                if answer.status != 200:
                    raise EngineUnavailable(f"The engine could not {what}; its log says why.")
                # vLLM 0.25 answers some of these with nothing at all.
                told: dict[str, Any] = await answer.json() if await answer.read() else {}
                return told
        except (aiohttp.ClientError, TimeoutError, OSError) as error:
            raise EngineUnavailable(f"The engine could not {what}; its log says why.") from error
