"""Import: whole or not at all, once, and only what is new."""

from __future__ import annotations

import asyncio
import json
import re
import sqlite3
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
from chat_exports import (
    START,
    account,
    add_assistant,
    author_id,
    chat,
    every_row,
    message,
    service,
    silent,
    talk,
    written,
)
from sqlalchemy import select

from config.errors import BadInput, NotFound
from store.database import Database
from store.tables import Import, Source, SourceMessage
from tuning.importing import Imported, import_file
from tuning.shelf import shelf
from tuning.speakers import EVERYBODY

Json = dict[str, Any]


async def take(database: Database, file: Path, speaker: str | None = None, chat: str | None = None) -> Imported:
    return await import_file(database, file, "harbour", speaker, "Ingrid", silent, chat)


async def texts(database: Database) -> list[str]:
    async with database.session() as session:
        return list(await session.scalars(select(SourceMessage.text).order_by(SourceMessage.id)))


async def test_an_export_becomes_messages_conversations_and_examples(database: Database, tmp_path: Path) -> None:
    await add_assistant(database)
    file = written(tmp_path, chat([service(9000, "Odo", START), *talk(50)]))
    heard: list[tuple[str, int, int]] = []
    done = await import_file(database, file, "harbour", "runa", "Ingrid", lambda *said: heard.append(said))
    assert (done.messages, done.new, done.changed, done.speaker, done.speaker_chosen) == (
        100,
        100,
        0,
        "Runa Vik",
        False,
    )
    assert (done.conversations, done.examples) == (50, 50)
    assert done.funnel[0].to_json() == {"step": "with text", "in": 101, "out": 100}
    assert [(step.came_in, step.went_out) for step in done.funnel if step.name.startswith("for ")] == [
        (50, 34),
        (50, 16),
    ]
    assert ("reading the export", file.stat().st_size, file.stat().st_size) in heard


async def test_the_word_of_whoever_imports_is_recorded(database: Database, tmp_path: Path) -> None:
    await add_assistant(database)
    done = await take(database, written(tmp_path, chat(talk(50))))
    async with database.session() as session:
        source = await session.get_one(Source, done.source_id)
    assert source.permission_by == "Ingrid"
    assert "Ingrid" in source.permission
    assert "may be used for training" in source.permission
    assert (source.kind, source.external_id, source.title) == ("telegram", "77", "Harbour")


async def test_text_lies_encrypted_in_the_file(database: Database, tmp_path: Path, home: Path) -> None:
    await add_assistant(database)
    await take(database, written(tmp_path, chat(talk(50))))
    stored = b"".join(file.read_bytes() for file in database_files(home))
    assert "Bring the long rope" in "".join(await texts(database))
    assert b"Bring the long rope" not in stored
    assert b"Runa" not in stored


async def test_the_same_file_twice_adds_nothing_and_still_counts(database: Database, tmp_path: Path) -> None:
    await add_assistant(database)
    file = written(tmp_path, chat(talk(50)))
    first = await take(database, file)
    before = (await every_row(database))["source_messages"]
    again = await take(database, file)
    after = await every_row(database)
    assert (again.new, again.changed) == (0, 0)
    assert (again.messages, again.conversations, again.examples) == (100, first.conversations, first.examples)
    assert again.funnel == first.funnel
    assert after["source_messages"] == before
    assert len(after["imports"]) == len(after["sources"]) == 1


async def test_a_longer_export_adds_just_what_is_new_and_takes_over_edits(database: Database, tmp_path: Path) -> None:
    await add_assistant(database)
    said = talk(60)
    await take(database, written(tmp_path, chat(said[:100])), "Runa Vik")
    edited = {**said[7], "text_entities": [{"type": "plain", "text": "Edited since"}], "edited_unixtime": "1800000000"}
    longer = written(tmp_path, chat([*said[:7], edited, *said[8:]]), "later.json")
    done = await take(database, longer)
    assert (done.messages, done.new, done.changed, done.speaker) == (120, 20, 1, "Runa Vik")
    assert (await texts(database))[7] == "Edited since"
    async with database.session() as session:
        rows = list(await session.scalars(select(Import).order_by(Import.id)))
    assert [(row.messages_read, row.messages_new, row.messages_changed) for row in rows] == [
        (100, 100, 0),
        (120, 20, 1),
    ]


