"""Forgetting: the words are in no file and no column any more, and what learnt from them is known and dealt with."""

from __future__ import annotations

import asyncio
import fcntl
from pathlib import Path
from typing import Any

import pytest
from chat_exports import START, author_id, chat, message, silent, talk, written
from sqlalchemy import func, select, text, update

from config.errors import Refused
from config.names import VersionName
from config.settings import Settings
from store.assistants import add_assistant
from store.columns import SealedJson, SealedText, now
from store.database import Database
from store.lineage import pack_ids
from store.tables import (
    Admission,
    Assistant,
    Base,
    Channel,
    Comparison,
    Consent,
    ForgottenPerson,
    Job,
    Lineage,
    Message,
    Person,
    Source,
    SourceAuthor,
    SourceMessage,
    Speaker,
    Version,
    Vote,
)
from tuning.forgetting import counted, forget
from tuning.forgotten import Counts
from tuning.importing import import_file
from tuning.job_steps import Cancelled, JobSteps
from tuning.versions import history, previous, promotable

WORDS = "the petrel nests under my loose floorboard"
ODO = f"telegram:{author_id('Odo Brandt').removeprefix('user')}"


async def everything(database: Database) -> str:
    """Every row of every table, sealed columns opened."""
    found: list[str] = []
    async with database.session() as session:
        for table in Base.metadata.sorted_tables:
            for row in await session.execute(select(table)):
                found.append(repr(tuple(row)))
    return "\n".join(found)


async def sealed(database: Database) -> list[bytes]:
    """The sealed bytes of everything that Odo wrote or that was answered to him, as they lie in the file."""
    async with database.session() as session:
        rows = await session.execute(
            text(
                "SELECT text FROM messages WHERE author_key = :who OR answers IN (SELECT id FROM messages WHERE "
                "author_key = :who) UNION ALL SELECT text FROM source_messages WHERE author_id IN "
                "(SELECT id FROM source_authors WHERE external_id = :author)"
            ),
            {"who": ODO, "author": author_id("Odo Brandt")},
        )
        return [bytes(row[0]) for row in rows]


async def add_version(
    database: Database, number: int, learnt: dict[int, list[int]], state: str = "passed", **more: Any
) -> None:
    async with database.session() as session:
        version = Version(
            assistant_id=1, number=number, state=state, digest="d", system_prompt="", base_model="demo",
            report={"sentence": "", "reasons": ["It forgot."], "samples": []} | more,
        )  # fmt: skip
        session.add(version)
        await session.flush()
        session.add_all(
            Lineage(version_id=version.id, source_id=source, message_ids=pack_ids(ids))
            for source, ids in learnt.items()
        )


@pytest.fixture
async def town(database: Database) -> Database:
    """Odo and Ines in a group and Odo in private, with the answers they got; the assistant serves the untuned model."""
    async with database.session() as session:
        await add_assistant(session, "harbour", "", "demo")
        group = Channel(key="post:-7", account="post", private=False, title="Quay")
        alone = Channel(key="post:1", account="post", private=True, title="Odo Brandt")
        session.add_all([group, alone])
        await session.flush()
        for channel, who, words in (
            (group, ODO, f"Listen: {WORDS}"), (group, "telegram:2", "Mine is tidy"), (alone, ODO, f"Again: {WORDS}!"),
        ):  # fmt: skip
            asked = Message(channel_id=channel.id, role="user", author_key=who, author=who, text=words)
            session.add(asked)
            await session.flush()
            answer = Message(channel_id=channel.id, role="assistant", author="", text=f"So {words}", answers=asked.id)
            session.add(answer)
            await session.flush()
            session.add_all(
                [
                    Vote(message_id=answer.id, voter=ODO, value=1),
                    Vote(message_id=answer.id, voter="telegram:2", value=1),
                ]
            )
        session.add_all(
            [
                Message(channel_id=group.id, role="user", author_key=ODO, author="Odo", text=f"/teach x => {WORDS}",
                        state="command", external_id="c1"),
                Message(channel_id=alone.id, role="user", author="Odo", text=f"Long ago: {WORDS}", state="undone"),
                Person(key=ODO, name="Odo Brandt"), Person(key="telegram:2", name="Ines"),
                Consent(person=ODO, chat="post:-7", state="in", shown="?", decided_at=now()),
                Consent(person="telegram:2", chat="post:-7", state="in", shown="?", decided_at=now()),
                Admission(assistant_id=1, subject=ODO, title="Odo Brandt"),
                Speaker(assistant_id=1, person=ODO, named_by="Ada"),
                Comparison(channel_id=group.id, assistant_id=1, asked_by=ODO, question="Tea?", first="a", second="b"),
                Comparison(channel_id=group.id, assistant_id=1, asked_by="telegram:2", question="Who nests?", first="a",
                           second="b", first_answer="No idea", second_answer=f"Well, {WORDS}"),
                Comparison(channel_id=group.id, assistant_id=1, asked_by="telegram:2", question="Coffee?", first="a",
                           second="b", choice="a", chosen_by=ODO),
                *(
                    Source(assistant_id=1, kind="channel", external_id=str(channel.id), title="log",
                           permission="", permission_by="")
                    for channel in (group, alone)
                ),
            ]
        )  # fmt: skip
    return database


