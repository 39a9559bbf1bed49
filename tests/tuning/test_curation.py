"""From stored messages to the two files that training reads."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from chat_exports import START, add_assistant, chat, message, silent, talk, written
from sqlalchemy import select

from config.errors import BadInput
from store.database import Database
from store.tables import SourceAuthor, SourceMessage
from tuning.curation import Curated, curate, measure
from tuning.draft import Draft
from tuning.examples import Example
from tuning.held_out import hold_out
from tuning.importing import import_file


def lines(file: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in file.read_text(encoding="utf-8").splitlines()]


async def curated_from(
    database: Database, folder: Path, messages: list[dict[str, Any]], speaker: str = "Runa"
) -> tuple[Curated, list[dict[str, Any]], list[dict[str, Any]]]:
    owner = await add_assistant(database)
    await import_file(database, written(folder, chat(messages)), "harbour", speaker, "Ingrid", silent)
    curated = await curate(database, owner, folder / "job", silent)
    return curated, lines(folder / "job" / "train.jsonl"), lines(folder / "job" / "held_out.jsonl")


async def test_the_files_hold_every_example_once_split_by_time(database: Database, tmp_path: Path) -> None:
    curated, train, held = await curated_from(database, tmp_path, talk(200))
    assert (curated.examples, curated.train, curated.held_out) == (200, 176, 24)
    assert (len(train), len(held)) == (176, 24)
    assert set(train[0]) == {"messages", "learn_from", "at"}
    assert train[0]["messages"][0]["role"] == "user"
    assert max(one["at"] for one in train) < min(one["at"] for one in held)
    assert {path.name for path in (tmp_path / "job").iterdir()} == {"train.jsonl", "held_out.jsonl"}


async def test_what_is_written_is_on_the_disk_before_anybody_is_told_that_it_is_done(
    database: Database, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    synced: dict[str, int] = {}
    monkeypatch.setattr(os, "fsync", lambda number: synced.update({_path(number): os.fstat(number).st_size}))
    messages = talk(60)
    messages[0]["text_entities"] = [{"type": "plain", "text": "Write to ada@example.org about the boat, will you?"}]
    await curated_from(database, tmp_path, messages)
    job = tmp_path / "job"
    assert {file.name for file in job.iterdir()} == {"train.jsonl", "held_out.jsonl", "secrets.txt"}
    assert {name: size for name, size in synced.items() if name.startswith(f"{job}/")} == {
        str(file): file.stat().st_size for file in job.iterdir()
    }
    assert str(job) in synced  # their names as well


def _path(number: int) -> str:
    return str(Path(f"/proc/self/fd/{number}").readlink())


async def test_the_lineage_is_the_messages_learnt_from_and_no_others(database: Database, tmp_path: Path) -> None:
    curated, train, held = await curated_from(database, tmp_path, talk(60))
    ((source, ids),) = curated.lineage.items()
    async with database.session() as session:
        texts = dict((await session.execute(select(SourceMessage.id, SourceMessage.text))).tuples().all())
        sources = set(await session.scalars(select(SourceMessage.source_id)))
    learnt = {turn["content"] for one in train for turn in one["messages"]}
    assert sources == {source}
    assert ids == sorted(set(ids))
    assert {texts[number] for number in ids} == learnt
    assert not learnt & {turn["content"] for one in held for turn in one["messages"]}


async def test_private_details_reach_neither_file(database: Database, tmp_path: Path) -> None:
    messages = talk(60)
    for at, one in enumerate(messages):
        one["text_entities"] = [
            {
                "type": "plain",
                "text": f"On 2024-05-0{at % 9 + 1} number {at} to a{at}@example.org or +49151234567{at:02}",
            }
        ]
    messages[0]["from"] = "+49 171 2345678"
    curated, train, held = await curated_from(database, tmp_path, messages)
    whole = json.dumps([train, held])
    assert "@example.org" not in whole
    assert "4915" not in whole
    assert "[email] or [phone]" in whole
    assert "2024-05-01" in whole
    assert curated.redacted == {"email": 120, "phone": 120}


async def test_near_duplicates_are_learnt_once(database: Database, tmp_path: Path) -> None:
    notice = " ".join(f"paragraph {at} of the harbour rules" for at in range(30))
    again = []
    for at in range(20):
        when = START + 10**7 + 9000 * at
        again += [message(5000 + 2 * at, "Odo Brandt", "What are the rules?", when),
                  message(5001 + 2 * at, "Runa Vik", f"{notice} {at}", when + 9)]  # fmt: skip
    curated, train, held = await curated_from(database, tmp_path, [*talk(60), *again])
    assert sum("harbour rules" in json.dumps(one) for one in train + held) == 1
    (step,) = (step for step in curated.funnel if step.name == "near-duplicates removed")
    assert (step.came_in, step.went_out) == (80, 61)


async def test_nothing_of_a_held_out_conversation_is_learnt(database: Database, tmp_path: Path) -> None:
    """Long conversations, each cut into several examples."""
    messages = []
    for at in range(300):
        when = START + 100 * at + 100_000 * (at // 50)
        messages.append(message(at + 1, ("Odo Brandt", "Runa Vik")[at % 2], f"talk {at // 50} word {at * at}", when))
    curated, train, held = await curated_from(database, tmp_path, messages + talk(40, 5000, START - 10**6))
    talks = [
        {turn["content"].split()[1] for turn in one["messages"] if turn["content"].startswith("talk")} for one in held
    ]
    learnt = {turn["content"] for one in train for turn in one["messages"]}
    assert set().union(*talks)
    assert not any(text.startswith(f"talk {number} ") for text in learnt for number in set().union(*talks))
    assert curated.held_out >= 16


async def test_people_and_steps_are_counted_and_every_step_follows_from_the_one_before(
    database: Database, tmp_path: Path
) -> None:
    unanswered = [message(9000 + at, "Lone Talker", f"Anybody? {at}", START + 10**7 + 5000 * at) for at in range(7)]
    curated, _, _ = await curated_from(database, tmp_path, [*talk(60), *unanswered])
    assert curated.people == 2
    assert curated.conversations == 67
    figures = {step.name: (step.came_in, step.went_out) for step in curated.funnel}
    assert figures == {
        "with consent": (127, 127),
        "bots and commands left out": (127, 127),
        "links alone left out": (127, 127),
        "reactions alone left out": (127, 127),
        "forwarded messages left out": (127, 127),
        "stand-ins for media left out": (127, 127),
        "conversations": (127, 67),
        "answered by the speaker": (67, 60),
        "private details replaced": (120, 120),
        "examples": (60, 60),
        "near-duplicates removed": (60, 60),
        "for learning": (60, 44),
        "for measuring": (60, 16),
    }


async def test_measuring_counts_the_same_and_writes_nothing(database: Database, tmp_path: Path) -> None:
    curated, _, _ = await curated_from(database, tmp_path, talk(60))
    async with database.long_session() as session:
        measured = await measure(session, 1)
    assert (measured.funnel, measured.people, measured.lineage) == (curated.funnel, curated.people, {})


async def test_very_much_is_counted_without_the_model(
    database: Database, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    curated, _, _ = await curated_from(database, tmp_path, talk(60))

    monkeypatch.setattr("tuning.conversations.Linker", None)
    monkeypatch.setattr("tuning.reading.VERY_MUCH", 119)
    async with database.long_session() as session:
        assert (await measure(session, 1)).funnel == curated.funnel
    with pytest.raises(TypeError):
        await curate(database, 1, tmp_path / "again", silent)


async def test_several_sources_are_learnt_together_and_told_apart_in_the_lineage(
    database: Database, tmp_path: Path
) -> None:
    owner = await add_assistant(database)
    for number, at in ((1, START), (2, START + 10**7)):
        messages = [
            one | {"text_entities": [{"type": "plain", "text": f"{one['id'] ** 3} {one['text']} {number}th year"}]}
            for one in talk(50, at=at)
        ]
        await import_file(
            database, written(tmp_path, chat(messages, number=number)), "harbour", "Runa", "Ingrid", silent
        )
    curated = await curate(database, owner, tmp_path / "job", silent)
    assert curated.examples == 100
    assert curated.people == 2
    assert {source: len(ids) for source, ids in curated.lineage.items()} == {1: 100, 2: 68}


async def test_too_little_is_refused_and_no_text_is_left_behind(database: Database, tmp_path: Path) -> None:
    owner = await add_assistant(database)
    await import_file(database, written(tmp_path, chat(talk(45))), "harbour", "Runa", "Ingrid", silent)
    async with database.session() as session:
        for row in list(await session.scalars(select(SourceMessage).limit(20))):
            await session.delete(row)
    with pytest.raises(BadInput, match=r"only 35 examples .* it takes 40"):
        await curate(database, owner, tmp_path / "job", silent)
    assert list((tmp_path / "job").iterdir()) == []


async def test_an_assistant_without_sources_has_nothing_to_learn(database: Database, tmp_path: Path) -> None:
    owner = await add_assistant(database)
    async with database.long_session() as session:
        assert (await measure(session, owner)).examples == 0
    with pytest.raises(BadInput, match="only 0 examples"):
        await curate(database, owner, tmp_path / "job", silent)


async def test_names_in_group_talk_are_the_ones_people_have_last(database: Database, tmp_path: Path) -> None:
    await add_assistant(database)
    file = written(tmp_path, chat(talk(50)))
    await import_file(database, file, "harbour", "Runa", "Ingrid", silent)
    renamed = [one | {"from": one["from"].replace("Odo", "Otto")} for one in talk(51)]
    await import_file(database, written(tmp_path, chat(renamed), "later.json"), "harbour", None, "Ingrid", silent)
    async with database.session() as session:
        assert set(await session.scalars(select(SourceAuthor.name))) == {"Otto Brandt", "Runa Vik"}


@pytest.mark.parametrize("examples", [0, 1, 5, 16, 40, 41, 133, 1000, 5000])
@pytest.mark.parametrize("size", [1, 3, 25])
def test_the_latest_conversations_are_held_out_whole_and_within_bounds(examples: int, size: int) -> None:
    random = np.random.default_rng(examples)
    numbers = np.arange(examples) // size
    began = random.permutation(examples)[numbers] if examples else np.zeros(0, np.int64)
    order = random.permutation(examples)
    numbers, began = numbers[order].astype(np.int64), began[order].astype(np.int64)
    held = hold_out(numbers, began)
    assert not set(numbers[held]) & set(numbers[~held])
    if held.any() and not held.all():
        assert began[~held].max() <= began[held].min()
    if examples >= 41:
        assert 16 <= held.sum() <= 400
        assert held.sum() <= max(16, examples * 0.12 + 1) + size
        assert (~held).sum() >= 10


def test_a_draft_leaves_no_text_when_something_fails(tmp_path: Path) -> None:
    one = Example(({"role": "user", "content": "a\tb\nc\u2028d"}, {"role": "assistant", "content": "é"}), 0, 5, (7, 8))
    with pytest.raises(RuntimeError), Draft(tmp_path) as draft:
        draft.add(one, 3)
        raise RuntimeError
    assert list(tmp_path.iterdir()) == []
    with Draft(tmp_path) as draft:
        draft.add(one, 3)
        draft.add(one, 4)
        assert draft.split(np.array([False, True])) == {3: [7, 8]}
    content = (tmp_path / "train.jsonl").read_text(encoding="utf-8")
    assert json.loads(content)["messages"] == list(one.messages)
    assert content.count("\n") == 1
