"""Taught answers: kept, replaced, taken back, and learnt with the most weight."""

from __future__ import annotations

import json
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from chat_exports import START, add_assistant, chat, every_row, message, silent, talk, written
from sqlalchemy import update

from config.errors import BadInput, NotFound, Refused
from store.database import Database
from store.tables import Account, Channel, Consent
from tuning.curation import Curated, curate
from tuning.importing import import_file
from tuning.redaction import detail_digest
from tuning.teaching import WEIGHT, Asker, read_pairs, split_pair, taught_pairs, teach, teach_all, untaught

AT = datetime(2026, 5, 3, 12, 0, tzinfo=UTC)
MARA = Asker("telegram:7", "Mara", "tg:-100", AT)


async def open_chats(database: Database, account: str, platform: str, *chats: str) -> None:
    async with database.session() as session:
        session.add(Account(name=account, platform=platform, external_id="1", username="bot", token="t"))
        session.add_all(Channel(key=chat, account=account, private=False) for chat in chats)


async def agree(database: Database, asker: Asker, at: datetime = AT) -> None:
    async with database.session() as session:
        session.add(
            Consent(person=asker.person, chat=asker.chat, state="in", shown="May I learn from you?", decided_at=at)
        )


def lines(file: Path) -> list[Any]:
    return [[turn["content"] for turn in json.loads(line)["messages"]] for line in file.read_text().splitlines()]


async def curated(database: Database, folder: Path, owner: int) -> tuple[Curated, list[Any], list[Any]]:
    found = await curate(database, owner, folder / "job", silent)
    return found, lines(folder / "job" / "train.jsonl"), lines(folder / "job" / "held_out.jsonl")


async def test_pairs_are_listed_newest_first_and_can_be_taken_back(database: Database) -> None:
    await add_assistant(database)
    first = await teach(database, "harbour", " When do you open? ", "At six.", "Ada")
    await teach(database, "harbour", "When do you close?", "At ten.\nOn Sundays at eight.", "Ada")
    listed = await taught_pairs(database, "harbour")
    assert [(pair.question, pair.answer) for pair in listed] == [
        ("When do you close?", "At ten.\nOn Sundays at eight."), ("When do you open?", "At six.")
    ]  # fmt: skip
    assert (await untaught(database, "harbour")).question == "When do you close?"
    assert (await untaught(database, "harbour", first.id)).answer == "At six."
    assert await taught_pairs(database, "harbour") == []
    rows = await every_row(database)
    assert not rows["source_messages"] and not rows["imports"]
    with pytest.raises(NotFound, match="not among the taught"):
        await untaught(database, "harbour", first.id)


async def test_a_pair_of_another_assistant_cannot_be_taken_back(database: Database) -> None:
    await add_assistant(database)
    await add_assistant(database, "garden")
    pair = await teach(database, "garden", "Who waters?", "The rain.", "Ada")
    with pytest.raises(NotFound):
        await untaught(database, "harbour", pair.id)
    assert len(await taught_pairs(database, "garden")) == 1


async def test_the_same_question_taught_again_replaces_its_answer(database: Database) -> None:
    await add_assistant(database)
    await teach(database, "harbour", "When do you open?", "At six.", "Ada")
    again = await teach(database, "harbour", "when do  you OPEN?", "At seven.", "Ben")
    assert again.replaced
    assert [pair.answer for pair in await taught_pairs(database, "harbour")] == ["At seven."]


async def test_each_pair_is_a_conversation_of_its_own_learnt_with_most_weight_and_never_held_out(
    database: Database, tmp_path: Path
) -> None:
    owner = await add_assistant(database)
    await import_file(database, written(tmp_path, chat(talk(60))), "harbour", "Runa", "Ingrid", silent)
    for number in range(12):
        await teach(database, "harbour", f"Where is pier {number}?", f"Left of the {number * 7}th crane.", "Ada")
    found, train, held = await curated(database, tmp_path, owner)
    assert found.examples == 72 and found.train + found.held_out == 72
    for number in range(12):
        pair = [f"Where is pier {number}?", f"Left of the {number * 7}th crane."]
        assert train.count(pair) == WEIGHT and pair not in held
    assert len(train) == found.train + (WEIGHT - 1) * 12
    assert len(found.lineage) == 2 and sorted(map(len, found.lineage.values()))[0] == 24


async def test_with_hardly_anything_else_the_oldest_are_still_learnt(database: Database, tmp_path: Path) -> None:
    owner = await add_assistant(database)
    pairs = [(f"Where is pier {number}?", f"Left of the {number * 7}th crane.") for number in range(60)]
    await teach_all(database, "harbour", pairs, "Ada")
    _, train, held = await curated(database, tmp_path, owner)
    assert len(held) == 16 and len(train) == 44 * WEIGHT


