"""Promotions and rollbacks under load: how long the first token takes after a swap against before, and whether every
answer came whole, once, and from the version in service when it was asked for.
Run: `python -m bench.swap_under_load [--json]`

64 conversations over 16 assistants ask without pause, by the router and the client that the platform uses, first with
nothing changing, then while 30 promotions and 30 rollbacks are made by `tuning.versions`. From which version an answer
came is seen by its words: adapters are random, and the same seed draws something of its own from each version, always
the same. Writes nothing that stays.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import statistics
import sys
import tempfile
import time
from collections.abc import AsyncIterator
from contextlib import aclosing, asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from bench.random_adapters import publish_random
from config.catalogue import CatalogueModel, find_model
from config.names import VersionName
from config.paths import Paths
from config.settings import load_settings
from serving.adapters import ensure_untuned
from serving.answer import Finished, Piece, Sampling
from serving.client import EngineClient
from serving.prompt import Message, with_system
from serving.router import Place, route, set_route
from serving.supervisor import EngineSupervisor
from store.assistants import add_assistant
from store.database import Database, open_database
from store.tables import Version
from tuning.versions import promote, rollback

TALKS, ASSISTANTS, SWAPS, AT_A_TIME = 64, 16, 30, 6
TOKENS, RANK = 12, 8
STRENGTH = 0.1
"""So strong that each version has words of its own, none of which make sense."""
PROMPT = "You are a polite helper."
QUESTIONS = ("I need a table for two tonight.", "When does the train leave?")
SAMPLING = Sampling(max_tokens=TOKENS, temperature=1.5, seed=7)
BEFORE_SECONDS = 15.0
"""How long is asked without a swap, to compare with."""


@dataclass(frozen=True, slots=True)
class Asked:
    """One answer: when it was asked for, began and ended (seconds of one clock), by which version it was routed, which
    versions were in service at that moment (two where a swap was under way), and what was said."""

    assistant: str
    question: str
    at: float
    first: float
    ended: float
    version: VersionName
    serving: frozenset[VersionName]
    pieces: str
    finished: Finished


@dataclass(frozen=True, slots=True)
class Swap:
    """One move of a pointer: from which version, when it was asked for and done, in seconds."""

    assistant: str
    left: VersionName
    began: float
    ended: float


@dataclass(slots=True)
class Load:
    """Conversations that go on until `over`, and what came of them. An answer that fails ends all of it."""

    database: Database
    client: EngineClient
    serving: dict[str, frozenset[VersionName]]
    asked: list[Asked] = field(default_factory=list)
    over: bool = False

    async def talk(self, number: int) -> None:
        """Ask without pause, in a channel of its own."""
        while not self.over:
            for question in QUESTIONS:
                self.asked.append(await self._ask(number, question))

    async def _ask(self, number: int, question: str) -> Asked:
        name = assistant(number)
        began, serving, first, pieces = time.perf_counter(), self.serving[name], 0.0, ""
        routed = await route(self.database, Place(f"web:{number}"))
        messages: list[Message] = [{"role": "user", "content": question}]
        finished: list[Finished] = []
        prompt = with_system(routed.system_prompt, messages)
        async with aclosing(self.client.stream(routed.version, prompt, SAMPLING)) as events:
            async for event in events:
                if isinstance(event, Piece):
                    first = first or time.perf_counter()
                    pieces += event.text
                else:
                    finished.append(event)
        (whole,) = finished
        return Asked(
            name, question, began, first or time.perf_counter(), time.perf_counter(),
            routed.version, serving, pieces, whole,
        )  # fmt: skip


def assistant(number: int) -> str:
    """Who answers in channel `number`."""
    return f"swap-{number % ASSISTANTS}"


def make_adapters(paths: Paths, model: CatalogueModel) -> None:
    """Two versions of each assistant. Needs the untuned adapter."""
    for number in range(ASSISTANTS):
        for version in (1, 2):
            publish_random(
                paths, model, VersionName(assistant(number), version), RANK, 1000 * version + number, STRENGTH
            )


async def prepare(database: Database, supervisor: EngineSupervisor) -> None:
    """ASSISTANTS assistants with their versions, the first in service, and TALKS channels over them."""
    model = supervisor.model
    async with database.session() as session:
        for number in range(ASSISTANTS):
            row = await add_assistant(session, assistant(number), PROMPT, model.name)
            for version in (1, 2):
                session.add(
                    Version(
                        assistant_id=row.id, number=version, state="passed", digest="d", system_prompt=PROMPT,
                        base_model=model.name, report={"sentence": "random", "reasons": []},
                    )
                )  # fmt: skip
        for number in range(TALKS):
            await set_route(session, "channel", f"web:{number}", assistant(number))
    for number in range(ASSISTANTS):
        await promote(database, supervisor.client, assistant(number), 1, "bench")


async def expected(client: EngineClient) -> dict[tuple[VersionName, str], str]:
    """What each version says to each question when nobody else asks anything."""
    said = {}
    for number in range(ASSISTANTS):
        for version in (1, 2):
            for question in QUESTIONS:
                name = VersionName(assistant(number), version)
                prompt = with_system(PROMPT, [{"role": "user", "content": question}])
                said[name, question] = (await client.answer(name, prompt, SAMPLING)).text
    return said


@asynccontextmanager
async def talking(database: Database, client: EngineClient) -> AsyncIterator[Load]:
    """TALKS conversations for as long as the block runs; the answers under way are heard to their end."""
    serving = {assistant(n): frozenset({VersionName(assistant(n), 1)}) for n in range(ASSISTANTS)}
    load = Load(database, client, serving)
    async with asyncio.TaskGroup() as group:
        for number in range(TALKS):
            group.create_task(load.talk(number))
        yield load
        load.over = True


async def swap_all(load: Load) -> list[Swap]:
    """SWAPS promotions to the second version and as many rollbacks, AT_A_TIME at a time; of one assistant in turn."""
    gate = asyncio.Semaphore(AT_A_TIME)
    done: list[Swap] = []

    async def there_and_back(number: int) -> None:
        name = assistant(number)
        old, new = VersionName(name, 1), VersionName(name, 2)
        for _ in range(SWAPS // ASSISTANTS + (number < SWAPS % ASSISTANTS)):
            for before, after in ((old, new), (new, old)):
                async with gate:
                    load.serving[name] = frozenset({before, after})
                    began = time.perf_counter()
                    if after == new:
                        await promote(load.database, load.client, name, 2, "bench")
                    else:
                        await rollback(load.database, load.client, name, "bench")
                    done.append(Swap(name, before, began, time.perf_counter()))
                    load.serving[name] = frozenset({after})

    await asyncio.gather(*(there_and_back(number) for number in range(ASSISTANTS)))
    return done


def faults(asked: list[Asked], said: dict[tuple[VersionName, str], str]) -> list[str]:
    """What is wrong with answers, in words; nothing where each came whole and from the version it should have."""
    found = []
    for one in asked:
        label = f"{one.assistant}, {one.question!r}"
        if one.pieces != one.finished.text or one.finished.finish_reason not in ("stop", "length"):
            found.append(f"{label}: cut or not what was streamed")
        if one.version not in one.serving:
            found.append(f"{label}: routed to {one.version}, in service {sorted(map(str, one.serving))}")
        if one.finished.text != said[one.version, one.question]:
            others = [str(name) for (name, _), text in said.items() if text == one.finished.text]
            found.append(f"{label}: not the words of {one.version} but of {others or 'no version'}")
    return found


def first_after(asked: list[Asked], swaps: list[Swap]) -> list[float]:
    """Seconds to the first token of the answers that were the first to be asked of an assistant after each swap: one
    for every conversation with it."""
    times = []
    for swap in swaps:
        later = [one for one in asked if one.assistant == swap.assistant and one.at >= swap.ended]
        later.sort(key=lambda one: one.at)
        times += [one.first - one.at for one in later[: TALKS // ASSISTANTS]]
    return times


def spanning(asked: list[Asked], swaps: list[Swap]) -> int:
    """Answers that were under way when their assistant's pointer moved: given the version that was left, and not ended
    when it had moved."""
    return sum(any(one.version == swap.left and one.at < swap.ended < one.ended for swap in swaps) for one in asked)


async def run() -> dict[str, Any]:
    """Set everything up in a temporary home, measure, and take it down."""
    with tempfile.TemporaryDirectory(prefix="parlance-bench-") as folder:
        settings = load_settings(home=Path(folder) / "home", base_model="demo", database_url=None)
        database = await open_database(settings)
        model = find_model(settings.base_model)
        settings.paths.ensure()
        ensure_untuned(settings.paths, model)
        make_adapters(settings.paths, model)
        supervisor = EngineSupervisor(settings, database.cipher)
        try:
            supervisor.start()
            print("the engine is starting; about a minute", file=sys.stderr)
            await supervisor.wait_ready()
            await prepare(database, supervisor)
            said = await expected(supervisor.client)
            async with talking(database, supervisor.client) as load:
                await asyncio.sleep(BEFORE_SECONDS)
                quiet = list(load.asked)
                swaps = await swap_all(load)
        finally:
            await supervisor.stop()
            await database.close()
    settled = [one.first - one.at for one in quiet[TALKS:]]
    after = first_after(load.asked, swaps)
    during = [one.first - one.at for one in load.asked if one.at >= swaps[0].began]
    return {
        "answers": len(load.asked), "swaps": len(swaps), "under_way_at_swaps": spanning(load.asked, swaps),
        "faults": faults(load.asked, said), "slots": supervisor.plan.max_loras,
        "seconds_a_swap": statistics.median(swap.ended - swap.began for swap in swaps),
        "first_token": {"before": _spread(settled), "after_a_swap": _spread(after), "while_swapping": _spread(during)},
    }  # fmt: skip


def _spread(times: list[float]) -> dict[str, float]:
    return {"median": statistics.median(times), "p95": statistics.quantiles(times, n=20)[-1]}


def main() -> None:
    """Print a table, or with --json the same figures as one object."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--json", action="store_true")
    arguments = parser.parse_args()
    result = asyncio.run(run())
    if arguments.json:
        print(json.dumps(result))
        return
    print(
        f"{result['answers']} answers, {result['under_way_at_swaps']} of them under way at one of {result['swaps']} "
        f"swaps; {len(result['faults'])} not as they should be; {result['seconds_a_swap']:.2f} s a swap"
    )
    before = result["first_token"]["before"]
    print(f"{'time to first token':>24}{'median ms':>12}{'p95 ms':>10}{'of before':>12}")
    for name, spread in result["first_token"].items():
        share = spread["median"] / before["median"]
        print(f"{name.replace('_', ' '):>24}{spread['median'] * 1000:12.0f}{spread['p95'] * 1000:10.0f}{share:12.2f}")


if __name__ == "__main__":
    main()
