"""The loss of a version on conversations, as the engine that will serve it computes it.

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
from tuning.gate.together import together

AT_ONCE = 8


@dataclass(frozen=True, slots=True)
class Losses:
    """Of each conversation, in order: the loss of its learnt tokens in nats, summed, and how many they are."""

    sums: tuple[float, ...]
    tokens_each: tuple[int, ...]

    @property
    def tokens(self) -> int:
        """All learnt tokens."""
        return sum(self.tokens_each)

    @property
    def mean(self) -> float:
        """Nats per learnt token."""
        return sum(self.sums) / self.tokens


async def losses(
    client: EngineClient,
    version: VersionName,
    exchanges: Sequence[Exchange],
    step: Callable[[], None],
) -> Losses:
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

    totals = await together(one(exchange) for exchange in exchanges)
    found = Losses(tuple(loss for loss, _ in totals), tuple(count for _, count in totals))
    if found.tokens == 0:
        raise JobFailed("There is nothing to measure on: the conversations kept apart hold no answer.")
    return found
