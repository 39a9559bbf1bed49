"""Forgetting somebody, whatever way their words came: by their id or by name, in every kind of source, and for good."""

from __future__ import annotations

import json
import zipfile
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from chat_exports import START, add_assistant, author_id, chat, message, silent, written
from sqlalchemy import func, select, text

from config.errors import Refused
from config.settings import Settings
from store.authors import authors_of, person_of
from store.columns import now
from store.consents import decide
from store.database import Database
from store.footprint import who_is
from store.forgotten import KeptOut, note_forgotten
from store.lineage import pack_ids
from store.tables import (
    Account,
    Assistant,
    Base,
    Channel,
    Job,
    Lineage,
    Message,
    Person,
    Source,
    SourceAuthor,
    SourceMessage,
    Version,
)
from tuning import importing
from tuning.curation import Curated
from tuning.forgetting import counted, forget
from tuning.importing import import_file
from tuning.teaching import Asker, teach, untaught

WORDS = "the petrel nests under my loose floorboard"
THINGS = ("apple", "plum", "quince", "medlar", "cherry", "damson", "pear")
Said = tuple[str, int, str]


def talk() -> list[Said]:
    """(who, when, what): Ines asks and Runa answers her, and now and then Odo says his words."""
    said = []
    for at in range(60):
        when = START + 3600 * at
        said.append(("Ines Aune", when, f"Is the {THINGS[at % 7]} by wall {at * at} ripe on day {at}?"))
        said.append(
            ("Runa Vik", when + 40, f"The {THINGS[at % 5]} at gate {at * 31 % 97} is, by the {at * 17 % 89}th.")
        )
        if at % 3 == 0:
            said.append(("Odo Brandt", when + 1800, f"I say again, {WORDS}, as on day {at}."))
    return said


def number(who: str) -> str:
    return author_id(who).removeprefix("user")


def telegram(folder: Path, said: list[Said]) -> Path:
    return written(folder, chat([message(at, who, what, when) for at, (who, when, what) in enumerate(said, start=1)]))


def discord(folder: Path, said: list[Said]) -> Path:
    messages = [
        {
            "id": str(at), "type": "Default", "timestamp": datetime.fromtimestamp(when, UTC).isoformat(),
            "content": what, "author": {"id": number(who), "name": who.lower(), "nickname": who, "isBot": False},
        }
        for at, (who, when, what) in enumerate(said, start=1)
    ]  # fmt: skip
    head = {"guild": {"id": "1", "name": "Quay"}, "channel": {"id": "42", "type": "GuildTextChat", "name": "slipway"}}
    return written(folder, {**head, "messages": messages}, name="slipway.json")


def whatsapp(folder: Path, said: list[Said]) -> Path:
    file = folder / "WhatsApp Chat with Quay.txt"
    lines = [f"{datetime.fromtimestamp(when, UTC):%d/%m/%Y, %H:%M:%S} - {who}: {what}" for who, when, what in said]
    file.write_text("\n".join(lines), encoding="utf-8")
    return file


def slack(folder: Path, said: list[Said]) -> Path:
    file = folder / "slack.zip"
    people = sorted({who for who, _, _ in said})
    with zipfile.ZipFile(file, "w") as archive:
        users = [{"id": f"U{number(who)}", "profile": {"display_name": who}} for who in people]
        archive.writestr("users.json", json.dumps(users))
        archive.writestr("channels.json", json.dumps([{"id": "C1", "name": "slipway"}]))
        rows = [
            {"type": "message", "user": f"U{number(who)}", "ts": f"{when}.{at:06}", "text": what}
            for at, (who, when, what) in enumerate(said)
        ]
        archive.writestr("slipway/2023-11-14.json", json.dumps(rows))
    return file


@dataclass(frozen=True)
class Way:
    """A kind of export, how it is written, and the key of Odo there."""

    kind: str
    write: Callable[[Path, list[Said]], Path]
    odo: str


WAYS = [
    Way("telegram", telegram, f"telegram:{number('Odo Brandt')}"),
    Way("discord", discord, f"discord:{number('Odo Brandt')}"),
    Way("whatsapp", whatsapp, "whatsapp:Odo Brandt"),
    Way("slack", slack, f"slack:U{number('Odo Brandt')}"),
]


async def everything(database: Database) -> str:
    """Every row of every table, sealed columns opened."""
    async with database.session() as session:
        rows = [row for table in Base.metadata.sorted_tables for row in await session.execute(select(table))]
    return "\n".join(repr(tuple(row)) for row in rows)


