"""How long it takes to find the versions that learnt from a person, and to forget that person, in a large installation.

    python -m bench.forget_speed [--messages 1000000] [--versions 20] [--people 1000] [--json]

Fills a temporary home with one imported chat, evenly written, and versions that each learnt from nearly all of it.
Finding the versions must take less than a second at a million messages.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import random
import sqlite3
import tempfile
import time
from pathlib import Path

from config.settings import load_settings
from store.assistants import add_assistant
from store.database import Database, open_database
from store.footprint import footprint
from store.lineage import pack_ids
from store.tables import Import, Lineage, Source, SourceAuthor, Version
from tuning.forgetting import find_versions, forget

LIMIT_SECONDS = 1.0
SEALED_APART = 20_000
"""Different sealed texts; the rest repeat them, which changes nothing about what is measured."""


async def fill(database: Database, file: Path, messages: int, versions: int, people: int) -> None:
    """One source with so many messages, and versions whose lineage leaves out a few of them each."""
    async with database.session() as session:
        assistant = await add_assistant(session, "harbour", "", "demo")
        source = Source(assistant_id=assistant.id, kind="telegram", external_id="1", title="t", permission="",
                        permission_by="")  # fmt: skip
        session.add(source)
        await session.flush()
        imported = Import(source_id=source.id, file_digest="")
        session.add(imported)
        session.add_all(SourceAuthor(source_id=source.id, external_id=f"user{n}", name=f"n{n}") for n in range(people))
        await session.flush()
        source_id, import_id = source.id, imported.id
    chance = random.Random(3)
    texts = [
        database.cipher.seal(
            f"message {at} about boats and weather {chance.random()}".encode(), b"source_messages.text"
        )
        for at in range(SEALED_APART)
    ]
    with sqlite3.connect(file) as raw:
        raw.executemany(
            "INSERT INTO source_messages (source_id, import_id, external_id, author_id, sent_at, forwarded, text, "
            "digest) VALUES (?, ?, ?, ?, ?, 0, ?, x'00')",
            (
                (
                    source_id,
                    import_id,
                    str(at),
                    1 + chance.randrange(people),
                    1_600_000_000 + at,
                    texts[at % SEALED_APART],
                )
                for at in range(messages)
            ),
        )
    raw.close()
    for number in range(1, versions + 1):
        async with database.session() as session:
            version = Version(assistant_id=1, number=number, state="passed", digest="", system_prompt="",
                              base_model="demo", report={"samples": []})  # fmt: skip
            session.add(version)
            await session.flush()
            learnt = pack_ids(at for at in range(1, messages + 1) if (at * 7919 + number) % 8)
            session.add(Lineage(version_id=version.id, source_id=source_id, message_ids=learnt))


async def run(messages: int, versions: int, people: int) -> dict[str, float | int]:
    """Seconds."""
    with tempfile.TemporaryDirectory() as folder:
        os.environ["PARLANCE_HOME"] = folder
        settings = load_settings(home=Path(folder))
        database = await open_database(settings)
        try:
            await fill(database, settings.paths.database, messages, versions, people)
            begin = time.perf_counter()
            async with database.long_session() as session:
                found = await footprint(session, "telegram:7")
                written = time.perf_counter()
                marked = await find_versions(session, found)
            end = time.perf_counter()
            done = await forget(database, settings, "telegram:7")
            return {
                "messages": messages, "versions": versions, "of_the_person": done.counts.imported,
                "found": len(marked), "seconds_to_find_messages": round(written - begin, 3),
                "seconds_to_find_versions": round(end - written, 3),
                "seconds_to_forget": round(time.perf_counter() - end, 3),
            }  # fmt: skip
        finally:
            await database.close()


def main() -> int:
    """Measure and print; 1 where the limit is missed."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--messages", type=int, default=1_000_000)
    parser.add_argument("--versions", type=int, default=20)
    parser.add_argument("--people", type=int, default=1000)
    parser.add_argument("--json", action="store_true")
    given = parser.parse_args()
    figures = asyncio.run(run(given.messages, given.versions, given.people))
    if given.json:
        print(json.dumps(figures))
    else:
        for name, value in figures.items():
            print(f"{name.replace('_', ' '):<28} {value:,}")
    spent = figures["seconds_to_find_messages"] + figures["seconds_to_find_versions"]
    return 0 if spent < LIMIT_SECONDS else 1


if __name__ == "__main__":
    raise SystemExit(main())
