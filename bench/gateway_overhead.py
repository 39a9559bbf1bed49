"""What routing and our client cost: requests a second and time to first token through router and client, against
plain aiohttp calls to the same engine. Run: `python -m bench.gateway_overhead [--json]`

Promises that both ways ask the same questions of the same adapter, in turns within one run, the first of each pair
changing every time, and that ours looks its route up in a real SQLite database for every request. Figures are medians
over the rounds; what is lost is the median of the rounds' own ratios, with the interval that 95 of 100 draws of the
rounds give: a busy machine shows in its width. Writes nothing that stays.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import random
import statistics
import sys
import tempfile
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from pathlib import Path

import aiohttp

from config.settings import load_settings
from serving.answer import Finished, Piece, Sampling
from serving.client import EngineClient
from serving.prompt import Message, with_system
from serving.router import Place, route, set_route
from serving.supervisor import EngineSupervisor
from store.database import Database, open_database
from store.tables import Assistant

ROUNDS, REQUESTS, AT_ONCE, TOKENS, ALONE = 32, 48, 16, 24, 8
DRAWS = 4_000
CHANNELS = 50
PROMPT = "You are a polite helper."
QUESTIONS = [
    f"Can you find me a {thing} for {day}?" for thing in ("table", "train", "taxi") for day in ("today", "May")
]
SAMPLING = Sampling(max_tokens=TOKENS, temperature=0.0)

Ask = Callable[[int], Awaitable[float]]
"""Asks question number N, reads the whole answer; seconds to the first token."""


@dataclass(frozen=True, slots=True)
class Round:
    """One way, once: requests a second at AT_ONCE at a time, median seconds to the first token under that load and
    alone, and seconds of this process's own processor time for each request."""

    rate: float
    first_loaded: float
    first_alone: float
    processor: float


def through_parlance(database: Database, client: EngineClient) -> Ask:
    """The way a message goes: route, prompt, stream."""

    async def ask(number: int) -> float:
        began, first = time.perf_counter(), 0.0
        routed = await route(database, Place(f"web:{number % CHANNELS}", account="web"))
        messages: list[Message] = [{"role": "user", "content": QUESTIONS[number % len(QUESTIONS)]}]
        stream = client.stream(routed.version, with_system(routed.system_prompt, messages), SAMPLING)
        async for event in stream:
            if isinstance(event, Piece):
                first = first or time.perf_counter() - began
            elif isinstance(event, Finished) and not event.answer_tokens:
                raise RuntimeError("an empty answer measures nothing")
        return first

    return ask


def straight(http: aiohttp.ClientSession, model: str) -> Ask:
    """The engine called directly over the same library, with as little around it as reading a streamed answer takes."""

    async def ask(number: int) -> float:
        began, first = time.perf_counter(), 0.0
        question = QUESTIONS[number % len(QUESTIONS)]
        body = {
            "model": model,
            "messages": [{"role": "system", "content": PROMPT}, {"role": "user", "content": question}],
            "stream": True,
            "stream_options": {"include_usage": True},
            **SAMPLING.body(),
        }
        async with http.post("http://engine/v1/chat/completions", json=body) as answer:
            answer.raise_for_status()
            async for line in answer.content:
                if line.startswith(b"data: {"):
                    choices = json.loads(line[6:])["choices"]
                    if choices and choices[0]["delta"].get("content"):
                        first = first or time.perf_counter() - began
        return first

    return ask


async def loaded(ask: Ask) -> tuple[float, float, float]:
    """REQUESTS at AT_ONCE at a time: the rate, the first token's time and the processor time of a Round."""
    gate = asyncio.Semaphore(AT_ONCE)

    async def queued(number: int) -> float:
        async with gate:
            return await ask(number)

    began, processor = time.perf_counter(), time.process_time()
    first = await asyncio.gather(*(queued(number) for number in range(REQUESTS)))
    seconds, processor = time.perf_counter() - began, time.process_time() - processor
    return REQUESTS / seconds, statistics.median(first), processor / REQUESTS


