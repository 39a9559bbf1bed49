"""What machines ask the platform on its own port: is it alive, can it answer, and its figures.

`/healthz`: this process and its database answer. `/readyz`: somebody who asks now gets an answer: there is room to log
it, the engine says that it is ready, and it has given a token within the last moments, or gives one now. Both are told
to anybody, in a word. `/metrics` is for Prometheus on this machine, or for whoever has the token of the settings.
"""

from __future__ import annotations

import asyncio
import hmac
import ipaddress
import shutil
import time
from collections.abc import Awaitable, Callable
from pathlib import Path

import structlog
from fastapi import FastAPI, Request, Response
from fastapi.responses import JSONResponse, PlainTextResponse
from prometheus_client import CONTENT_TYPE_LATEST
from pydantic import SecretStr
from sqlalchemy import select
from sqlalchemy.exc import SQLAlchemyError

from config.errors import ParlanceError
from console.metrics import PlatformMetrics
from serving.entrance import Engine
from store.database import Database
from store.tables import Assistant

DATABASE_SECONDS = 5.0
PROOF_SECONDS = 15.0
"""How long a token proves that the engine answers."""
TOKEN_SECONDS = 10.0
LEAST_ROOM = 32 << 20
"""Bytes free where the data folder lies: with less, messages cannot be logged, and so not answered."""
FORWARDED = ("forwarded", "x-forwarded-for", "x-real-ip")
"""What proxies add: whoever comes with one is not on this machine, although the proxy is."""

log = structlog.get_logger()


class Readiness:
    """Whether a message that came now would be answered. `one_token` has the engine say something."""

    def __init__(self, engine: Engine, one_token: Callable[[], Awaitable[None]], home: Path) -> None:
        self._engine = engine
        self._home = home
        self._one_token = one_token
        self._asking = asyncio.Lock()

    async def holds(self) -> bool:
        """Asked at the same time, the engine is asked once."""
        async with self._asking:
            if shutil.disk_usage(self._home).free < LEAST_ROOM:
                log.warning("not_ready", reason="disk full")
                return False
            return self._engine.status.state == "ready" and (self._proven() or await self._answers())

    def _proven(self) -> bool:
        alive_at = self._engine.client.metrics.alive_at
        return alive_at is not None and time.perf_counter() - alive_at < PROOF_SECONDS

    async def _answers(self) -> bool:
        try:
            async with asyncio.timeout(TOKEN_SECONDS):
                await self._one_token()
        except (ParlanceError, TimeoutError) as error:
            log.warning("not_ready", reason=type(error).__name__)
            return self._proven()  # others are served: it is busy, not away
        return True


def add_health(
    app: FastAPI, database: Database, metrics: PlatformMetrics, readiness: Readiness, token: SecretStr | None
) -> None:
    """Let `app` answer `/healthz`, `/readyz` and `/metrics`. With a `token`, nobody reads the last one without it."""

    @app.get("/healthz")
    async def health() -> JSONResponse:
        well = await _database_answers(database)
        return JSONResponse({"ok": well}, 200 if well else 503)

    @app.get("/readyz")
    async def ready() -> JSONResponse:
        well = await _database_answers(database) and await readiness.holds()
        return JSONResponse({"ready": well}, 200 if well else 503, headers={"Cache-Control": "no-store"})

    @app.get("/metrics")
    async def figures(request: Request) -> Response:
        if not _may_read(request, token):
            return PlainTextResponse("This is for Prometheus on this machine, or with the token.\n", 403)
        return Response(await metrics.text(), headers={"Content-Type": CONTENT_TYPE_LATEST})


def _may_read(request: Request, token: SecretStr | None) -> bool:
    if token is not None:
        given = request.headers.get("authorization", "").removeprefix("Bearer ").encode()
        return hmac.compare_digest(given, token.get_secret_value().encode())
    if request.client is None or any(name in request.headers for name in FORWARDED):
        return False
    try:
        return ipaddress.ip_address(request.client.host).is_loopback
    except ValueError:
        return False


async def _database_answers(database: Database) -> bool:
    try:
        async with asyncio.timeout(DATABASE_SECONDS):
            await database.look_up(select(Assistant.id).limit(1), {})  # "select 1" would read no file
    except (SQLAlchemyError, OSError, TimeoutError) as error:
        log.error("database_away", reason=type(error).__name__)
        return False
    return True
