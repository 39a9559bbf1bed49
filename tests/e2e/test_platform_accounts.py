"""The platform with accounts: up whatever becomes of them, following what other processes change, down cleanly."""

from __future__ import annotations

import asyncio
import os
import re
import signal
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import httpx
from bot_api_server import BotApiServer, Person
from pydantic import SecretStr
from waiting import until

from bots.accounts import Accounts
from store.database import Database

ROOT = Path(__file__).resolve().parents[2]
GOOD, REVOKED, LATE = (f"7000000{number}:AA{letter * 33}" for number, letter in enumerate("grl"))


@asynccontextmanager
async def _platform(home: Path) -> AsyncIterator[tuple[asyncio.subprocess.Process, str, str]]:
    """The process, its page, and what it greeted with."""
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "console.cli", "up", "--port", "0", cwd=ROOT,
        env=dict(os.environ) | {"PARLANCE_HOME": str(home), "PYTHONUNBUFFERED": "1", "COLUMNS": "200"},
        stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.STDOUT,
    )  # fmt: skip
    assert process.stdout is not None
    try:
        greeting = (await process.stdout.readuntil(b"Ctrl-C stops it.")).decode()
        found = re.search(r"http://[\d.:]+", greeting)
        assert found is not None
        yield process, found[0], greeting
    finally:
        if process.returncode is None:
            process.kill()
        await process.wait()


async def test_a_revoked_token_keeps_nobody_from_anything(home: Path, database: Database) -> None:
    accounts = Accounts(database)
    async with BotApiServer() as server:
        good, revoked = server.add_bot("harbour_bot", GOOD), server.add_bot("garden_bot", REVOKED)
        for token in (GOOD, REVOKED):
            await accounts.add(None, SecretStr(token), api_base=server.url, by="ada")
        revoked.revoked = True
        async with _platform(home) as (process, page, greeting), httpx.AsyncClient() as client:
            assert "@harbour_bot on Telegram" in greeting
            assert (await client.get(f"{page}/healthz")).json() == {"ok": True}

            async def states() -> dict[str, str]:
                return {row.name: row.state for row in await accounts.list()}

            await until(lambda: good.poller is not None)
            while (await states())["garden_bot"] != "stopped":  # noqa: ASYNC110
                await asyncio.sleep(0.05)
            trouble = next(row.trouble for row in await accounts.list() if row.name == "garden_bot")
            assert trouble is not None
            assert REVOKED not in trouble

            chat = good.private(Person(5, "Ada"))
            chat.says(Person(5, "Ada"), "/help")  # which needs no engine
            await until(lambda: "/privacy" in " ".join(chat.texts))

            late = server.add_bot("late_bot", LATE)  # another process adds it: this one
            await accounts.add(None, SecretStr(LATE), api_base=server.url, by="ada")
            await until(lambda: late.poller is not None)

            process.send_signal(signal.SIGTERM)
            assert await asyncio.wait_for(process.wait(), 120) == 0
    for file in (home / "logs").iterdir():
        text = file.read_text(errors="replace")
        assert "g" * 33 not in text
        assert "r" * 33 not in text
