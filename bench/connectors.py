"""Our own time for a message through each connector, beside a bare bot of the platform's own library.

    python -m bench.connectors [--json] [--rounds N] [--chats N]

Both sides talk with the same server on loopback, in turns; each is a process of its own. The engine is a stand-in that
answers at once, so what is measured is ours: access, log, route, prompt, answer, delivery. The last part is played by
the platform's limits: a thousand chats write within ten seconds, and no call may be refused with 429.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import statistics
import sys
import tempfile
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import psutil

from bench.connector_stages import STAGES, Stage

SIDES = ("ours", "bare")
WARM_UP = 20
ONE_CHAT = 150
READING = 0.05
"""Seconds between an answer and the next message of one chat alone: nobody writes while the last answer is noted."""
IN_FLIGHT = 4
STRICT_SECONDS = 10.0

Figures = dict[str, float]


@asynccontextmanager
async def performing(side: str, platform: str, chats: int, strict: bool = False) -> AsyncIterator[tuple[Stage, Any]]:
    """A stage with `side` on it, and its process."""
    mode = "strict" if strict else "free"
    with tempfile.TemporaryDirectory(prefix="parlance-bench-") as home:
        async with STAGES[platform](chats, strict) as stage:
            words = [side, platform, stage.address, stage.token, stage.bot_id, stage.username, str(chats), mode]
            child = await asyncio.create_subprocess_exec(
                sys.executable, "-m", "bench.connector_sides", *words, env=os.environ | {"PARLANCE_HOME": home}
            )
            try:
                await stage.attended()
                yield stage, psutil.Process(child.pid)
            finally:
                child.kill()
                await child.wait()


async def measure(side: str, platform: str, chats: int) -> Figures:
    """Milliseconds at one chat and at `chats`, messages a second, processor milliseconds a message."""
    async with performing(side, platform, chats) as (stage, process):
        for _ in range(WARM_UP):
            await stage.ask(0, "Good morning!")
        figures = await _timed(stage, "one_chat", [[0] * ONE_CHAT], READING)
        before = _processor(process)
        figures |= await _timed(stage, "many_chats", [list(range(n, chats, IN_FLIGHT)) for n in range(IN_FLIGHT)])
        figures["processor_ms"] = 1000 * (_processor(process) - before) / chats
        began = time.perf_counter()
        await asyncio.gather(*(stage.ask(chat, "And what about tomorrow?") for chat in range(chats)))
        figures["messages_a_second"] = chats / (time.perf_counter() - began)
        return figures


async def _timed(stage: Stage, name: str, lanes: list[list[int]], reading: float = 0.0) -> Figures:
    """Each lane's chats write one after another, each `reading` seconds after the one before it was answered."""
    clock = stage.clock
    clock.first.clear()
    clock.answered.clear()

    async def lane(chats: list[int]) -> None:
        for chat in chats:
            await stage.ask(chat, "When does the boat leave?")
            await asyncio.sleep(reading)

    await asyncio.gather(*(lane(chats) for chats in lanes))
    return {
        f"{name}_first_ms": 1000 * statistics.median(clock.first),
        f"{name}_answer_ms": 1000 * statistics.median(clock.answered),
        f"{name}_answer_p95_ms": 1000 * statistics.quantiles(clock.answered, n=20)[18],
    }


def _processor(process: psutil.Process) -> float:
    times = process.cpu_times()
    return times.user + times.system


async def strictly(platform: str, chats: int) -> Figures:
    """All chats write within ten seconds to a server that enforces its limits."""
    async with performing("ours", platform, chats, strict=True) as (stage, _):
        began = time.perf_counter()

        async def one(chat: int) -> None:
            await asyncio.sleep(STRICT_SECONDS * chat / chats)
            await stage.ask(chat, "When does the boat leave?")

        await asyncio.gather(*(one(chat) for chat in range(chats)))
        return {
            "strict_refused": stage.refused(),
            "strict_seconds": time.perf_counter() - began,
            "strict_longest_wait": max(stage.clock.answered),
        }


async def run(rounds: int, chats: int, strict: bool) -> dict[str, dict[str, Figures]]:
    """Figures by platform and side: medians of the rounds, which are played in turns."""
    found: dict[str, dict[str, Figures]] = {}
    for platform in STAGES:
        played: dict[str, list[Figures]] = {side: [] for side in SIDES}
        for _ in range(rounds):
            for side in SIDES:
                played[side].append(await measure(side, platform, chats))
        found[platform] = {
            side: {name: round(statistics.median(one[name] for one in figures), 2) for name in figures[0]}
            for side, figures in played.items()
        }
        if strict:
            found[platform]["ours"] |= {name: round(v, 1) for name, v in (await strictly(platform, chats)).items()}
    return found


def main() -> int:
    """The command line; 1 where a call was refused, or a message took 10 ms or more of our own at one chat."""
    parser = argparse.ArgumentParser(description="Our own time for a message through each connector.")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--chats", type=int, default=1000)
    parser.add_argument("--free", action="store_true", help="leave out the part under the platforms' limits")
    parser.add_argument("--json", action="store_true")
    given = parser.parse_args()
    found = asyncio.run(run(given.rounds, given.chats, not given.free))
    if given.json:
        print(json.dumps(found))
    else:
        for platform, sides in found.items():
            for name in sides["ours"]:
                bare = sides["bare"].get(name)
                against = f"   bare library {bare:>10}   ratio {sides['ours'][name] / bare:.2f}" if bare else ""
                print(f"{platform:<9} {name:<26} {sides['ours'][name]:>10}{against}")
    ours = [sides["ours"] for sides in found.values()]
    return int(any(one.get("strict_refused", 0) > 0 or one["one_chat_first_ms"] >= 10 for one in ours))


if __name__ == "__main__":
    sys.exit(main())
