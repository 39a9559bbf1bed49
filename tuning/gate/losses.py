"""Mean loss of a version on conversations, as the engine that will serve it computes it.

The engine's own chat endpoint renders; our rendering only says which positions are learnt. Where the two differ,
the number would mean nothing, so that is an error and not a figure.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from config.errors import JobFailed
from config.names import VersionName
from serving.client import EngineClient
from tuning.exchanges import Exchange

AT_ONCE = 8


@dataclass(frozen=True, slots=True)
class Loss:
    """Nats per learnt token, over so many tokens."""

    mean: float
    tokens: int


async def mean_loss(
    client: EngineClient,
    version: VersionName,
    exchanges: Sequence[Exchange],
    step: Callable[[], None],
) -> Loss:
    """Score every exchange with `version`; `step` is called after each.

    Raises JobFailed where the engine renders otherwise than we do, or where there is nothing to measure on.
    """
    limit = asyncio.Semaphore(AT_ONCE)

    async def one(exchange: Exchange) -> tuple[float, int]:
        async with limit:
            scored = await client.score(version, exchange.messages)
        if scored.ids != exchange.rendered.ids:
            raise JobFailed(
                "The engine renders conversations differently from training, so nothing measured would hold; "
                "the base model's chat template has to be looked at."
            )
        step()
        pairs = zip(scored.logprobs, exchange.rendered.learnt, strict=True)
        picked = [logprob for logprob, learnt in pairs if learnt and logprob is not None]
        return -sum(picked), len(picked)

    totals = await asyncio.gather(*(one(exchange) for exchange in exchanges))
    tokens = sum(count for _, count in totals)
    if tokens == 0:
        raise JobFailed("There is nothing to measure on: the conversations kept apart hold no answer.")
    return Loss(sum(loss for loss, _ in totals) / tokens, tokens)
