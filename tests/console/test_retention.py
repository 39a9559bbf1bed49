"""Retention: what was kept long enough goes, by policy and not else, and never what an engine may still know."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Sequence
from datetime import timedelta

import pytest
from adapter_files import small_adapter
from sqlalchemy import select, text
from sqlalchemy.exc import OperationalError
from structlog.testing import capture_logs
from typer.testing import CliRunner

from config.errors import BadInput, EngineUnavailable, Refused
from config.names import VersionName
from config.settings import Settings
from console.cli import app
from serving.adapters import publish
from serving.ownership import Ownership
from serving.router import set_route
from serving.supervisor import EngineSupervisor
from store.assistants import add_assistant
from store.columns import now
from store.database import Database
from store.lineage import pack_ids
from store.retention import Policy
from store.tables import Assistant, Channel, Delivery, Job, Lineage, Message, Promotion, Source, Version, Vote
from tuning.forgetting import forget
from tuning.retention import Keeper, keep
from tuning.versions import history, previous, promotable


async def assistant(
    database: Database, settings: Settings, name: str = "harbour", versions: int = 0, serving: Sequence[int] = ()
) -> None:
    """With so many versions that passed, of which `serving` were promoted one after another."""
    async with database.session() as session:
        row = await add_assistant(session, name, "Be kind.", "demo")
        for number in range(1, versions + 1):
            staged = small_adapter(settings.paths.jobs / f"{name}{number}", number)
            folder = settings.paths.adapter(VersionName(name, number))
            session.add(
                Version(
                    assistant_id=row.id, number=number, state="passed", system_prompt="Be kind.", base_model="demo",
                    digest=publish(staged, folder, {"base_model": "demo"}),
                    report={"sentence": "It got better.", "reasons": []},
                )
            )  # fmt: skip
        for before, after in zip((None, *serving), serving, strict=False):
            session.add(
                Promotion(assistant_id=row.id, action="promote", before=before, after=after, asked_by="ada")
            )  # fmt: skip
            row.in_service = after


async def states(database: Database, name: str = "harbour") -> dict[int, str]:
    return {view.name.number: view.state for view in await history(database, name)}


def folders(settings: Settings, name: str = "harbour") -> list[str]:
    return sorted(entry.name for entry in (settings.paths.adapters / name).iterdir())


async def channel(database: Database, key: str, *said: tuple[str, int], author: str = "telegram:7") -> list[int]:
    """Messages and how many days ago they were written, each with an answer; the rows of the messages."""
    rows = []
    async with database.session() as session:
        place = Channel(key=key, account="web")
        session.add(place)
        await session.flush()
        for text, days in said:
            at = now() - timedelta(days=days)
            asked = Message(
                channel_id=place.id, role="user", author="Ada", author_key=author, text=text, created_at=at
            )  # fmt: skip
            session.add(asked)
            await session.flush()
            answer = Message(
                channel_id=place.id, role="assistant", author="", text=f"So {text}", answers=asked.id, created_at=at
            )  # fmt: skip
            session.add(answer)
            await session.flush()
            session.add(Vote(message_id=answer.id, voter=author, value=1))
            session.add(
                Delivery(
                    channel_id=place.id, key=f"answer:{answer.id}:0", external_id="1", answer_id=answer.id,
                    created_at=at,
                )
            )  # fmt: skip
            rows.append(asked.id)
    return rows


async def texts(database: Database) -> list[str]:
    async with database.session() as session:
        query = select(Message.text).where(Message.role == "user").order_by(Message.id)
        return list(await session.scalars(query))


async def test_nothing_goes_where_no_policy_is_set(settings: Settings, database: Database) -> None:
    await assistant(database, settings, versions=3, serving=[1])
    await channel(database, "web:1", ("Long ago.", 4_000))
    swept = await Keeper(database, settings).sweep()
    assert (swept.versions, swept.folders, swept.messages) == ((), 0, 0)
    assert folders(settings) == ["v1", "v2", "v3"]
    assert await texts(database) == ["Long ago."]


async def test_the_version_in_service_the_one_to_roll_back_to_and_the_newest_others_stay(
    settings: Settings, database: Database
) -> None:
    await assistant(database, settings, versions=8, serving=[1, 2, 4])
    await keep(database, None, Policy(versions=2), "ada")
    swept = await Keeper(database, settings).sweep()
    assert [str(name) for name in swept.versions] == [f"harbour@v{number}" for number in (6, 5, 3, 1)]
    assert folders(settings) == ["v2", "v4", "v7", "v8"]
    assert await states(database) == {
        8: "passed", 7: "passed", 6: "removed", 5: "removed", 4: "passed", 3: "removed", 2: "passed", 1: "removed",
    }  # fmt: skip
    assert await previous(database, "harbour") == VersionName("harbour", 2)
    again = await Keeper(database, settings).sweep()
    assert (again.versions, again.folders) == ((), 0)


async def test_a_removed_version_keeps_its_report_and_is_put_into_service_by_nobody(
    settings: Settings, database: Database
) -> None:
    await assistant(database, settings, versions=3, serving=[1, 2, 3])
    await keep(database, "harbour", Policy(versions=0), "ada")
    await Keeper(database, settings).sweep()
    with pytest.raises(Refused, match=r"harbour@v1 was removed"):
        await promotable(database, "harbour", 1)
    removed = [view for view in await history(database, "harbour") if view.state == "removed"]
    assert [view.report["sentence"] for view in removed] == ["It got better."]
    async with database.session() as session:  # back on v2, where v1 is what a rollback would have brought
        row = (await session.scalars(select(Assistant))).one()
        session.add(Promotion(assistant_id=row.id, action="rollback", before=3, after=2, asked_by="ada"))
        row.in_service = 2
    assert await previous(database, "harbour") is None


async def test_a_folder_is_deleted_only_while_no_engine_lives(settings: Settings, database: Database) -> None:
    await assistant(database, settings, versions=3, serving=[3])
    await keep(database, None, Policy(versions=0), "ada")
    living = Ownership(settings.paths)  # as the platform, or a command with an engine of its own, holds it
    assert living.acquire()
    swept = await Keeper(database, settings).sweep()
    assert (len(swept.versions), swept.folders, swept.waiting) == (2, 0, 2)
    assert folders(settings) == ["v1", "v2", "v3"]
    living.release()
    assert await Keeper(database, settings).drop_folders() == 2
    assert folders(settings) == ["v3"]
    assert list(settings.paths.jobs.iterdir()) == []


async def test_what_a_stopped_job_had_made_goes_alike_and_what_a_job_is_making_stays(
    settings: Settings, database: Database
) -> None:
    await assistant(database, settings, versions=1, serving=[1])
    for number in (2, 3):
        staged = small_adapter(settings.paths.jobs / f"job{number}", number)
        publish(staged, settings.paths.adapter(VersionName("harbour", number)), {"base_model": "demo"})
    async with database.session() as session:
        row = (await session.scalars(select(Assistant))).one()
        for number, state in ((1, "done"), (2, "cancelled"), (3, "running")):
            session.add(Job(assistant_id=row.id, asked_by="ada", state=state, version=number))
    assert await Keeper(database, settings).drop_folders() == 1
    assert folders(settings) == ["v1", "v3"]


async def test_folders_go_before_each_start_of_an_engine(
    settings: Settings, database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    """With what launches an engine replaced: it notes what is there when it is called."""
    await assistant(database, settings, versions=3, serving=[3])
    await keep(database, None, Policy(versions=0), "ada")
    living = Ownership(settings.paths)
    living.acquire()
    await Keeper(database, settings).sweep()
    living.release()
    assert folders(settings) == ["v1", "v2", "v3"]
    there: list[list[str]] = []

    async def launch(*given: object) -> None:
        there.append(folders(settings))
        raise BadInput("That is all.")

    async def nothing(self: EngineSupervisor) -> None: ...

    monkeypatch.setattr("serving.supervisor.launch", launch)
    monkeypatch.setattr(EngineSupervisor, "_make_untuned", nothing)
    engine = EngineSupervisor(settings, database.cipher)
    engine.between_engines = Keeper(database, settings).between_engines
    engine.start()
    with pytest.raises(EngineUnavailable, match="That is all"):
        await engine.wait_ready(timeout=30)
    await engine.stop()
    assert there == [["v3"]]


async def test_an_engine_starts_whatever_becomes_of_the_folders(
    settings: Settings, database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def locked(self: Keeper) -> list[VersionName]:
        raise OperationalError("SELECT", {}, Exception("database is locked"))

    monkeypatch.setattr(Keeper, "_folders_left", locked)
    with capture_logs() as logs:
        await Keeper(database, settings).between_engines()
    assert any("could not be deleted" in line["event"] for line in logs)


async def test_messages_go_when_their_days_are_over_with_all_that_hangs_on_them(
    settings: Settings, database: Database
) -> None:
    await channel(database, "web:1", ("Old.", 31), ("Young.", 29))
    await keep(database, None, Policy(days=30), "ada")
    swept = await Keeper(database, settings).sweep()
    assert (swept.messages, swept.journal) == (2, True)
    assert await texts(database) == ["Young."]
    async with database.session() as session:
        assert len((await session.scalars(select(Vote))).all()) == 1
        assert len((await session.scalars(select(Delivery))).all()) == 1
    journal = settings.paths.database.with_name("parlance.db-wal")
    assert not journal.exists() or journal.stat().st_size == 0


async def test_an_assistants_own_policy_stands_in_the_place_of_the_installations(
    settings: Settings, database: Database
) -> None:
    for name in ("harbour", "garden"):
        await assistant(database, settings, name)
        await channel(database, f"web:{name}", (f"Old in {name}.", 40))
        async with database.session() as session:
            await set_route(session, "channel", f"web:{name}", name)
    await keep(database, None, Policy(days=30), "ada")
    await keep(database, "garden", Policy(), "ada")
    await Keeper(database, settings).sweep()
    assert await texts(database) == ["Old in garden."]
    await keep(database, "garden", None, "ada")  # as the installation has it
    await Keeper(database, settings).sweep()
    assert await texts(database) == []


async def test_of_what_a_version_learnt_from_a_row_without_words_stays_so_that_forgetting_finds_the_version(
    settings: Settings, database: Database
) -> None:
    await assistant(database, settings, versions=2, serving=[2])
    learnt, _ = await channel(database, "web:1", ("Learnt.", 40), ("Not learnt.", 40))
    async with database.session() as session:
        version = (await session.scalars(select(Version).where(Version.number == 2))).one()
        place = (await session.scalars(select(Channel))).one()
        log = Source(
            assistant_id=version.assistant_id, kind="channel", external_id=str(place.id), title="web",
            permission="consent", permission_by="the people in it",
        )  # fmt: skip
        session.add(log)
        await session.flush()
        session.add(Lineage(version_id=version.id, source_id=log.id, message_ids=pack_ids([learnt])))
        version.created_at = now() + timedelta(seconds=5)
    await keep(database, None, Policy(days=30), "ada")
    assert (await Keeper(database, settings).sweep()).messages == 4
    assert await texts(database) == [""]
    assert (await Keeper(database, settings).sweep()).messages == 0
    forgotten = await forget(database, settings, "telegram:7")
    assert forgotten.versions == (VersionName("harbour", 2),)


async def test_messages_wait_while_a_job_may_be_learning_from_them(settings: Settings, database: Database) -> None:
    await assistant(database, settings)
    await channel(database, "web:1", ("Old.", 40))
    await keep(database, None, Policy(days=30), "ada")
    async with database.session() as session:
        row = (await session.scalars(select(Assistant))).one()
        session.add(Job(assistant_id=row.id, state="running", asked_by="ada", started_at=now()))
    assert (await Keeper(database, settings).sweep()).postponed
    assert await texts(database) == ["Old."]
    async with database.session() as session:
        (await session.scalars(select(Job))).one().state = "done"
    assert not (await Keeper(database, settings).sweep()).postponed
    assert await texts(database) == []


async def test_what_a_reader_kept_in_the_journal_leaves_it_once_nobody_reads(
    settings: Settings, database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Somebody is forgotten while a curation of another assistant reads in one long transaction."""
    monkeypatch.setattr("store.journal.JOURNAL_TRIES", 3)
    monkeypatch.setattr("tuning.retention.JOURNAL_AGAIN", 0.05)
    journal = settings.paths.database.with_name("parlance.db-wal")
    await channel(database, "web:1", ("The petrel nests.", 1))
    async with database.engine.connect() as reader:
        await reader.exec_driver_sql("BEGIN")
        words = bytes((await reader.execute(text("SELECT text FROM messages WHERE role = 'user'"))).scalar_one())
        assert not (await forget(database, settings, "telegram:7")).journal
        assert words in journal.read_bytes()
        keeping = asyncio.create_task(Keeper(database, settings).run_forever())
        await asyncio.sleep(1)
        assert words in journal.read_bytes(), "it is being read"
    async with asyncio.timeout(30):
        while words in journal.read_bytes():  # noqa: ASYNC110 - a file tells nobody
            await asyncio.sleep(0.05)
    keeping.cancel()
    assert words not in settings.paths.database.read_bytes()