async def test_an_older_export_after_a_longer_one_takes_nothing_away(database: Database, tmp_path: Path) -> None:
    await add_assistant(database)
    await take(database, written(tmp_path, chat(talk(60))))
    done = await take(database, written(tmp_path, chat(talk(45)), "older.json"))
    assert (done.messages, done.new, done.changed) == (120, 0, 0)


def edited(entry: Json, said: str, second: int) -> Json:
    return {**entry, "text_entities": [{"type": "plain", "text": said}], "edited_unixtime": str(second)}


async def test_an_older_export_puts_no_edited_text_back(database: Database, tmp_path: Path) -> None:
    await add_assistant(database)
    said = talk(60)
    first = [*said[:7], edited(said[7], "Edited once", START + 10), *said[8:]]
    newest = [
        *said[:7],
        edited(said[7], "Edited twice", START + 20),
        edited(said[8], "Edited too", START + 20),
        *said[9:],
    ]
    undone = [*said[:7], edited(said[7], "Edited once", START + 30), *newest[8:]]
    await take(database, written(tmp_path, chat(newest), "newest.json"))
    for older in (first, said):
        done = await take(database, written(tmp_path, chat(older), "older.json"))
        assert (done.new, done.changed) == (0, 0)
        assert (await texts(database))[7:9] == ["Edited twice", "Edited too"]
    assert (await take(database, written(tmp_path, chat(undone), "undone.json"))).changed == 1
    assert (await texts(database))[7:9] == ["Edited once", "Edited too"]
    assert (await take(database, written(tmp_path, chat(newest[:119]), "again.json"))).changed == 0


async def test_an_edit_back_to_the_first_words_is_an_edit_as_well(database: Database, tmp_path: Path) -> None:
    """What lies between must not come in after it."""
    await add_assistant(database)
    said = talk(50)
    back = [edited(said[0], said[0]["text"], START + 20), *said[1:]]
    between = [edited(said[0], "In between", START + 10), *said[1:]]
    await take(database, written(tmp_path, chat(said), "first.json"))
    assert (await take(database, written(tmp_path, chat(back), "back.json"))).changed == 0
    assert (await take(database, written(tmp_path, chat(between), "between.json"))).changed == 0
    assert (await texts(database))[0] == said[0]["text"]


async def test_others_write_while_an_import_is_under_way_and_see_nothing_of_it(
    database: Database, tmp_path: Path, home: Path
) -> None:
    await add_assistant(database)
    await take(database, written(tmp_path, chat(talk(50)), "first.json"))
    steps: set[str] = set()
    with closing(sqlite3.connect(home / "parlance.db", timeout=0, isolation_level=None)) as other:

        def write(step: str, done: int, total: int) -> None:
            other.execute("UPDATE assistants SET system_prompt = ?", (f"{step} {done}",))  # no waiting: or it fails
            assert other.execute("SELECT count(*) FROM source_messages").fetchone() == (100,)
            assert other.execute("SELECT count(*) FROM imports").fetchone() == (1,)
            steps.add(step)

        longer = written(tmp_path, chat(talk(1500)), "longer.json")
        done = await import_file(database, longer, "harbour", None, "Ingrid", write)
        assert steps == {"reading the export", "sorting messages into conversations"}
        assert done.new == 2900
        assert other.execute("SELECT count(*) FROM source_messages").fetchone() == (3000,)


async def test_what_another_import_brought_meanwhile_is_not_brought_twice(database: Database, tmp_path: Path) -> None:
    await add_assistant(database)
    await take(database, written(tmp_path, chat(talk(50)), "first.json"))
    longer, longest = (
        written(tmp_path, chat(talk(60)), "longer.json"),
        written(tmp_path, chat(talk(70)), "longest.json"),
    )
    one, other = await asyncio.gather(take(database, longer), take(database, longest))
    assert one.new + other.new == 40
    said = await texts(database)
    assert len(said) == 140
    assert sorted(said) == sorted(entry["text"] for entry in talk(70))


async def test_of_two_first_imports_of_a_chat_at_once_one_is_whole_and_the_other_refused(
    database: Database, tmp_path: Path
) -> None:
    await add_assistant(database)
    files = [written(tmp_path, chat(talk(rounds)), f"{rounds}.json") for rounds in (50, 60)]
    ended = await asyncio.gather(*(take(database, file) for file in files), return_exceptions=True)
    done = [one for one in ended if isinstance(one, Imported)]
    assert all("at this very moment" in str(one) for one in ended if not isinstance(one, Imported))
    assert len(await texts(database)) == max(one.messages for one in done)


