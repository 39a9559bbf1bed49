"""How fast a large Telegram export becomes examples, and how much memory that takes.

    python -m bench.import_speed [--messages 1000000] [--json]

Writes a seeded export (about 300 bytes a message) into a temporary folder, then imports and curates it in a child
process on a temporary home. The peak is the child's resident memory; it must stay under 600 MB whatever the size.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import random
import resource
import subprocess
import sys
import tempfile
import time
from pathlib import Path

MEMORY_LIMIT = 600 * 1000 * 1000
PEOPLE = 40
FIRST_SECOND = 1_600_000_000


def write_export(file: Path, messages: int) -> int:
    """An export of one group with so many entries, a tenth of them service messages. Gives its size in bytes."""
    chance = random.Random(7)
    words = ["".join(chance.choices("aeioulnrstdmkp", k=chance.randint(2, 9))) for _ in range(5000)]
    names = [f"{word.capitalize()} {words[at + 100].capitalize()}" for at, word in enumerate(words[:PEOPLE])]
    second = FIRST_SECOND
    with file.open("w", encoding="utf-8") as out:
        head = {"name": "The harbour", "type": "private_supergroup", "id": 1_500_000_001}
        out.write(json.dumps(head, indent=1)[:-2] + ',\n "messages": [\n')
        for number in range(1, messages + 1):
            second += 2400 if chance.random() < 0.05 else chance.randint(5, 90)
            out.write(_entry(chance, words, names, number, second))
            out.write(",\n" if number < messages else "\n")
        out.write(" ]\n}")
    return file.stat().st_size


def _entry(chance: random.Random, words: list[str], names: list[str], number: int, second: int) -> str:
    who = min(chance.randrange(PEOPLE), chance.randrange(PEOPLE))
    date = time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(second))
    if chance.random() < 0.1:
        return (
            f'  {{"id": {number}, "type": "service", "date": "{date}", "date_unixtime": "{second}", '
            f'"actor": "{names[who]}", "actor_id": "user{1000 + who}", "action": "pin_message", "text": "", '
            '"text_entities": []}'
        )
    text = " ".join(chance.choices(words, k=chance.randint(2, 14)))
    kind = chance.random()
    if kind < 0.01:
        text += f", write to {words[number % 5000]}@example.org"
    elif kind < 0.03:
        text += f" on 2024-03-{number % 28 + 1:02d} at {number % 24}:30"
    entities = [{"type": "plain", "text": text}]
    reply = f'\n   "reply_to_message_id": {number - chance.randint(1, 8)},' if chance.random() < 0.3 else ""
    edited = f'\n   "edited": "{date}",' if chance.random() < 0.03 else ""
    return (
        f'  {{\n   "id": {number},\n   "type": "message",\n   "date": "{date}",\n'
        f'   "date_unixtime": "{second}",{edited}\n'
        f'   "from": "{names[who]}",\n   "from_id": "user{1000 + who}",{reply}\n   "text": {json.dumps(text)},\n'
        f'   "text_entities": {json.dumps(entities)}\n  }}'
    )


async def _import(file: Path, home: Path) -> dict[str, float]:
    from config.settings import load_settings
    from store.database import open_database
    from store.tables import Assistant
    from tuning.curation import curate
    from tuning.importing import import_file

    def silent(step: str, done: int, total: int) -> None:
        """Progress is not what is measured."""

    database = await open_database(load_settings(home=home))
    async with database.session() as session:
        session.add(Assistant(name="harbour", system_prompt="You keep the harbour.", base_model="demo"))
    begin = time.perf_counter()
    imported = await import_file(database, file, "harbour", None, "bench", silent)
    middle = time.perf_counter()
    curated = await curate(database, 1, home / "run", silent)
    end = time.perf_counter()
    await database.close()
    used = resource.getrusage(resource.RUSAGE_SELF)
    return {
        "stored": imported.messages,
        "conversations": curated.conversations,
        "examples": curated.examples,
        "import_seconds": round(middle - begin, 2),
        "curation_seconds": round(end - middle, 2),
        "seconds": round(end - begin, 2),
        "processor_seconds": round(used.ru_utime + used.ru_stime, 2),
        "peak_bytes": used.ru_maxrss * 1024,
    }


def measure(messages: int) -> dict[str, float]:
    """Write, import in a child process, and report: bytes, seconds, messages a second."""
    with tempfile.TemporaryDirectory(prefix="parlance-bench-") as folder:
        file = Path(folder) / "result.json"
        size = write_export(file, messages)
        home = Path(folder) / "home"
        child = [sys.executable, "-m", "bench.import_speed", "--child", str(file), str(home)]
        environment = {**os.environ, "PARLANCE_HOME": str(home)}
        done = subprocess.run(child, check=True, capture_output=True, text=True, env=environment)
    figures: dict[str, float] = json.loads(done.stdout)
    return {
        "messages": messages,
        "file_bytes": size,
        **figures,
        "messages_a_second": round(messages / figures["seconds"]),
    }


def main() -> int:
    """The command line; 1 when the memory limit was passed."""
    parser = argparse.ArgumentParser(description="Import speed and memory.")
    parser.add_argument("--messages", type=int, default=1_000_000)
    parser.add_argument("--json", action="store_true")
    parser.add_argument("--child", nargs=2, help=argparse.SUPPRESS)
    given = parser.parse_args()
    if given.child:
        print(json.dumps(asyncio.run(_import(*map(Path, given.child)))))
        return 0
    figures = measure(given.messages)
    if given.json:
        print(json.dumps(figures))
    else:
        print(
            f"{figures['messages']:,.0f} entries, {figures['file_bytes'] / 1e6:.0f} MB, {figures['stored']:,.0f} stored"
        )
        print(f"import {figures['import_seconds']} s, curation {figures['curation_seconds']} s")
        print(f"{figures['processor_seconds']} s of processor time")
        print(f"{figures['messages_a_second']:,.0f} messages a second, peak {figures['peak_bytes'] / 1e6:.0f} MB")
    if figures["peak_bytes"] > MEMORY_LIMIT:
        print(f"the peak is over {MEMORY_LIMIT / 1e6:.0f} MB", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
