"""Sources looked after: a preview keeps nothing, a paused one is not learnt from, a removed one takes all with it."""

from __future__ import annotations

from pathlib import Path

import pytest
from chat_exports import add_assistant, chat, every_row, silent, talk, written
from sqlalchemy import select, update

from config.errors import BadInput, NotFound, Refused
from config.names import VersionName
from store.database import Database
from store.lineage import pack_ids
from store.tables import Job, Lineage, Source, SourceMessage, Version
from tuning.curation import curate
from tuning.importing import Imported, import_file
from tuning.shelf import look_into, pause, remove, shelf


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


async def test_a_removed_source_takes_all_it_brought_and_marks_what_learnt_from_it(
    database: Database, tmp_path: Path
) -> None:
    owner = await add_assistant(database)
    gone, stays = await imported(database, tmp_path), await imported(database, tmp_path, 78)
    async with database.session() as session:
        for number, source in ((1, gone), (2, stays)):
            version = Version(
                assistant_id=owner, number=number, state="passed", digest="0", system_prompt="", base_model="demo",
                report={},
            )  # fmt: skip
            session.add(version)
            await session.flush()
            session.add(Lineage(version_id=version.id, source_id=source.source_id, message_ids=pack_ids([1, 2])))
        session.add(Job(assistant_id=owner, asked_by="Ingrid", state="running"))
    with pytest.raises(Refused, match="is learning"):
        await remove(database, "harbour", gone.source_id)
    async with database.session() as session:
        await session.execute(update(Job).values(state="done"))
    removed = await remove(database, "harbour", gone.source_id)
    assert (removed.title, removed.messages, removed.marked) == ("Harbour 77", 120, (VersionName("harbour", 1),))
    async with database.session() as session:
        assert list(await session.scalars(select(Source.id))) == [stays.source_id]
        assert set(await session.scalars(select(SourceMessage.source_id))) == {stays.source_id}
        forgotten = dict((await session.execute(select(Version.number, Version.forgotten_at))).tuples().all())
    assert forgotten[1] is not None and forgotten[2] is None
