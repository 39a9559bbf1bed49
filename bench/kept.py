"""How much of what a speaker said is learnt, and as the answer to what, beside a data set that another tool made.

    python -m bench.kept EXPORT [--speaker WHO] [--beside FILE] [--json]

EXPORT is a Telegram export. `--beside FILE` is what another tool made of the same export: a JSON list of
{"messages": [{"role", "content"}]}, as WeClone's `make-dataset` writes it. Of both are counted the speaker's messages
that are learnt, and of those that reply to a message the share that follows that very message. Texts are compared
without spaces and line breaks, because tools join messages differently.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import sys
import tempfile
import time
from collections.abc import Iterable, Sequence
from itertools import pairwise
from pathlib import Path
from typing import Any

from config.settings import load_settings
from store.database import open_database
from store.tables import Assistant
from tuning.curation import curate, silent
from tuning.importing import import_file
from tuning.sources.message import SourceChat, SourceMessage
from tuning.sources.telegram import TelegramExport

Turns = Sequence[dict[str, str]]


def plain(text: str) -> str:
    """Without spaces and line breaks."""
    return "".join(text.split())


def compare(messages: Sequence[SourceMessage], speaker: str, dialogues: Iterable[Turns]) -> dict[str, Any]:
    """Counts over one data set. A message counts as learnt where its text is, or begins, a line of a learnt answer."""
    said = {message.external_id: message for message in messages}
    pairs = [
        (plain(before["content"]), plain(turn["content"]))
        for turns in dialogues
        for before, turn in pairwise(turns)
        if turn["role"] == "assistant" and "<begin_chat>" not in before["content"]
    ]
    answers = "\0".join(answer for _, answer in pairs)
    learnt = replies = right = 0
    for message in messages:
        text = plain(message.text)
        if message.author_id != speaker or not text or text not in answers:
            continue
        learnt += 1
        asked = said.get(message.reply_to or "")
        if asked is not None and asked.author_id != speaker:
            replies += 1
            question = plain(asked.text)
            right += any(text in answer and question in before for before, answer in pairs if text in answer)
    return {
        "dialogues": len({answer for _, answer in pairs}),
        "learnt": learnt,
        "replies_learnt": replies,
        "follow_what_they_answer": round(right / replies, 4) if replies else None,
    }


async def parlance(export: Path, speaker: str | None, home: Path) -> tuple[list[Turns], str, float]:
    """The examples that curation makes of it, the speaker's id, and seconds of processor time, import included."""
    database = await open_database(load_settings(home=home))
    async with database.session() as session:
        session.add(Assistant(name="bench", system_prompt="You chat.", base_model="demo"))
    begin = time.process_time()
    imported = await import_file(database, export, "bench", speaker, "bench", silent)
    await curate(database, 1, home / "run", silent)
    seconds = time.process_time() - begin
    await database.close()
    lines = [line for name in ("train", "held_out") for line in (home / "run" / f"{name}.jsonl").open(encoding="utf-8")]
    return [json.loads(line)["messages"] for line in lines], imported.speaker, seconds


def main() -> int:
    """The command line."""
    parser = argparse.ArgumentParser(description="How much of a chat is kept, and in which context.")
    parser.add_argument("export", type=Path)
    parser.add_argument("--speaker")
    parser.add_argument("--beside", type=Path)
    parser.add_argument("--json", action="store_true")
    given = parser.parse_args()
    messages = [one for one in TelegramExport(given.export) if not isinstance(one, SourceChat)]
    with tempfile.TemporaryDirectory(prefix="parlance-bench-") as home:
        dialogues, name, seconds = asyncio.run(parlance(given.export, given.speaker, Path(home)))
    speaker = next(message.author_id for message in messages if message.author == name)
    spoken = sum(message.author_id == speaker for message in messages)
    figures: dict[str, Any] = {
        "messages": len(messages),
        "by_the_speaker": spoken,
        "parlance": compare(messages, speaker, dialogues) | {"messages_per_second": round(len(messages) / seconds)},
    }
    if given.beside:
        other = [entry["messages"] for entry in json.loads(given.beside.read_text(encoding="utf-8"))]
        figures["beside"] = compare(messages, speaker, other)
    print(json.dumps(figures, indent=None if given.json else 2))
    return 0


if __name__ == "__main__":
    sys.exit(main())