async def sealed(database: Database) -> list[bytes]:
    """The sealed bytes of all that has Odo's words, as they lie in the file."""
    found = []
    async with database.session() as session:
        for table in (Message, SourceMessage):
            rows = (await session.execute(select(table.id, table.text))).tuples().all()
            theirs = [row for row, words in rows if WORDS in words]
            query = text(f"SELECT id, text FROM {table.__tablename__}")
            found += [bytes(blob) for row, blob in await session.execute(query) if row in theirs]
    return found


def learning(settings: Settings, job: int) -> Path:
    """The folder of a job that has read all of it and is in the middle of learning."""
    run = settings.paths.job(job)
    (run / "checkpoint").mkdir(parents=True)
    for name in ("train.jsonl", "held_out.jsonl", "votes.jsonl", "checkpoint/state.safetensors"):
        (run / name).write_text(WORDS)
    return run


async def live(database: Database, person: str) -> None:
    """What they say in a channel, with the answer."""
    async with database.session() as session:
        place = Channel(key="post:-7", account="post", private=False)
        session.add_all([place, Person(key=person, name="Odo of the quay")])
        await session.flush()
        asked = Message(channel_id=place.id, role="user", author_key=person, author="Odo", text=f"Hear me: {WORDS}")
        session.add(asked)
        await session.flush()
        session.add(
            Message(channel_id=place.id, role="assistant", author="", text=f"I hear: {WORDS}", answers=asked.id)
        )


async def named(database: Database, who: str) -> str:
    async with database.session() as session:
        found = await who_is(session, who)
    assert len(found) == 1, found
    return next(iter(found))


def files_of(settings: Settings) -> list[Path]:
    return [path for path in settings.home.rglob("*") if path.is_file()]


@pytest.mark.parametrize("way", WAYS, ids=lambda way: way.kind)
@pytest.mark.parametrize("by", ["id", "name"])
async def test_what_was_imported_goes_with_what_was_said_and_does_not_come_back(
    database: Database, settings: Settings, tmp_path: Path, way: Way, by: str
) -> None:
    await add_assistant(database)
    file = way.write(tmp_path, talk())
    await import_file(database, file, "harbour", "Runa Vik", "Ada", silent)
    await live(database, way.odo)
    async with database.session() as session:
        session.add(Job(assistant_id=1, asked_by="Ada", state="running", started_at=now()))
    run = learning(settings, 1)
    blobs = await sealed(database)
    assert len(blobs) == 20 + 2
    person = way.odo if by == "id" else await named(database, "odo brandt")
    assert person == way.odo
    assert (await counted(database, person)).imported == 20
    done = await forget(database, settings, person)
    assert (done.counts.imported, done.counts.messages, done.counts.answers) == (20, 1, 1)
    assert (done.journal, done.stopping, run.exists()) == (True, False, False)
    left = await everything(database)
    assert "petrel" not in left and "Odo" not in left and "Runa Vik" in left
    for path in files_of(settings):
        content = path.read_bytes()
        assert b"petrel" not in content and not any(blob in content for blob in blobs), path
    longer = way.write(tmp_path, [*talk(), ("Ines Aune", START + 10**7, "And one more, is it open?")])
    again = await import_file(database, longer, "harbour", "Runa Vik", "Ada", silent)
    assert (again.new, again.changed) == (1, 0)
    assert "petrel" not in await everything(database)