async def test_of_two_that_say_nearly_the_same_the_taught_one_stays(database: Database, tmp_path: Path) -> None:
    owner = await add_assistant(database)
    said = talk(60)
    await import_file(database, written(tmp_path, chat(said)), "harbour", "Runa", "Ingrid", silent)
    await teach(database, "harbour", said[0]["text"], said[1]["text"], "Ada")
    _, train, held = await curated(database, tmp_path, owner)
    assert (train + held).count([said[0]["text"], said[1]["text"]]) == WEIGHT


async def test_what_is_taught_by_hand_is_learnt_as_it_stands(database: Database, tmp_path: Path) -> None:
    owner = await add_assistant(database)
    said = [*talk(60), message(900, "Odo Brandt", "Is it keeper@harbour.example or odo@boats.example?", START + 10**7),
            message(901, "Runa Vik", "The first.", START + 10**7 + 60, reply_to_message_id=900)]  # fmt: skip
    await import_file(database, written(tmp_path, chat(said)), "harbour", "Runa", "Ingrid", silent)
    await teach(database, "harbour", "How do I reach you?", "Write to keeper@harbour.example.", "Ada")
    _, train, _ = await curated(database, tmp_path, owner)
    assert ["How do I reach you?", "Write to keeper@harbour.example."] in train
    secrets = (tmp_path / "job" / "secrets.txt").read_text().split()
    assert secrets == [detail_digest("odo@boats.example").hex()]  # the other one is meant to be told


async def test_a_question_in_somebody_elses_words_is_learnt_only_while_they_consent(
    database: Database, tmp_path: Path
) -> None:
    owner = await add_assistant(database)
    await import_file(database, written(tmp_path, chat(talk(60))), "harbour", "Runa", "Ingrid", silent)
    await open_chats(database, "tg", "telegram", MARA.chat)
    with pytest.raises(Refused, match="Mara has not agreed"):
        await teach(database, "harbour", "Is the gate open?", "Since six.", "Ada", MARA)
    await agree(database, MARA)
    await teach(database, "harbour", "Is the gate open?", "Since six.", "Ada", MARA)
    pair = ["Is the gate open?", "Since six."]
    assert pair in (await curated(database, tmp_path, owner))[1]
    for now in ({"state": "out"}, {"state": "in", "decided_at": AT + timedelta(days=1)}):
        async with database.session() as session:
            await session.execute(update(Consent).values(**now))
        _, train, held = await curated(database, tmp_path, owner)
        assert pair not in train + held


async def test_consent_counts_for_the_chat_in_which_it_was_given_and_from_then_on(database: Database) -> None:
    await add_assistant(database)
    await open_chats(database, "tg", "telegram", "tg:-100", "tg:-200")
    await agree(database, MARA)
    for other in (replace(MARA, chat="tg:-200"), replace(MARA, at=AT - timedelta(seconds=1))):
        with pytest.raises(Refused):
            await teach(database, "harbour", "Is it?", "It is.", "Ada", other)


async def test_on_discord_the_platforms_permission_is_asked_for_too(database: Database) -> None:
    await add_assistant(database)
    asker = Asker("discord:7", "Mara", "dc:5", AT)
    await agree(database, asker)
    await open_chats(database, "dc", "discord", asker.chat)
    with pytest.raises(Refused):
        await teach(database, "harbour", "Is it?", "It is.", "Ada", asker)
    async with database.session() as session:
        (await session.get_one(Account, 1)).permission = "letter of 3 May"
    assert await teach(database, "harbour", "Is it?", "It is.", "Ada", asker)


async def test_many_are_kept_all_or_none(database: Database) -> None:
    await add_assistant(database)
    with pytest.raises(BadInput, match="answer is empty"):
        await teach_all(database, "harbour", [("One?", "One."), ("Two?", " ")], "Ada")
    assert await taught_pairs(database, "harbour") == []
    with pytest.raises(BadInput, match="4,000"):
        await teach(database, "harbour", "Long?", "x" * 4001, "Ada")


@pytest.mark.parametrize(
    ("text", "pair"),
    [
        ("When? => At six.", ("When?", "At six.")),
        ("When?\nAt six.\nOn Sundays at eight.", ("When?", "At six.\nOn Sundays at eight.")),
        ("When?\nReally? => At six.", ("When?\nReally?", "At six.")),
        ("Is a=>b meant?\nIt is.", ("Is a=>b meant?", "It is.")),
        ("When?", None),
        ("=> At six.", None),
        ("When? =>", None),
        ("", None),
    ],
)
def test_a_pair_is_written_with_an_arrow_or_on_two_lines(text: str, pair: tuple[str, str] | None) -> None:
    assert split_pair(text) == pair


def test_a_file_of_pairs_names_the_line_that_is_none() -> None:
    assert read_pairs(["# hours\n", "\n", "When? => At six.\n"], "faq.txt") == [("When?", "At six.")]
    with pytest.raises(BadInput, match=r"Line 2 of faq\.txt"):
        read_pairs(["When? => At six.\n", "Where?\n"], "faq.txt")
    with pytest.raises(BadInput, match="holds no pairs"):
        read_pairs([], "faq.txt")
