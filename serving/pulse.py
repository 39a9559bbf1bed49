"""The engine's pulse: looked for once a second, it tells an engine that is well from one that is stopped or silent.

Promises that a fault is known within 5 s and no load is taken for one, and that an engine which somebody stopped
(SIGSTOP) is let go on after a while: the answers under way in it go on with it. Knows neither how an engine is started
nor who waits for it.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Callable
from typing import Literal

from serving.client import EngineClient
from serving.vitals import go_on, halted

HEALTH_EVERY, ANSWER_SECONDS = 1.0, 3.0
"""Together with what a look takes, well under 5 s: so soon is an engine known not to answer."""
HALTED_SECONDS, UNWELL_SECONDS = 8.0, 30.0
"""How long a stopped engine is left alone, and one that is not well: that one is not waited for any longer."""

Beat = Literal["well", "stopped", "silent"]

log = logging.getLogger(__name__)


class Pulse:
    """Of the engine behind `client`, whose leash has the process number that `pid` gives."""

    def __init__(self, client: EngineClient, pid: Callable[[], int | None]) -> None:
        self._client = client
        self._pid = pid
        self._looked = time.monotonic()
        self._stopped = 0.0
        self.unwell = 0.0
        """Seconds since it was last well."""

    @property
    def lost(self) -> bool:
        """Whether it has not been well for so long that another one should take its place."""
        return self.unwell >= UNWELL_SECONDS

    async def look(self) -> Beat:
        """How it is now; takes ANSWER_SECONDS at most. That it is stopped is the kernel's word, and certain."""
        stopped = await asyncio.to_thread(halted, self._pid() or 0)
        well = not stopped and await self._client.healthy(ANSWER_SECONDS)
        # A longer gap than between two looks means that it was us who stood still.
        passed = min(time.monotonic() - self._looked, HEALTH_EVERY + ANSWER_SECONDS)
        self._looked = time.monotonic()
        self.unwell = 0.0 if well else self.unwell + passed
        self._stopped = self._stopped + passed if stopped else 0.0
        if self._stopped > HALTED_SECONDS:
            log.warning("the engine was stopped, and is let go on")
            go_on(stopped)
        if well:
            return "well"
        return "stopped" if stopped else "silent"
