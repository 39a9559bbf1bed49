"""Sources looked after: a preview keeps nothing, a paused one is not learnt from, a removed one takes all with it."""

from __future__ import annotations

from datetime import timedelta
from pathlib import Path

import pytest
from chat_exports import add_assistant, author_id, chat, every_row, silent, talk, written
from sqlalchemy import select, text, update

from config.errors import BadInput, NotFound, Refused
from config.names import VersionName
from config.settings import Settings
from serving.router import set_route
from store.columns import now
from store.consents import decide
from store.database import Database
from store.lineage import pack_ids
from store.tables import (
    Assistant,
    Channel,
    Consent,
    Job,
    Lineage,
    Message,
    Source,
    SourceMessage,
    Version,
    Vote,
)
from tuning.curation import curate
from tuning.forgetting import forget
from tuning.importing import Imported, import_file
from tuning.shelf import look_into, pause, remove, shelf
from tuning.sources.channel_log import note_sources


async def imported(database: Database, folder: Path, number: int = 77, **options: bool) -> Imported:
    file = written(folder, chat(talk(60), name=f"Harbour {number}", number=number), name=f"{number}.json")
    return await import_file(database, file, "harbour", "Runa", "Ingrid", silent, **options)


async def test_a_preview_says_what_an_import_would_bring_and_keeps_nothing(database: Database, tmp_path: Path) -> None:
    await add_assistant(database)
    before = await every_row(database)
    previewed = await imported(database, tmp_path, preview=True)
    assert await every_row(database) == before
    kept = await imported(database, tmp_path)
    assert (previewed.new, previewed.changed, previewed.examples, previewed.funnel, previewed.speaker) == (
        kept.new, kept.changed, kept.examples, kept.funnel, kept.speaker,
    )  # fmt: skip
    assert previewed.new == 120
    assert (await imported(database, tmp_path, preview=True)).new == 0


async def test_sources_are_listed_and_looked_into(database: Database, tmp_path: Path) -> None:
    await add_assistant(database)
    assert await shelf(database, "harbour") == []
    made = await imported(database, tmp_path)
    [view] = await shelf(database, "harbour")
    assert (view.id, view.kind, view.title, view.speaker, view.messages, view.paused) == (
        made.source_id, "Telegram", "Harbour 77", "Runa Vik", 120, False,
    )  # fmt: skip
    lines = await look_into(database, "harbour", view.id, 2)
    assert [line.author for line in lines] == ["Odo Brandt", "Runa Vik"]
    with pytest.raises(NotFound, match="has no source 99"):
        await look_into(database, "harbour", 99, 2)


async def test_a_paused_source_is_not_learnt_from_and_stays_paused_when_imported_again(
    database: Database, tmp_path: Path
) -> None:
    owner = await add_assistant(database)
    made = await imported(database, tmp_path)
    assert (await pause(database, "harbour", made.source_id, paused=True)).paused
    with pytest.raises(BadInput, match="only 0 examples"):
        await curate(database, owner, tmp_path / "job", silent)
    await imported(database, tmp_path)
    assert (await shelf(database, "harbour"))[0].paused
    await pause(database, "harbour", made.source_id, paused=False)
    assert (await curate(database, owner, tmp_path / "job", silent)).examples > 40


async def learnt(database: Database, number: int, source: int | None, *samples: str) -> None:
    """A version that learnt from all of a source, with sample answers to these questions in its report."""
    async with database.session() as session:
        version = Version(
            assistant_id=1, number=number, state="passed", digest="0", system_prompt="", base_model="demo",
            report={"sentence": "It got better.", "reasons": [], "samples": [{"question": one} for one in samples]},
        )  # fmt: skip
        session.add(version)
        await session.flush()
        if source is not None:
            rows = await session.scalars(select(SourceMessage.id).where(SourceMessage.source_id == source))
            session.add(Lineage(version_id=version.id, source_id=source, message_ids=pack_ids(rows)))


async def set_up(database: Database, policy: str, in_service: int | None) -> None:
    async with database.session() as session:
        await session.execute(update(Assistant).values(on_forget=policy, in_service=in_service))


async def serving(database: Database) -> int | None:
    async with database.session() as session:
        return await session.scalar(select(Assistant.in_service))


async def blobs(database: Database, source: int) -> list[bytes]:
    """The sealed bytes of its messages, as they lie in the file."""
    async with database.engine.connect() as connection:
        rows = await connection.execute(text(f"SELECT text FROM source_messages WHERE source_id = {source}"))
        return [bytes(row[0]) for row in rows]


async def test_a_removed_source_takes_all_it_brought_and_marks_what_learnt_from_it(
    database: Database, settings: Settings, tmp_path: Path
) -> None:
    await add_assistant(database)
    gone, stays = await imported(database, tmp_path), await imported(database, tmp_path, 78)
    quoted = (await look_into(database, "harbour", gone.source_id, 2))[0].text
    await learnt(database, 1, gone.source_id, f"Odo: {quoted}", "Shall we have tea?")
    await learnt(database, 2, stays.source_id)
    theirs = await blobs(database, gone.source_id)
    removed = await remove(database, settings, "harbour", gone.source_id)
    assert (removed.title, removed.messages, removed.samples) == ("Harbour 77", 120, 1)
    assert (removed.versions, removed.journal, removed.stopping) == ((VersionName("harbour", 1),), True, False)
    assert removed.sentences() == (
        "Removed “Harbour 77” with 120 messages and 1 sample answer in reports.",
        "Marked, because they had learnt from it: harbour@v1.",
    )
    async with database.session() as session:
        assert list(await session.scalars(select(Source.id))) == [stays.source_id]
        assert set(await session.scalars(select(SourceMessage.source_id))) == {stays.source_id}
        versions = {version.number: version for version in await session.scalars(select(Version))}
    assert versions[1].forgotten_at is not None and versions[2].forgotten_at is None
    assert versions[1].report["samples"] == [{"question": "Shall we have tea?"}]
    files = [path for path in settings.home.rglob("*") if path.is_file()]
    assert len(theirs) == 120 and not any(blob in path.read_bytes() for path in files for blob in theirs)