async def ids_of(database: Database, key: str) -> list[int]:
    async with database.session() as session:
        rows = await session.scalars(select(Message.id).join(Channel).where(Channel.key == key).order_by(Message.id))
        return list(rows)


async def marked(database: Database) -> list[int]:
    return sorted(view.name.number for view in await history(database, "harbour") if view.forgotten_at)


async def serving(database: Database) -> int | None:
    async with database.session() as session:
        return await session.scalar(select(Assistant.in_service))


async def test_no_word_of_theirs_is_left_anywhere(town: Database, settings: Settings, tmp_path: Path) -> None:
    said = [message(9000 + at, "Odo Brandt", f"{WORDS}, day {at}", START + 10**7 + 9000 * at) for at in range(30)]
    file = written(tmp_path, chat([*talk(60), *said]))
    await import_file(town, file, "harbour", "Runa", "Ada", silent)
    await add_version(town, 1, {}, samples=[
        {"question": f"Odo: {WORDS}, day 4", "base": "Oh", "in_service": None, "version": "I see"},
        {"question": "Shall we sail?", "base": "No", "in_service": None, "version": "When the fog lifts"},
        {"question": "Who nests there?", "base": "No", "in_service": None, "version": "A petrel nests under my floor"},
    ])  # fmt: skip
    run = settings.paths.job(1)
    run.mkdir(parents=True)
    (run / "train.jsonl").write_text(WORDS)
    async with town.session() as session:
        session.add(Job(assistant_id=1, asked_by="Ada", state="running", started_at=now()))
    blobs = await sealed(town)
    assert len(blobs) == 3 + 2 + 90 and WORDS in await everything(town)
    done = await forget(town, settings, ODO)
    assert (done.journal, done.stopping) == (True, False)
    left = await everything(town)
    assert "petrel" not in left and "floorboard" not in left and "Odo" not in left and ODO not in left
    assert "Shall we sail?" in left and "Runa Vik" in left and "Mine is tidy" in left
    files = [path for path in settings.home.rglob("*") if path.is_file() and path != file]
    assert any(path.name == "parlance.db" for path in files) and not run.exists()
    for path in files:
        content = path.read_bytes()
        assert b"petrel" not in content
        assert not any(blob in content for blob in blobs), path
    assert done.counts == Counts(messages=3, answers=2, imported=90, taught=0, votes=3 - 2, samples=4, records=4), (
        "the votes on deleted answers went with them"
    )


async def test_others_keep_what_is_theirs(town: Database, settings: Settings) -> None:
    await forget(town, settings, ODO)
    async with town.session() as session:
        rows = await session.execute(select(Message.role, Message.text, Message.state).order_by(Message.id))
        assert [tuple(row) for row in rows] == [
            ("user", "Mine is tidy", "said"), ("assistant", "So Mine is tidy", "said"), ("user", "", "undone"),
        ]  # fmt: skip
        assert [row.person for row in await session.scalars(select(Consent))] == ["telegram:2"]
        assert [row.voter for row in await session.scalars(select(Vote))] == ["telegram:2"]
        titles = await session.execute(select(Channel.key, Channel.title).order_by(Channel.id))
        assert [tuple(row) for row in titles] == [("post:-7", "Quay"), ("post:1", None)]
        assert await session.scalar(select(func.count()).select_from(ForgottenPerson)) == 1


async def test_counting_changes_nothing(town: Database) -> None:
    before = await everything(town)
    assert (await counted(town, ODO)).sentence() == "3 messages, 2 answers to you and 3 votes"
    assert (await counted(town, "telegram:9")).sentence() == "nothing"
    assert await everything(town) == before


