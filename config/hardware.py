"""What this machine has, and the plan that follows: dtype, memory split, adapter slots, context, each with a reason.

A processor without AVX512-BF16 or AMX emulates bfloat16.
"""

from __future__ import annotations

import os
import shutil
import subprocess
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import psutil

from config.adapter_room import LEAST_RANK, SLOTS_SHARE, adapter_room, engine_rank_for, largest_rank
from config.catalogue import GIB, CatalogueModel
from config.context import LONGEST_LEARNT, on_card, on_processor
from config.learning_base import base_on_card, base_on_processor

GpuSharing = Literal["reserve", "sleep", "separate"]
"""How tuning and serving live with GPUs: one's memory split by plan; serving asleep while tuning; another to tune."""
SERVING_GPU = 0
"""The number of the card that serves."""
WHOLE_CARD = 0.9
"""Of a card's memory, what one process may take: drivers and others need the rest."""
SHARED_CARD = 0.95
"""What those may take together that share it by plan."""
MOST_FOR_SERVING = 0.55
"""Where the card is large for the model, tuning gets the rest: more of it makes tuning faster, up to here."""
SERVING_TIMES = 1.25
"""Serving takes at least the weights and a quarter for conversations and adapters."""
REQUESTS_ON_CPU, REQUESTS_ON_GPU = 32, 256


@dataclass(frozen=True, slots=True)
class Gpu:
    """One card. `memory` in bytes."""

    name: str
    memory: int


@dataclass(frozen=True, slots=True)
class Hardware:
    """What was found. Memory and disk in bytes."""

    cores: int
    memory: int
    memory_free: int
    disk_free: int
    processor_flags: frozenset[str]
    gpus: tuple[Gpu, ...]

    @property
    def fast_bf16(self) -> bool:
        """Whether the processor multiplies bfloat16 itself."""
        return bool(self.processor_flags & {"avx512_bf16", "amx_bf16", "bf16"})


@dataclass(frozen=True, slots=True)
class Plan:
    """How the engine and training are run here, and why, in words.

    Memory in bytes, `context` in tokens, `learnt_context` what is learnt from at once. `device` is `cuda` or `cpu`.
    """

    device: str
    dtype: str
    gpu_memory_share: float
    kv_cache: int
    max_loras: int
    max_lora_rank: int
    max_cpu_loras: int
    context: int
    max_requests: int
    training_threads: int
    reasons: tuple[str, ...]
    training_share: float = 0.0
    """Of a card's memory, what tuning may take; 0 on a processor."""
    sharing: GpuSharing = "reserve"
    four_bits: bool = False
    """Whether the base is held in 4 bits while it is learnt on, because memory has no room for it as it is."""
    learnt_context: int = LONGEST_LEARNT
    training_rank: int = LEAST_RANK
    """The largest rank of an adapter that training may make: an engine that takes it has room here. The engine is
    started for `max_lora_rank`, which may be less as long as no such adapter is here."""

    @property
    def sleeps(self) -> bool:
        """Whether the engine is put to sleep while tuning has the card."""
        return self.device == "cuda" and self.sharing == "sleep"


def _flags() -> frozenset[str]:
    info = Path("/proc/cpuinfo")
    if not info.exists():
        return frozenset()
    for line in info.read_text(errors="replace").splitlines():
        if line.startswith(("flags", "Features")):
            return frozenset(line.split(":", 1)[1].split())
    return frozenset()


def _gpus() -> tuple[Gpu, ...]:
    command = shutil.which("nvidia-smi")
    if command is None:
        return ()
    query = [command, "--query-gpu=name,memory.total", "--format=csv,noheader,nounits"]
    try:
        done = subprocess.run(query, capture_output=True, text=True, check=False, timeout=20)
    except subprocess.TimeoutExpired:  # a driver that hangs
        return ()
    if done.returncode != 0:
        return ()
    rows = [line.rsplit(",", 1) for line in done.stdout.splitlines() if "," in line]
    return tuple(Gpu(name.strip(), int(mib) << 20) for name, mib in rows if mib.strip().isdecimal())


def probe(home: Path) -> Hardware:
    """Look at this machine; `home` tells which disk."""
    memory = psutil.virtual_memory()
    place = next(p for p in (home, *home.parents) if p.exists())
    return Hardware(
        cores=len(os.sched_getaffinity(0)),
        memory=memory.total,
        memory_free=memory.available,
        disk_free=shutil.disk_usage(place).free,
        processor_flags=_flags(),
        gpus=_gpus(),
    )


def no_other_card(hardware: Hardware, training_gpu: int) -> str | None:
    """Why tuning cannot have the card `training_gpu` for itself, as a sentence; None where it can."""
    if training_gpu == SERVING_GPU:
        return (
            f"GPU number {training_gpu} is the one that serves, so it cannot be the other one to tune on; set "
            "training_gpu to another card's number, or gpu_sharing to sleep or reserve."
        )
    if training_gpu >= len(hardware.gpus):
        return (
            f"There is no GPU number {training_gpu} here to tune on; set training_gpu to another one, or gpu_sharing "
            "to sleep or reserve."
        )
    return None


@dataclass(frozen=True, slots=True)
class CardShares:
    """Of one card's memory: what serving takes, what tuning may take, and why. They add up to 1 at most, unless the two
    take turns or have a card each."""

    serving: float
    training: float
    reasons: tuple[str, ...]
    four_bits: bool = False