async def test_one_chat_serves_two_assistants_as_two_sources(database: Database, tmp_path: Path) -> None:
    await add_assistant(database)
    await add_assistant(database, "garden")
    file = written(tmp_path, chat(talk(50)))
    first = await take(database, file)
    second = await import_file(database, file, "garden", "Runa", "Ingrid", silent)
    assert first.source_id != second.source_id
    assert second.new == 100


async def test_a_chat_of_an_account_is_the_chat_that_was_imported_alone(database: Database, tmp_path: Path) -> None:
    await add_assistant(database)
    alone = await take(database, written(tmp_path, chat(talk(50))))
    both = written(tmp_path, account(chat(talk(3), "Other", 5), chat(talk(52))), "account.json")
    done = await take(database, both, chat="harbour")
    assert (done.source_id, done.new, done.messages) == (alone.source_id, 4, 104)


async def test_an_account_with_one_chat_in_use_needs_no_choice(database: Database, tmp_path: Path) -> None:
    await add_assistant(database)
    file = written(tmp_path, account(chat([], "Empty", 5), chat(talk(50))))
    assert (await take(database, file)).messages == 100
    before = (await every_row(database))["source_messages"]
    again = await take(database, file)
    after = await every_row(database)
    assert (again.new, again.messages, len(after["imports"])) == (0, 100, 1)
    assert after["source_messages"] == before


