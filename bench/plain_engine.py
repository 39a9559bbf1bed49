"""An engine that takes no adapters, for measuring what it costs that the others do: the base model alone.

Started with the same plan, command and environment, less what is said of adapters; it answers to the untuned version's
name. Knows nothing of what is asked.
"""

from __future__ import annotations

import asyncio
import os
import secrets
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from pydantic import SecretStr

from config.catalogue import CatalogueModel
from config.hardware import Plan
from config.names import untuned
from config.paths import Paths
from serving.client import EngineClient
from serving.engine import GRACE_SECONDS, command_line, environment
from serving.leashed import leashed

START_SECONDS = 600.0


@asynccontextmanager
async def plain_engine(model: CatalogueModel, plan: Plan, paths: Paths) -> AsyncIterator[EngineClient]:
    """One that answers, at the socket of `paths`. Raises RuntimeError with the end of its log where it does not."""
    paths.ensure()
    command = command_line(model, plan, paths.engine_socket, ())
    command[command.index("--served-model-name") + 1] = str(untuned(model.name))
    del command[command.index("--enable-lora") : command.index("--lora-target-modules") + 1]
    key = secrets.token_hex(16)
    log = paths.logs / "engine.log"
    with log.open("wb") as output:
        env = environment(model, plan, paths, key, os.environ)
        process = await leashed(command, env=env, output=output, cwd=paths.run, grace=GRACE_SECONDS)
    client = EngineClient(paths.engine_socket, SecretStr(key), plan.context)
    ended = asyncio.create_task(process.wait())
    try:
        async with asyncio.timeout(START_SECONDS):
            while not await client.healthy():
                if ended.done():
                    raise RuntimeError(f"the engine without adapters ended: {log.read_text(errors='replace')[-3000:]}")
                await asyncio.wait({ended}, timeout=0.5)
        yield client
    finally:
        await client.close()
        await process.end()
        await ended
