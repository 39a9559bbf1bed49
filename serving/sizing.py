"""Sized to its use: what is in service against what the engine was started with, in numbers and in one sentence.

Promises that a restart is called for only where the engine would be larger after it. Knows not when to restart.
"""

from __future__ import annotations

import asyncio
from dataclasses import dataclass

from sqlalchemy import select

from config.adapter_room import LEAST_RANK
from config.catalogue import CatalogueModel
from config.hardware import GpuSharing, Hardware, Plan, plan, probe
from config.names import VersionName, untuned
from config.paths import Paths
from serving.adapters import adapters_here
from store.database import Database
from store.tables import Assistant


@dataclass(frozen=True, slots=True)
class Size:
    """What an engine is started with: adapters in one batch (`slots`), adapters kept in memory, requests at once, and
    the largest rank it takes."""

    slots: int
    kept: int
    requests: int
    rank: int

    @classmethod
    def of(cls, chosen: Plan) -> Size:
        return cls(chosen.max_loras, chosen.max_cpu_loras, chosen.max_requests, chosen.max_lora_rank)


@dataclass(frozen=True, slots=True)
class Use:
    """What is there to be served: `versions`, those in service with the untuned model first, and the largest rank of
    any adapter in the data folder, in service or not."""

    versions: tuple[VersionName, ...]
    rank: int

    @property
    def adapters(self) -> int:
        return len(self.versions)


def planned(
    paths: Paths, model: CatalogueModel, hardware: Hardware | None = None, sharing: GpuSharing = "reserve",
    training_gpu: int = 1, context: int | None = None,
) -> Plan:  # fmt: skip
    """The plan for an engine that is started now, from the adapters that lie in the data folder; on this machine, if
    `hardware` does not say otherwise. `sharing`: how tuning and serving live with cards; `training_gpu`: which other
    card tuning has; `context`: the setting, None: as many tokens as suit. Raises BadInput where it is too large."""
    assistants, rank = adapters_here(paths)
    return plan(
        hardware or probe(paths.home), model,
        assistants=max(1, assistants), rank=max(LEAST_RANK, rank), sharing=sharing, training_gpu=training_gpu,
        context=context,
    )  # fmt: skip


async def in_use(database: Database, paths: Paths, model: CatalogueModel) -> Use:
    """What is in service now on `model`."""
    serving = select(Assistant.name, Assistant.in_service).where(Assistant.in_service.is_not(None))
    async with database.session() as session:
        rows = (await session.execute(serving.order_by(Assistant.id))).all()
    versions = [VersionName(name, number) for name, number in rows]
    _, rank = await asyncio.to_thread(adapters_here, paths)
    return Use((untuned(model.name), *versions), rank)


def outgrown(size: Size, use: Use, then: Size) -> str | None:
    """What is wrong with an engine of `size` for this use, as half a sentence, where one of size `then` would be
    better; else None."""
    if use.rank > size.rank and then.rank > size.rank:
        return f"an adapter of rank {use.rank} is here, and the engine was started for {size.rank} at most"
    if use.adapters > size.kept and then.kept > size.kept:
        return f"{use.adapters} adapters are in use, and the engine was started to keep {size.kept} in memory"
    if min(use.adapters, size.requests) > size.slots and then.slots > size.slots:
        return f"{use.adapters} adapters are in use, and the engine was started for {size.slots} at once"
    return None


def at_its_limit(use: Use, then: Size) -> str | None:
    """Where even an engine of size `then`, the most that this machine affords, is too small for the use: a sentence."""
    if use.adapters > then.kept:
        return f"{use.adapters} adapters are in use, and this machine has memory for {then.kept}; answers come slower."
    if min(use.adapters, then.requests) > then.slots:
        return f"{use.adapters} adapters are in use, and this machine has room for {then.slots} at once; answers wait."
    return None