async def test_an_import_that_began_before_does_not_bring_it_in(
    database: Database, settings: Settings, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    await add_assistant(database)
    monkeypatch.setattr("store.journal.JOURNAL_TRIES", 1)
    measure = importing.measure

    async def meanwhile(*given: Any) -> Curated:
        await forget(database, settings, WAYS[0].odo)
        return await measure(*given)

    monkeypatch.setattr(importing, "measure", meanwhile)
    file = telegram(tmp_path, talk())
    with pytest.raises(Refused, match="import it again"):
        await import_file(database, file, "harbour", "Runa Vik", "Ada", silent)
    assert "Runa Vik" not in await everything(database)
    monkeypatch.setattr(importing, "measure", measure)
    await import_file(database, file, "harbour", "Runa Vik", "Ada", silent)
    assert "petrel" not in await everything(database)


async def test_a_correction_in_their_words_goes_and_operators_own_pairs_stay(
    database: Database, settings: Settings
) -> None:
    await add_assistant(database)
    odo = "telegram:1"
    async with database.session() as session:
        session.add(Account(name="post", platform="telegram", external_id="9", username="post", token="t"))
        session.add(Channel(key="post:-7", account="post", private=False))
        await decide(session, odo, "post:-7", "in", "May I?")
    asker = Asker(odo, "Odo Brandt", "post:-7", now())
    await teach(database, "harbour", f"Is it true that {WORDS}?", f"Yes, {WORDS}.", "Ada", asker)
    await teach(database, "harbour", "When do you open?", "At six.", "Ada")
    blobs = await sealed(database)
    assert len(blobs) == 2
    assert await named(database, "Odo Brandt") == odo
    async with database.session() as session:
        assert await who_is(session, "Operator") == await who_is(session, "assistant") == {}, "that is nobody"
    done = await forget(database, settings, odo)
    assert done.counts.taught == 1
    left = await everything(database)
    assert "petrel" not in left and "At six." in left
    assert not any(blob in path.read_bytes() for blob in blobs for path in files_of(settings))


async def test_a_correction_that_was_taken_back_is_still_known_to_what_learnt_it(
    database: Database, settings: Settings
) -> None:
    await add_assistant(database)
    odo = "telegram:1"
    async with database.session() as session:
        session.add(Account(name="post", platform="telegram", external_id="9", username="post", token="t"))
        session.add(Channel(key="post:-7", account="post", private=False))
        await decide(session, odo, "post:-7", "in", "May I?")
    asker = Asker(odo, "Odo Brandt", "post:-7", now())
    pair = await teach(database, "harbour", f"Is it true that {WORDS}?", f"Yes, {WORDS}.", "Ada", asker)
    await teach(database, "harbour", "Who has the key?", "Ada has it.", "Ada", asker)
    async with database.session() as session:
        row = (await session.scalars(select(Assistant))).one()
        source = await session.get_one(Source, (await session.get_one(SourceMessage, pair.id)).source_id)
        for number, learnt in ((1, [pair.id, pair.id + 1]), (2, [])):
            version = Version(
                assistant_id=row.id, number=number, state="passed", digest="d", system_prompt="Be kind.",
                base_model="demo", report={"sentence": "It got better.", "reasons": []},
            )  # fmt: skip
            session.add(version)
            await session.flush()
            session.add(Lineage(version_id=version.id, source_id=source.id, message_ids=pack_ids(learnt)))
    await untaught(database, "harbour", pair.id)
    done = await forget(database, settings, odo)
    assert [str(name) for name in done.versions] == ["harbour@v1"]


async def test_dialogues_and_documents_are_nobodys(database: Database, settings: Settings, tmp_path: Path) -> None:
    await add_assistant(database)
    file = tmp_path / "talk.jsonl"
    pairs = [what for _, _, what in talk()]
    lines = [
        {"messages": [{"role": "user", "content": asked}, {"role": "assistant", "content": answer}]}
        for asked, answer in zip(pairs[::2], pairs[1::2], strict=True)
    ]
    file.write_text("\n".join(map(json.dumps, lines)))
    made = await import_file(database, file, "harbour", None, "Ada", silent)
    async with database.session() as session:
        assert await who_is(session, "user") == {}
    await forget(database, settings, "dialogues:user")
    async with database.session() as session:
        assert await session.scalar(select(func.count()).select_from(SourceMessage)) == made.messages


@pytest.mark.parametrize(
    ("kind", "author", "person"),
    [
        ("telegram", "user123", "telegram:123"), ("telegram", "channel9", "telegram:channel9"),
        ("telegram", "name:Odo", "telegram:name:Odo"), ("discord", "discord:123", "discord:123"),
        ("slack", "slack:U1", "slack:U1"), ("whatsapp", "whatsapp:Odo", "whatsapp:Odo"),
        ("taught", "discord:123", "discord:123"), ("taught", "asker", None), ("dialogues", "user", None),
        ("document", "assistant", None),
    ],
)  # fmt: skip
def test_an_author_of_any_source_is_one_person_both_ways(kind: str, author: str, person: str | None) -> None:
    assert person_of(kind, author) == person
    assert person is None or author in authors_of(person)[1]


async def test_who_was_forgotten_by_a_key_of_old_stays_out(database: Database) -> None:
    """Keys that were found by name had their platform twice, except Telegram's."""
    async with database.session() as session:
        await note_forgotten(session, database.cipher, "discord:discord:111")
        kept_out = await KeptOut.load(session, database.cipher)
    assert kept_out.covers("discord", "discord:111", START)
    assert not kept_out.covers("discord", "discord:112", START)


async def test_a_source_is_not_learnt_for_somebody_of_discord_who_was_forgotten(
    database: Database, settings: Settings, tmp_path: Path
) -> None:
    await add_assistant(database)
    await import_file(database, discord(tmp_path, talk()), "harbour", "Runa Vik", "Ada", silent)
    await forget(database, settings, f"discord:{number('Runa Vik')}")
    async with database.session() as session:
        (source,) = await session.scalars(select(Source))
        assert source.speakers is None
        assert "Runa Vik" not in set(await session.scalars(select(SourceAuthor.name)))
