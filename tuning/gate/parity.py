"""Parity: the engine's token log-probabilities against the trainer's, on what the engine's chat endpoint renders.

What differs here would make the assistant answer otherwise than it was trained and measured.
"""

from __future__ import annotations

import asyncio
from typing import cast

from config.names import VersionName
from serving.client import EngineClient
from serving.prompt import Message
from tuning.gate.losses import AT_ONCE
from tuning.gate.report import Parity
from tuning.gate.together import together
from tuning.training.outcome import Parity as Computed
from tuning.training.outcome import ParityRow

TOKENS_NEEDED = 500
LIMITS = {"float32": 0.02, "bfloat16": 0.15}
"""Mean absolute difference in nats, by the dtype that is served. The one for bfloat16 is not yet measured."""


async def measure_parity(client: EngineClient, version: VersionName, computed: Computed, dtype: str) -> Parity:
    """Compare the engine with what the trainer `computed`."""
    limit = asyncio.Semaphore(AT_ONCE)

    async def one(row: ParityRow) -> tuple[bool, list[float]]:
        async with limit:
            scored = await client.score(version, cast("list[Message]", row.messages))
        if list(scored.ids) != row.ids:
            return False, []
        both = zip(scored.logprobs, row.logprobs, strict=True)
        return True, [abs(ours - theirs) for ours, theirs in both if ours is not None and theirs is not None]

    compared = await together(one(row) for row in computed.rows)
    differences = [difference for _, found in compared for difference in found]
    return Parity(
        mean_difference=sum(differences) / len(differences) if differences else 0.0,
        largest_difference=max(differences, default=0.0),
        tokens=len(differences),
        same_rendering=all(same for same, _ in compared),
        limit=LIMITS[dtype],
        tokens_needed=TOKENS_NEEDED,
    )