async def compare(ours: Ask, direct: Ask) -> tuple[list[Round], list[Round]]:
    """Both ways in turns; one round of each goes before and is not counted."""
    results: dict[Ask, list[Round]] = {ours: [], direct: []}
    for number in range(ROUNDS + 1):
        ways = (ours, direct) if number % 2 else (direct, ours)
        under_load = {ask: await loaded(ask) for ask in ways}
        alone: dict[Ask, list[float]] = {ours: [], direct: []}
        for question in range(ALONE):
            for ask in ways if question % 2 else ways[::-1]:
                alone[ask].append(await ask(question))
        for ask, (rate, first, processor) in under_load.items():
            if number:
                results[ask].append(Round(rate, first, statistics.median(alone[ask]), processor))
        print(f"\rround {number} of {ROUNDS}", end="", file=sys.stderr, flush=True)
    print("\r", end="", file=sys.stderr)
    return results[ours], results[direct]


async def run() -> dict[str, dict[str, float]]:
    """Set everything up in a temporary home, measure, and take it down."""
    with tempfile.TemporaryDirectory(prefix="parlance-bench-") as folder:
        settings = load_settings(home=Path(folder) / "home", base_model="demo", database_url=None)
        database = await open_database(settings)
        supervisor = EngineSupervisor(settings, database.cipher)
        try:
            async with database.session() as session:
                session.add(Assistant(name="harbour", system_prompt=PROMPT, base_model="demo"))
                await session.flush()
                await set_route(session, "account", "web", "harbour")
                for number in range(CHANNELS):
                    await set_route(session, "channel", f"web:{number}", "harbour")
            supervisor.start()
            print("the engine is starting; about a minute", file=sys.stderr)
            await supervisor.wait_ready()
            connector = aiohttp.UnixConnector(str(settings.paths.engine_socket), limit=0)
            key = {"Authorization": f"Bearer {database.cipher.derive('engine')}"}
            async with aiohttp.ClientSession(connector=connector, headers=key) as http:
                ours, direct = await compare(
                    through_parlance(database, supervisor.client), straight(http, str(supervisor.untuned))
                )
        finally:
            await supervisor.stop()
            await database.close()
    return {name: figures(name, ours, direct) for name in Round.__slots__}


def figures(name: str, ours: list[Round], direct: list[Round]) -> dict[str, float]:
    """Of one column: both medians, and the share that is lost (for times: added), with its interval."""
    pairs = [(getattr(one, name), getattr(other, name)) for one, other in zip(ours, direct, strict=True)]
    lost = [1 - one / other if name == "rate" else one / other - 1 for one, other in pairs]
    drawn = random.Random(20)
    medians = sorted(statistics.median(drawn.choices(lost, k=len(lost))) for _ in range(DRAWS))
    through, straight_on = (statistics.median(column) for column in zip(*pairs, strict=True))
    low, high = medians[DRAWS // 40], medians[-DRAWS // 40]
    return {
        "through_parlance": through,
        "direct": straight_on,
        "lost": statistics.median(lost),
        "lost_low": low,
        "lost_high": high,
    }


def main() -> None:
    """Print a table, or with --json the same figures as one object."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--json", action="store_true")
    arguments = parser.parse_args()
    result = asyncio.run(run())
    if arguments.json:
        print(json.dumps({"rounds": ROUNDS, "requests": REQUESTS, "at_once": AT_ONCE, "tokens": TOKENS} | result))
        return
    rows = {
        "rate": ("requests a second", 1.0),
        "first_loaded": (f"ms to first token, {AT_ONCE} at once", 1000.0),
        "first_alone": ("ms to first token, alone", 1000.0),
        "processor": ("ms of our processor time a request", 1000.0),
    }
    print(f"{'':36}{'through Parlance':>18}{'direct':>10}{'lost':>9}{'95 of 100':>18}")
    for name, (label, factor) in rows.items():
        row = result[name]
        interval = f"{row['lost_low']:.1%} to {row['lost_high']:.1%}"
        through, straight_on = row["through_parlance"] * factor, row["direct"] * factor
        print(f"{label:36}{through:18.2f}{straight_on:10.2f}{row['lost']:9.1%}{interval:>18}")


if __name__ == "__main__":
    main()