async def test_the_speaker_can_be_named_in_part_by_id_or_changed_later(database: Database, tmp_path: Path) -> None:
    await add_assistant(database)
    file = written(tmp_path, chat(talk(50)))
    number = author_id("Runa Vik")
    for asked in ("RUNA VIK", "run", number, number.removeprefix("user")):
        assert (await take(database, file, asked)).speaker == "Runa Vik"
    said = [message(5000 + at, who, f"{who} says {at * at} things", START + 10**6 + 7200 * (at // 2) + at % 2)
            for at, who in enumerate(["Runa Vik", "Odo Brandt"] * 45)]  # fmt: skip
    more = written(tmp_path, chat([*talk(50), *said]), "more.json")
    assert (await take(database, more)).speaker == "Runa Vik"
    assert (await take(database, more, "odo")).speaker == "Odo Brandt"
    assert (await take(database, more)).speaker == "Odo Brandt"


async def test_several_can_be_learnt_or_everybody(database: Database, tmp_path: Path) -> None:
    await add_assistant(database)
    said = [
        message(5000 + at, who, f"{who} says {at * at} things", START + 10**6 + 7200 * (at // 3) + at % 3)
        for at, who in enumerate(["Ines Aune", "Runa Vik", "Odo Brandt"] * 60)
    ]
    file = written(tmp_path, chat(said))
    one = await import_file(database, file, "harbour", "Runa", "Ingrid", silent)
    two = await import_file(database, file, "harbour", ("odo", "Runa"), "Ingrid", silent)
    assert (two.speaker, two.speaker_chosen) == ("Odo Brandt and Runa Vik", False)
    assert (await import_file(database, file, "harbour", None, "Ingrid", silent)).speaker == two.speaker
    everybody = await import_file(database, file, "harbour", EVERYBODY, "Ingrid", silent)
    assert everybody.speaker == "everybody" and everybody.examples > one.examples
    assert [view.speaker for view in await shelf(database, "harbour")] == ["everybody"]
    with pytest.raises(BadInput, match="Nobody called “Zaphod”"):
        await import_file(database, file, "harbour", ("odo", "Zaphod"), "Ingrid", silent)


async def test_the_one_who_answers_most_is_chosen_and_that_is_said(database: Database, tmp_path: Path) -> None:
    await add_assistant(database)
    chatter = [message(5000 + at, "Lone Talker", f"To myself, {at}", START + 10**7 + 9000 * at) for at in range(300)]
    done = await take(database, written(tmp_path, chat([*talk(50), *chatter])))
    assert (done.speaker, done.speaker_chosen) == ("Runa Vik", True)


async def test_unusual_ids_and_dates_are_kept(database: Database, tmp_path: Path) -> None:
    await add_assistant(database)
    odd = [
        message(-999_999_991, "Odo Brandt", "from before the move", START),
        message(2**53, "Odo Brandt", "far", START),
    ]
    assert (await take(database, written(tmp_path, chat([*odd, *talk(50)])))).messages == 102


async def test_an_id_that_comes_twice_with_the_same_content_counts_once(database: Database, tmp_path: Path) -> None:
    await add_assistant(database)
    said = talk(50)
    assert (await take(database, written(tmp_path, chat([*said, said[3], *said[:2]])))).messages == 100


async def test_any_script_comes_back_from_the_store_unchanged(database: Database, tmp_path: Path) -> None:
    await add_assistant(database)
    said = ["מתי יוצאים?", "الضباب 🌫️ حتى الظهر", "👩‍🚒🏴‍☠️ e\u0301 \u200f\u2066x\u2069", "\tend\n "]
    entries = [message(9000 + at, "Odo Brandt", one, START + 10**7) for at, one in enumerate(said)]
    await take(database, written(tmp_path, chat([*talk(50), *entries])))
    assert (await texts(database))[-4:] == said


def database_files(home: Path) -> list[Path]:
    return list(home.glob("parlance.db*"))


def cut(file: Path) -> Path:
    file.write_bytes(file.read_bytes()[:-2000])
    return file


def replaced(file: Path, old: str, new: str) -> Path:
    content = file.read_text()
    assert old in content
    file.write_text(content.replace(old, new))
    return file


def raw(folder: Path, content: bytes) -> Path:
    file = folder / "result.json"
    file.write_bytes(content)
    return file


LATER = [*talk(60), message(9001, "Odo Brandt", "the last word", START + 10**7)]
BAD: dict[str, tuple[Callable[[Path], Path], str]] = {
    "missing": (lambda at: at / "nothing.json", "There is no file"),
    "folder": (lambda at: at, "is a folder"),
    "empty": (lambda at: raw(at, b""), "is empty"),
    "truncated": (lambda at: cut(written(at, chat(LATER))), "ends in the middle"),
    "not json": (lambda at: raw(at, b"From: Odo\nTo: Runa\n"), "not JSON"),
    "broken late": (lambda at: replaced(written(at, chat(LATER)), '"the last word"', '"the last word" x'), "not JSON"),
    "no export": (lambda at: raw(at, b'{"model": "x", "data": [1, 2]}'), "not a Telegram export"),
    "no messages": (lambda at: written(at, chat([])), "no messages with text"),
    "only service": (lambda at: written(at, chat([service(1, "Odo", 5)])), "no messages with text"),
    "no chats": (lambda at: written(at, account()), "no messages with text"),
    "endless message": (lambda at: written(at, chat([*LATER, message(9002, "Odo", "z" * 100_000, START)])), "9002"),
    "surrogate": (lambda at: replaced(written(at, chat(LATER)), '"the last word"', '"the \\ud83d word"'), "9001"),
    "id twice": (lambda at: written(at, chat([*LATER, message(7, "Odo Brandt", "x", START)])), "Message 7 .* twice"),
    "id twice, far apart": (
        lambda at: written(at, chat([message(9001, "Odo Brandt", "other", START), *talk(1200, 10_000), LATER[-1]])),
        "Message 9001 .* twice",
    ),
    "several chats": (
        lambda at: written(at, account(chat(LATER), chat(talk(4), "Garden", 5))),
        r"2 chats; .*--chat.*“Harbour” \(id 77, 121 messages\), “Garden” \(id 5, 8 messages\)",
    ),
}  # fmt: skip


@pytest.mark.parametrize("case", BAD)
async def test_what_cannot_be_used_leaves_an_empty_database_as_it_was(
    database: Database, tmp_path: Path, case: str
) -> None:
    await add_assistant(database)
    await refuse(database, *BAD[case], tmp_path)


@pytest.mark.parametrize("case", BAD)
async def test_what_cannot_be_used_leaves_a_filled_database_as_it_was(
    database: Database, tmp_path: Path, case: str
) -> None:
    await add_assistant(database)
    await take(database, written(tmp_path, chat(talk(50)), "first.json"))
    await refuse(database, *BAD[case], tmp_path)


async def refuse(database: Database, make: Callable[[Path], Path], sentence: str, folder: Path) -> None:
    before = await every_row(database)
    with pytest.raises(BadInput, match=sentence) as refused:
        await take(database, make(folder))
    assert "\n" not in str(refused.value)
    assert await every_row(database) == before


async def test_a_chat_that_is_too_little_to_learn_from_is_kept_and_says_what_is_wanting(
    database: Database, tmp_path: Path
) -> None:
    await add_assistant(database)
    few = await take(database, written(tmp_path, chat(talk(20), "Tiny", 6)))
    assert few.new == few.messages == 40
    assert few.wanting is not None and re.search("only 20 examples .* it takes 40", few.wanting)
    enough = await take(database, written(tmp_path, chat(talk(50)), "more.json"))
    assert enough.examples == 70 - 20  # those of the first twenty days are the same in both
    assert enough.wanting is None
    nothing = await take(
        database, written(tmp_path, chat([message(1, "Odo", "Hello?", START)], "Lone", 8), "lone.json")
    )
    assert nothing.new == 1


async def test_ids_repeated_with_other_content_are_found_beside_what_was_stored_before(
    database: Database, tmp_path: Path
) -> None:
    """The first of the two is as it was stored, so only the file itself shows that something is wrong."""
    await add_assistant(database)
    said = talk(50)
    await take(database, written(tmp_path, chat(said), "first.json"))
    file = written(tmp_path, chat([*said, message(3, "Odo Brandt", "quite another", START)]))
    await refuse(database, lambda _: file, "Message 3 .* twice", tmp_path)


async def test_a_speaker_who_is_not_there_is_answered_with_those_who_are(database: Database, tmp_path: Path) -> None:
    await add_assistant(database)
    many = [message(9000 + at, f"Guest{at:02} X", "hello", START + 10**7 + at) for at in range(30)]
    file = written(tmp_path, chat([*talk(50), *many, message(9900, "Runa Vik", "one more", START + 10**8)]))
    before = await every_row(database)
    with pytest.raises(BadInput, match=r"“Sven”.* are Runa Vik \(51\), Odo Brandt \(50\), .* and 12 more\.$"):
        await take(database, file, "Sven")
    with pytest.raises(BadInput, match=r"several people.*user\d+"):
        await take(database, file, "guest")
    assert await every_row(database) == before


async def test_a_chat_that_is_not_there_is_answered_with_those_that_are(database: Database, tmp_path: Path) -> None:
    await add_assistant(database)
    file = written(tmp_path, account(chat(talk(50)), chat(talk(4), "Garden", 5)))
    with pytest.raises(BadInput, match=r"no chat “Kitchen” .*“Harbour”.*“Garden”"):
        await take(database, file, chat="Kitchen")
    assert (await take(database, file, chat="77")).messages == 100


async def test_two_chats_of_one_title_are_told_apart_by_id(database: Database, tmp_path: Path) -> None:
    await add_assistant(database)
    file = written(tmp_path, account(chat(talk(50)), chat(talk(60), number=78)))
    with pytest.raises(BadInput, match=r"“Harbour” \(id 78, .*“Harbour” \(id 77, "):
        await take(database, file, chat="Harbour")
    assert (await take(database, file, chat="78")).messages == 120


async def test_an_assistant_that_does_not_exist_is_refused(database: Database, tmp_path: Path) -> None:
    with pytest.raises(NotFound, match="“harbour”"):
        await take(database, written(tmp_path, chat(talk(50))))


async def test_a_failure_of_ours_leaves_the_database_as_it_was(
    database: Database, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    await add_assistant(database)
    before = await every_row(database)

    def full(step: str, done: int, total: int) -> None:
        raise OSError("no space left")

    with pytest.raises(OSError, match="no space"):
        await import_file(database, written(tmp_path, chat(talk(2000))), "harbour", None, "Ingrid", full)
    assert await every_row(database) == before


async def test_the_funnel_is_plain_json(database: Database, tmp_path: Path) -> None:
    await add_assistant(database)
    done = await take(database, written(tmp_path, chat(talk(50))))
    steps = json.loads(json.dumps([step.to_json() for step in done.funnel]))
    assert all(set(step) == {"step", "in", "out"} for step in steps)
    names = [step["step"] for step in steps]
    assert names[:2] == ["with text", "with consent"]
    assert names[-2:] == ["for learning", "for measuring"]
    assert names.index("links alone left out") < names.index("conversations") < names.index("examples")
    assert steps[0]["out"] == steps[1]["in"]
    assert steps[1]["out"] == steps[2]["in"]