@pytest.mark.parametrize("policy", [Policy(days=1), Policy(days=0), Policy(versions=-1)])
async def test_what_cannot_be_meant_is_refused(database: Database, policy: Policy) -> None:
    with pytest.raises(BadInput, match="can be kept"):
        await keep(database, None, policy, "ada")


async def test_the_commands_set_it_carry_it_out_and_show_what_takes_room(
    settings: Settings, database: Database
) -> None:
    async def parlance(*words: str) -> str:
        with capture_logs():
            done = await asyncio.to_thread(CliRunner().invoke, app, words, env={"COLUMNS": "200"})
        assert done.exit_code == 0, done.output
        return " ".join(done.stdout.split())

    await assistant(database, settings, versions=2, serving=[2])
    assert "Everything is kept" in await parlance("retention")
    assert "for 30 days" in await parlance("retention", "--days", "30", "--versions", "0")
    assert json.loads(await parlance("retention", "harbour", "--json")) == {
        "assistant": "harbour", "own": False, "versions": 0, "days": 30,
    }  # fmt: skip
    used = {one["what"]: one for one in json.loads(await parlance("disk", "--json"))["used"]}
    assert used["database"]["bytes"] > 0
    assert used["adapters of harbour"]["detail"] == "2 versions"
    assert {"logs", "run folders of jobs", "backups", "database's journal"} <= set(used)
    living = Ownership(settings.paths)
    living.acquire()
    assert "starts the next time" in await parlance("retention", "--now")
    assert "1 of them removed" in await parlance("disk")
    living.release()
    assert json.loads(await parlance("retention", "--now", "--json"))["swept"]["folders"] == 1
    assert "Everything is kept" in await parlance("retention", "--off")
