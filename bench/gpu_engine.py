"""An engine for measuring: started as the platform starts its own, on a shape with random weights, and its memory.

The command line, environment and leash are `serving.engine`'s; what differs is said by `more`: weights that vLLM makes
up itself where no answer is compared. Knows what the card has free by asking it.
"""

from __future__ import annotations

import asyncio
import os
import secrets
import time
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace
from importlib import metadata
from pathlib import Path

from pydantic import SecretStr

from bench.gpu_results import Bench
from config.catalogue import CatalogueModel
from config.hardware import Plan
from config.names import VersionName
from config.paths import Paths
from serving.adapters import adapted_layers, ensure_untuned
from serving.client import EngineClient
from serving.engine import GRACE_SECONDS, command_line, environment
from serving.leashed import leashed

DUMMY = ("--load-format", "dummy")
"""Weights made up by vLLM in place: no files, and the same time for every product."""
START_SECONDS = 420.0


@dataclass(frozen=True, slots=True)
class MeasuredEngine:
    """One that answers. `started` in seconds until it did."""

    client: EngineClient
    socket: Path
    key: str
    model: CatalogueModel
    untuned: VersionName
    paths: Paths
    started: float


def why_not() -> str | None:
    """Why no engine can be started here, in words; None where it can."""
    try:
        import vllm  # noqa: F401
    except ImportError as missing:
        return f"{missing.name} is not installed"
    plugins = metadata.entry_points(group="vllm.general_plugins")
    if "parlance" not in plugins.names:
        return "this project is not installed, so the engine would not find its adapter resolver (pip install .)"
    return None


def plan_for(
    bench: Bench, *, slots: int, kept: int, requests: int, context: int = 2048, share: float = 0.9, rank: int = 16
) -> Plan:
    """As config.hardware plans, with what is measured put in: `slots` adapters on the card, `kept` in memory."""
    if bench.rehearse:
        slots, kept, requests, context = min(slots, 8), min(kept, 64), min(requests, 16), 512
        return Plan("cpu", "float32", 0.0, 256 << 20, slots, rank, max(slots, kept), context, requests, 2, ())
    return Plan("cuda", "bfloat16", share, 0, slots, rank, max(slots, kept), context, requests, 8, ())


@asynccontextmanager
async def engine(
    bench: Bench, model: CatalogueModel, plan: Plan, more: Sequence[str] = DUMMY, home: str = "home"
) -> AsyncIterator[MeasuredEngine]:
    """Start, wait until it answers as the untuned model, and end it. Raises RuntimeError with the end of its log."""
    paths = Paths(bench.work / home)
    paths.ensure()
    paths.engine_socket.unlink(missing_ok=True)
    untuned = ensure_untuned(paths, model)
    key = secrets.token_hex(16)
    env = environment(model, plan, paths, key, os.environ)
    # The engine answers on a socket of its own folder; only so its sleep can be asked for.
    env |= {"VLLM_SERVER_DEV_MODE": "1"}
    if not bench.rehearse:
        env.setdefault("VLLM_USE_FLASHINFER_SAMPLER", "0")  # wants kernels that may not be there
    log = paths.logs / "engine.log"
    began = time.monotonic()
    with log.open("wb") as output:
        command = [*command_line(model, plan, paths.engine_socket, adapted_layers(paths, model)), *more]
        process = await leashed(command, env=env, output=output, cwd=paths.run, grace=GRACE_SECONDS)
    client = EngineClient(paths.engine_socket, SecretStr(key), plan.context)
    ended = asyncio.create_task(process.wait())
    try:
        until = time.monotonic() + min(START_SECONDS, max(60.0, bench.left()))
        while not await client.healthy():
            if ended.done() or time.monotonic() > until:
                tail = log.read_text(errors="replace")[-3000:]
                raise RuntimeError(f"the engine {'ended' if ended.done() else 'is not there in time'}: {tail}")
            await asyncio.wait({ended}, timeout=0.5)
        await client.warm(untuned)
        started = time.monotonic() - began
        bench.say(f"the engine is there after {started:.0f} s")
        yield MeasuredEngine(client, paths.engine_socket, key, model, untuned, paths, started)
    finally:
        await client.close()
        await process.end()
        await ended


def with_share(plan: Plan, share: float) -> Plan:
    """The same plan on another share of the card's memory."""
    return replace(plan, gpu_memory_share=share)


def card_free() -> int | None:
    """Bytes free on the card; None where there is none. Asks by the driver's tool, so that no context takes any."""
    import subprocess

    command = ["nvidia-smi", "--query-gpu=memory.free", "--format=csv,noheader,nounits"]
    try:
        done = subprocess.run(command, capture_output=True, text=True, check=True, timeout=20)
    except (OSError, subprocess.SubprocessError):
        return None
    return int(done.stdout.split()[0]) << 20