async def test_exactly_the_versions_that_learnt_from_them_are_marked(
    town: Database, settings: Settings, tmp_path: Path
) -> None:
    await import_file(town, written(tmp_path, chat(talk(60))), "harbour", "Runa", "Ada", silent)
    group, alone = await ids_of(town, "post:-7"), await ids_of(town, "post:1")
    async with town.session() as session:
        theirs = list(
            await session.scalars(
                select(SourceMessage.id).join(SourceAuthor).where(SourceAuthor.external_id == author_id("Odo Brandt"))
            )
        )
        others = list(await session.scalars(select(SourceMessage.id).where(SourceMessage.id.not_in(theirs))))
        logs = dict((await session.execute(select(Source.external_id, Source.id))).tuples().all())
        (imported,) = await session.scalars(select(Source.id).where(Source.kind == "telegram"))
    log, private = logs["1"], logs["2"]
    await add_version(town, 1, {imported: others})
    await add_version(town, 2, {imported: [*others, theirs[40]]})
    await add_version(town, 3, {log: [group[0]]})
    await add_version(town, 4, {log: [group[1]]})  # the answer to them
    await add_version(town, 5, {log: group[2:4]})  # Ines and her answer
    await add_version(town, 6, {private: [alone[1]], imported: others})
    await add_version(town, 7, {})
    done = await forget(town, settings, ODO)
    assert [str(name) for name in done.versions] == ["harbour@v2", "harbour@v3", "harbour@v4", "harbour@v6"]
    assert await marked(town) == [2, 3, 4, 6]
    assert "harbour@v2, harbour@v3" in " ".join(done.sentences())


async def test_a_number_used_again_blames_nobody(town: Database, settings: Settings) -> None:
    """A version learnt from a message that is gone; Odo's next message gets its number."""
    async with town.session() as session:
        last = await session.scalar(select(func.max(Message.id))) or 0
        source = (await session.scalars(select(Source.id).where(Source.external_id == "1"))).one()
    await add_version(town, 1, {source: [last + 1]})
    async with town.session() as session:
        session.add(Message(channel_id=1, role="user", author_key=ODO, author="Odo", text="I am late"))
    assert (await ids_of(town, "post:-7"))[-1] == last + 1
    done = await forget(town, settings, ODO)
    assert done.versions == ()


async def all_learnt(town: Database, numbers: dict[int, bool]) -> None:
    """Versions of these numbers; True: learnt from Odo."""
    async with town.session() as session:
        source = (await session.scalars(select(Source.id).where(Source.external_id == "1"))).one()
    for number, learnt in numbers.items():
        await add_version(town, number, {source: [1] if learnt else [3]})


async def policy(town: Database, on_forget: str, in_service: int | None) -> None:
    async with town.session() as session:
        await session.execute(update(Assistant).values(on_forget=on_forget, in_service=in_service))


async def test_withdrawn_to_the_newest_good_version_without_the_mark(town: Database, settings: Settings) -> None:
    await all_learnt(town, {1: False, 2: False, 3: True, 4: True})
    await add_version(town, 5, {}, state="failed")
    await policy(town, "withdraw", 4)
    done = await forget(town, settings, ODO)
    assert await serving(town) == 2
    assert done.withdrawn[0].after == VersionName("harbour", 2)
    assert "harbour@v4 was withdrawn; harbour@v2 answers now." in done.sentences()
    with pytest.raises(Refused, match="deleted since, so it stays out of service"):
        await promotable(town, "harbour", 3)
    assert await previous(town, "harbour") is None


async def test_withdrawn_to_the_untuned_model_where_nothing_else_is_good(town: Database, settings: Settings) -> None:
    await all_learnt(town, {1: True})
    await policy(town, "withdraw", 1)
    assert "the untuned model answers now" in " ".join((await forget(town, settings, ODO)).sentences())
    assert await serving(town) is None


async def test_a_version_that_did_not_learn_from_them_goes_on_serving(town: Database, settings: Settings) -> None:
    await all_learnt(town, {1: False, 2: True})
    await policy(town, "withdraw", 1)
    done = await forget(town, settings, ODO)
    assert (await serving(town), done.withdrawn, await marked(town)) == (1, (), [2])


async def test_kept_with_the_mark_by_policy(town: Database, settings: Settings) -> None:
    await all_learnt(town, {1: True, 2: True})
    await policy(town, "mark", 1)
    await forget(town, settings, ODO)
    assert (await serving(town), await marked(town)) == (1, [1, 2])
    assert str(await promotable(town, "harbour", 2)) == "harbour@v2"


async def test_learns_afresh_by_policy_and_goes_on_meanwhile(town: Database, settings: Settings) -> None:
    await all_learnt(town, {1: True})
    await policy(town, "retrain", 1)
    done = await forget(town, settings, ODO)
    async with town.session() as session:
        (job,) = await session.scalars(select(Job))
    assert (job.state, done.retraining, await serving(town)) == ("queued", ("harbour",), 1)