async def test_what_learnt_from_a_removed_source_leaves_service_by_policy_as_after_a_forgetting(
    database: Database, settings: Settings, tmp_path: Path
) -> None:
    await add_assistant(database)
    gone = await imported(database, tmp_path)
    await learnt(database, 1, None)
    await learnt(database, 2, gone.source_id)
    await set_up(database, "withdraw", 2)
    removed = await remove(database, settings, "harbour", gone.source_id)
    assert (await serving(database), removed.withdrawn[0].after) == (1, VersionName("harbour", 1))
    assert "harbour@v2 was withdrawn; harbour@v1 answers now." in removed.sentences()


async def test_who_wrote_in_a_removed_source_is_still_found_in_what_learnt_from_it(
    database: Database, settings: Settings, tmp_path: Path
) -> None:
    await add_assistant(database)
    gone = await imported(database, tmp_path)
    await learnt(database, 1, gone.source_id)
    await set_up(database, "mark", 1)
    await remove(database, settings, "harbour", gone.source_id)
    assert await serving(database) == 1
    await set_up(database, "withdraw", 1)  # its operator thinks otherwise by now
    odo, stranger = (f"telegram:{author_id(who).removeprefix('user')}" for who in ("Odo Brandt", "Ines"))
    assert (await forget(database, settings, stranger)).versions == ()
    assert await serving(database) == 1
    done = await forget(database, settings, odo)
    assert (done.versions, await serving(database)) == ((VersionName("harbour", 1),), None)
    assert (await forget(database, settings, odo)).versions == (), "nothing is known of them any more"


@pytest.mark.parametrize("state", ["running", "queued"])
async def test_a_job_that_has_read_a_removed_source_begins_anew_in_its_own_method(
    database: Database, settings: Settings, tmp_path: Path, state: str
) -> None:
    """A job is queued and has begun where the platform was killed: its folder has the text."""
    owner = await add_assistant(database)
    gone = await imported(database, tmp_path)
    settings.paths.job(1).mkdir(parents=True)
    (settings.paths.job(1) / "train.jsonl").write_text("Low water is at six")
    async with database.session() as session:
        session.add(Job(assistant_id=owner, asked_by="Ada", state=state, started_at=now(), settings={"method": "full"}))
    removed = await remove(database, settings, "harbour", gone.source_id)
    assert (removed.retraining, removed.stopping) == (("harbour",), False)
    assert not settings.paths.job(1).exists()
    async with database.session() as session:
        first, second = await session.scalars(select(Job).order_by(Job.id))
    assert first.cancel and (second.state, second.asked_by, second.settings) == ("queued", "Ada", {"method": "full"})


@pytest.fixture
async def quay(database: Database) -> Database:
    """A group in which Odo agrees, with an answer that was voted good, and Ines does not."""
    owner = await add_assistant(database)
    async with database.session() as session:
        await set_route(session, "default", "", "harbour")
        channel = Channel(key="web:1", account="web", private=False, title="Quay")
        session.add(channel)
        await session.flush()
        await decide(session, "telegram:1", "web:1", "in", "May I?")
        await session.execute(update(Consent).values(decided_at=now() - timedelta(hours=1)))
        for person, words in (("telegram:1", "Is it open?"), ("telegram:2", "I tell nobody"), ("telegram:1", "Thanks")):
            said = Message(channel_id=channel.id, role="user", author_key=person, author=person, text=words)
            session.add(said)
            await session.flush()
            if words == "Is it open?":
                answer = Message(channel_id=channel.id, role="assistant", author="", text="It is.", answers=said.id)
                session.add(answer)
                await session.flush()
                session.add(Vote(message_id=answer.id, voter="telegram:1", value=1))
    await note_sources(database, owner)
    return database


async def test_a_channels_own_log_shows_what_may_be_learnt_of_it(quay: Database) -> None:
    [view] = await shelf(quay, "harbour")
    assert (view.title, view.messages, view.log) == ("Quay", 3, True)
    lines = await look_into(quay, "harbour", view.id, 20)
    assert [(line.author, line.text) for line in lines] == [
        ("telegram:1", "Is it open?"), ("harbour", "It is."), ("telegram:1", "Thanks"),
    ]  # fmt: skip
    assert [line.text for line in await look_into(quay, "harbour", view.id, 1)] == ["Thanks"]
    await pause(quay, "harbour", view.id, paused=True)
    assert len(await look_into(quay, "harbour", view.id, 20)) == 3, "what would be learnt if it were resumed"
    async with quay.session() as session:
        await session.execute(update(Channel).values(learning=False))
    assert await look_into(quay, "harbour", view.id, 20) == []
    assert (await shelf(quay, "harbour"))[0].messages == 0


async def test_a_channels_own_log_is_not_removed_and_the_sentence_says_what_to_do(
    quay: Database, settings: Settings
) -> None:
    [view] = await shelf(quay, "harbour")
    with pytest.raises(Refused, match=f"parlance sources harbour --pause {view.id}"):
        await remove(quay, settings, "harbour", view.id)
    assert [one.id for one in await shelf(quay, "harbour")] == [view.id]