def card_shares(card: Gpu, weights: int, sharing: GpuSharing, training_card: Gpu | None = None) -> CardShares:
    """Split `card` by the policy; `weights` in bytes of 16-bit numbers. `training_card`: the other one, where there
    is another to tune on."""
    if sharing == "separate" and training_card is None:
        return CardShares(WHOLE_CARD, 0.0, (f"{WHOLE_CARD:.0%} of the card for serving: tuning has no other card",))
    if sharing != "reserve":
        turns = "serving sleeps while tuning has it" if sharing == "sleep" else "tuning has another card"
        base = base_on_card(weights, int((training_card or card).memory * WHOLE_CARD))
        reasons = (f"{WHOLE_CARD:.0%} of the card for serving: {turns}", *base.reasons)
        return CardShares(WHOLE_CARD, WHOLE_CARD, reasons, base.four_bits)
    beside = int(card.memory * SHARED_CARD - weights * SERVING_TIMES)
    base = base_on_card(weights, beside)
    if not base.fits:
        why = "model and tuning do not fit it together, so tuning needs the setting gpu_sharing as sleep or separate"
        return CardShares(WHOLE_CARD, 0.0, (f"{WHOLE_CARD:.0%} of the card for serving: {why}",))
    training = max(base.needed, min(beside, card.memory * (1 - MOST_FOR_SERVING))) / card.memory
    serving = round(SHARED_CARD - training, 2)
    reasons = (f"{serving:.0%} of the card for serving, {training:.0%} kept for tuning", *base.reasons)
    return CardShares(serving, round(training, 2), reasons, base.four_bits)


def plan(
    hardware: Hardware, model: CatalogueModel, *, assistants: int = 1, rank: int = LEAST_RANK,
    sharing: GpuSharing = "reserve", training_gpu: int = 1, context: int | None = None,
) -> Plan:  # fmt: skip
    """Choose. `assistants`: how many may be in use at once; `rank`: the largest of an adapter that is to be served;
    `sharing`: how tuning and serving live with cards; `training_gpu`: the number of the other card, which tuning has
    where that is `separate`; `context`: the most tokens of a conversation, None: as many as suit. Raises BadInput where
    it is more than the model reads or memory holds."""
    reasons: list[str] = []
    engine_rank = engine_rank_for(rank)
    reasons.append(f"adapters up to rank {engine_rank}: the largest here has {rank}, and every slot takes that room")
    if hardware.gpus:
        card = hardware.gpus[0]
        weights = model.parameters * 2
        each = model.adapter_bytes(engine_rank)
        room = adapter_room(assistants, REQUESTS_ON_GPU, each, card.memory, hardware.memory)
        reasons.append(f"{card.name} with {card.memory / GIB:.0f} GiB: everything in bfloat16 on it")
        reasons += room.reasons
        apart = sharing == "separate" and no_other_card(hardware, training_gpu) is None
        another = hardware.gpus[training_gpu] if apart else None
        training_rank = largest_rank(model, card.memory, hardware.memory)
        reasons.append(_training_rank(training_rank))
        shares = card_shares(card, weights, sharing, another)
        reasons += shares.reasons
        # Less all that adapters may ever take, so that the context stays as it is when more of them come.
        window = on_card(model, int(card.memory * (shares.serving - SLOTS_SHARE)) - weights, context)
        reasons.append(window.reason)
        return Plan(
            "cuda", "bfloat16", shares.serving, 0, room.slots, engine_rank, room.kept,
            window.tokens, REQUESTS_ON_GPU, max(1, hardware.cores - 1), tuple(reasons),
            shares.training, sharing, shares.four_bits, window.learnt, training_rank,
        )  # fmt: skip
    small = model.parameters < 500_000_000
    dtype = "float32" if small or not hardware.fast_bf16 else "bfloat16"
    if small:
        reasons.append("float32: the model is small, and exact numbers let the gate compare trainer and engine closely")
    elif hardware.fast_bf16:
        reasons.append("bfloat16: this processor multiplies it natively, at half the memory")
    else:
        reasons.append("float32: this processor would emulate bfloat16, which is slower")
    bytes_each = 4 if dtype == "float32" else 2
    weights = model.parameters * bytes_each
    usual = max(1, min(8, int((hardware.memory * 0.5 - 2 * weights) / GIB / 4))) * GIB
    window = on_processor(model, small, usual, int(hardware.memory * 0.5) - weights, bytes_each, context)
    kv = window.cache // GIB
    reasons.append(f"{kv} GiB for the conversations being answered, of {hardware.memory / GIB:.0f} GiB in the machine")
    each = model.adapter_bytes(engine_rank)
    room = adapter_room(assistants, None, each, hardware.memory, hardware.memory)
    reasons += room.reasons
    reasons.append(window.reason)
    training_rank = largest_rank(model, hardware.memory, hardware.memory)
    reasons.append(_training_rank(training_rank))
    # What is free now, and no more than what is once the engine has its part.
    base = base_on_processor(weights, min(hardware.memory_free, hardware.memory - weights - kv * GIB))
    reasons += base.reasons
    return Plan(
        "cpu", dtype, 0.0, kv * GIB, room.slots, engine_rank, room.kept,
        window.tokens, REQUESTS_ON_CPU, hardware.cores, tuple(reasons), sharing=sharing, four_bits=base.four_bits,
        learnt_context=window.learnt, training_rank=training_rank,
    )  # fmt: skip


def _training_rank(rank: int) -> str:
    return f"training makes adapters up to rank {rank}, for which an engine would have room here"