async def test_a_job_that_has_read_it_begins_anew_and_one_that_has_not_goes_on(
    town: Database, settings: Settings
) -> None:
    async with town.session() as session:
        session.add_all(
            [
                Job(assistant_id=1, asked_by="Ada", state="running", started_at=now(), settings={"method": "full"}),
                Job(assistant_id=1, asked_by="Odo", state="queued", started_at=now()),
                Job(assistant_id=1, asked_by="Ines", state="done", started_at=now()),
            ]
        )
    for number in (1, 2):
        settings.paths.job(number).mkdir(parents=True)
    done = await forget(town, settings, ODO)
    async with town.session() as session:
        jobs = {job.id: (job.state, job.cancel) for job in await session.scalars(select(Job))}
        assert (await session.get_one(Job, 4)).settings == {"method": "full"}, "the method that was asked for"
    assert jobs == {1: ("running", True), 2: ("cancelled", True), 3: ("done", False), 4: ("queued", False)}
    assert done.retraining == ("harbour",) and not any(settings.paths.jobs.iterdir())


async def test_a_living_runner_clears_its_own_folders(town: Database, settings: Settings) -> None:
    folder = settings.paths.job(1)
    folder.mkdir(parents=True)
    async with town.session() as session:
        session.add(Job(assistant_id=1, asked_by="Ada", state="running", started_at=now()))
    asked, cleared = asyncio.Event(), asyncio.Event()

    async def runner() -> None:
        with (settings.paths.run / "jobs.lock").open("a+") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            asked.set()
            while True:
                async with town.session() as session:
                    if await session.scalar(select(Job.cancel).where(Job.id == 1)):
                        break
                await asyncio.sleep(0)
            assert folder.exists()
            folder.rmdir()
            cleared.set()

    running = asyncio.create_task(runner())
    await asked.wait()
    done = await forget(town, settings, ODO)
    await running
    assert cleared.is_set() and not done.stopping


async def test_a_job_told_to_stop_records_no_version(town: Database, settings: Settings) -> None:
    async with town.session() as session:
        job = Job(assistant_id=1, asked_by="Ada", state="running", started_at=now(), version=1, cancel=True)
        session.add(job)
        assistant = await session.get_one(Assistant, 1)
    steps = JobSteps(town, settings, None, job, assistant)  # type: ignore[arg-type]
    with pytest.raises(Cancelled):
        await steps._record({"funnel": [], "lineage": {}}, {}, "d", None)  # type: ignore[arg-type]
    assert await history(town, "harbour") == []


async def test_a_longer_export_does_not_bring_it_back(town: Database, settings: Settings, tmp_path: Path) -> None:
    said = [message(9000 + at, "Odo Brandt", f"{WORDS}, day {at}", START + 10**7 + 9000 * at) for at in range(30)]
    ines = [one | {"from": "Ines", "from_id": "user2"} if one["from"] == "Odo Brandt" else one for one in talk(60)]
    await import_file(town, written(tmp_path, chat([*ines, *said])), "harbour", "Runa", "Ada", silent)
    await forget(town, settings, ODO)
    later = [message(9500, "Odo Brandt", "I am back, by my own will", int(now().timestamp()) + 60)]
    longer = written(tmp_path, chat([*ines, *said, *talk(5, 9900, START + 2 * 10**7)[1::2], *later]))
    await import_file(town, longer, "harbour", "Runa", "Ada", silent)
    left = await everything(town)
    assert "petrel" not in left and "by my own will" in left


async def test_a_source_is_not_learnt_for_nor_called_after_somebody_forgotten(
    town: Database, settings: Settings, tmp_path: Path
) -> None:
    file = written(tmp_path, chat(talk(60), name="Odo Brandt"))
    await import_file(town, file, "harbour", "Runa", "Ada", silent)
    async with town.session() as session:
        named = {"speakers": [author_id("Odo Brandt")]}
        await session.execute(update(Source).where(Source.kind == "telegram").values(named))
    await forget(town, settings, ODO)
    async with town.session() as session:
        (source,) = await session.scalars(select(Source).where(Source.kind == "telegram"))
        assert source.speakers is None and "Odo" not in source.title


def test_every_column_that_may_hold_a_persons_words_or_name_is_known_to_forgetting() -> None:
    """Whoever adds one has to say here, and in tuning/forgetting.py, what becomes of it."""
    columns = {
        f"{table.name}.{column.name}"
        for table in Base.metadata.sorted_tables
        for column in table.columns
        if isinstance(column.type, SealedText | SealedJson)
    }
    assert columns == {
        "accounts.token", "admissions.title", "channels.title", "comparisons.first_answer", "comparisons.question",
        "comparisons.second_answer", "messages.author", "messages.text", "people.name", "people.username",
        "source_authors.name", "source_messages.text", "sources.title", "versions.report",
    }  # fmt: skip
