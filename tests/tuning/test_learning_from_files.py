"""Dialogues and documents through import and curation: nothing joins two of them, and what is private stays behind."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from chat_exports import add_assistant, chat, message, silent, talk, written

from config.errors import BadInput
from store.database import Database
from tuning.curation import SECRETS, curate
from tuning.importing import import_file
from tuning.redaction import detail_digest
from tuning.training.run import RunFolder


def dialogue(number: int) -> dict[str, Any]:
    turns = [
        ("user", f"Is berth {number} free on day {number * 7 % 31}?"),
        ("assistant", f"Berth {number} is, till noon of {number}."),
    ]
    if number % 2:
        turns += [("user", f"And berth {number + 100}?"), ("assistant", f"Taken by the boat {number * 3}.")]
    return {"messages": [{"role": role, "content": text} for role, text in turns]}


async def learnt(database: Database, assistant_id: int, folder: Path) -> list[list[dict[str, str]]]:
    await curate(database, assistant_id, folder, silent)
    files = (folder / "train.jsonl", folder / "held_out.jsonl")
    return [json.loads(line)["messages"] for file in files for line in file.read_text().splitlines()]


async def test_each_dialogue_is_learnt_as_it_stands_and_the_model_is_the_speaker(
    database: Database, tmp_path: Path
) -> None:
    owner = await add_assistant(database)
    file = tmp_path / "berths.jsonl"
    dialogues = [dialogue(number) for number in range(120)]
    file.write_text("\n".join(map(json.dumps, dialogues)))
    imported = await import_file(database, file, "harbour", None, "Ingrid", silent)
    assert (imported.speaker, imported.conversations, imported.messages) == ("assistant", 120, 360)
    found = await learnt(database, owner, tmp_path / "job")
    asked = {one["messages"][0]["content"]: one["messages"] for one in dialogues}
    assert len(found) >= 100  # some are near-duplicates of each other
    for messages in found:
        assert messages == asked[messages[0]["content"]]


async def test_a_document_is_learnt_beside_a_chat_and_never_measured_with(database: Database, tmp_path: Path) -> None:
    owner = await add_assistant(database)
    sections = [
        f"## Rule {n}\n\nNo boat of more than {n + 7} paces ties up at berth {n} after the {n * 13 % 29}th bell, "
        f"whoever the skipper is, and the fee of {n * 17 % 83} shells is due at once.\n"
        for n in range(30)
    ]
    (tmp_path / "rules.md").write_text("# Harbour rules\n\n" + "\n".join(sections))
    await import_file(database, written(tmp_path, chat(talk(60))), "harbour", "Runa", "Ingrid", silent)
    imported = await import_file(database, tmp_path / "rules.md", "harbour", None, "Ingrid", silent)
    assert imported.speaker == "assistant"
    found = await learnt(database, owner, tmp_path / "job")
    rules = [messages for messages in found if messages[0]["content"].startswith("rules: Harbour rules – Rule")]
    assert len(rules) >= 25
    assert all(len(messages) == 2 and "shells is due" in messages[1]["content"] for messages in rules)
    assert "rules: " not in (tmp_path / "job" / "held_out.jsonl").read_text()


async def test_a_document_alone_that_is_too_short_is_kept_and_says_how_much_it_takes(
    database: Database, tmp_path: Path
) -> None:
    owner = await add_assistant(database)
    (tmp_path / "note.txt").write_text("A single paragraph about the harbour and its one and only berth.")
    imported = await import_file(database, tmp_path / "note.txt", "harbour", None, "Ingrid", silent)
    assert (imported.new, imported.examples) == (2, 1)
    assert imported.wanting is not None and "only 1 example" in imported.wanting and "takes 40" in imported.wanting
    with pytest.raises(BadInput, match="only 1 example"):
        await curate(database, owner, tmp_path / "job", silent)


async def test_small_sources_add_up_to_what_can_be_learnt(database: Database, tmp_path: Path) -> None:
    owner = await add_assistant(database)
    faq = "\n\n".join(
        f"## Rule {n}\n\nNo boat of over {n + 7} paces ties up at berth {n} after bell {n * 13}." for n in range(10)
    )
    (tmp_path / "faq.md").write_text(faq)
    first = await import_file(database, tmp_path / "faq.md", "harbour", None, "Ingrid", silent)
    second = await import_file(database, written(tmp_path, chat(talk(31))), "harbour", "Runa", "Ingrid", silent)
    assert first.wanting is not None and second.wanting is None
    assert second.examples == 41
    assert len(await learnt(database, owner, tmp_path / "job")) == 41


LONG = "word " * 14_000


async def test_an_answer_whose_question_cannot_be_kept_is_learnt_as_an_answer_to_nothing_else(
    database: Database, tmp_path: Path
) -> None:
    """In a chat, where what follows within minutes is one conversation."""
    owner = await add_assistant(database)
    lines = []
    for day in range(50):
        at = f"[{day % 28 + 1:02}.{day // 28 + 1:02}.24, "
        lines += [
            f"{at}10:00:00] Odo: When do we sail on day {day * 7}, to island {day}?",
            f"{at}10:01:00] Runa: At bell {day * 13}, past buoy {day * 31 % 89}.",
        ]
        if day == 20:
            lines += [f"{at}10:02:00] Odo: {LONG}", f"{at}10:03:00] Runa: That is far too much for me to read."]
    (tmp_path / "_chat.txt").write_text("\n".join(lines))
    imported = await import_file(database, tmp_path / "_chat.txt", "harbour", "Runa", "Ingrid", silent)
    assert (imported.without_text, imported.examples, imported.funnel[0].to_json()) == (
        1, 50, {"step": "with text", "in": 102, "out": 101},
    )  # fmt: skip
    again = await import_file(database, tmp_path / "_chat.txt", "harbour", "Runa", "Ingrid", silent)
    assert (again.new, again.changed, again.examples) == (0, 0, 50)
    found = await learnt(database, owner, tmp_path / "job")
    assert len(found) == 50 and not any("too much" in one["content"] for messages in found for one in messages)


async def test_a_dialogue_ends_before_a_turn_that_cannot_be_kept(database: Database, tmp_path: Path) -> None:
    owner = await add_assistant(database)
    dialogues = [dialogue(number) for number in range(120)]
    for role, broken in (("user", LONG), ("assistant", LONG), ("user", "half \ud83d of a character")):
        turns = [{"role": role, "content": broken}, {"role": "user", "content": "unheard"}]
        turns = turns if role == "assistant" else [turns[0], {"role": "assistant", "content": "unheard"}, *turns]
        dialogues.append({"messages": [*dialogue(len(dialogues) * 2 + 1)["messages"], *turns]})
    (tmp_path / "talk.jsonl").write_text("\n".join(map(json.dumps, dialogues)))
    imported = await import_file(database, tmp_path / "talk.jsonl", "harbour", None, "Ingrid", silent)
    assert (imported.conversations, imported.without_text) == (123, 10)
    found = await learnt(database, owner, tmp_path / "job")
    said = [one["content"] for messages in found for one in messages]
    assert "unheard" not in said and max(map(len, said)) < 100
    assert sum(len(messages) == 4 for messages in found) > 55


async def test_private_details_are_known_to_the_gate_by_digest_alone(database: Database, tmp_path: Path) -> None:
    owner = await add_assistant(database)
    asked, answered = "Write to ada@harbour.example or ring +44 20 7946 0958", "I did, from runa@harbour.example"
    said = [*talk(60), message(900, "Odo Brandt", asked, 1_700_500_000)]
    said.append(message(901, "Runa Vik", answered, 1_700_500_040, reply_to_message_id=900))
    await import_file(database, written(tmp_path, chat(said)), "harbour", "Runa", "Ingrid", silent)
    await curate(database, owner, tmp_path / "job", silent)
    assert RunFolder(tmp_path / "job").secrets.name == SECRETS
    assert RunFolder(tmp_path / "job").read_secrets() == {
        detail_digest(detail) for detail in ("ada@harbour.example", "+44 20 7946 0958", "runa@harbour.example")
    }
    assert "harbour.example" not in "".join(file.read_text() for file in (tmp_path / "job").iterdir())
