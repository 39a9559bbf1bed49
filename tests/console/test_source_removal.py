"""`parlance sources` as a person and as a script meet it: what removing one does is said before and after."""

from __future__ import annotations

import asyncio
import json

import pytest
from typer.testing import CliRunner, Result

from config.errors import Refused
from config.settings import Settings, load_settings
from console.cli import app
from store.assistants import add_assistant
from store.database import open_database
from store.lineage import pack_ids
from store.tables import Channel, Import, Lineage, Source, SourceAuthor, SourceMessage, Version


def parlance(*words: str, answer: str = "") -> Result:
    return CliRunner().invoke(app, list(words), input=answer)


@pytest.fixture
def quay(settings: Settings) -> None:
    """An assistant whose version in service learnt from source 1, and with a channel's own log, source 2."""

    async def fill() -> None:
        database = await open_database(load_settings())
        async with database.session() as session:
            assistant = await add_assistant(session, "harbour", "", "demo")
            assistant.on_forget, assistant.in_service = "withdraw", 1
            words = {"assistant_id": 1, "permission": "", "permission_by": ""}
            session.add(Source(kind="telegram", external_id="7", title="Old quay", **words))
            session.add(Channel(key="web:1", account="web", title="Slipway"))
            await session.flush()
            session.add(Source(kind="channel", external_id="1", title="Slipway", **words))
            session.add(Import(source_id=1, file_digest=""))
            session.add(SourceAuthor(source_id=1, external_id="user1", name="Odo"))
            version = Version(
                assistant_id=1, number=1, state="passed", digest="", system_prompt="", base_model="demo", report={}
            )
            session.add(version)
            await session.flush()
            row = {"source_id": 1, "import_id": 1, "external_id": "1", "author_id": 1, "sent_at": 1, "digest": b""}
            session.add(SourceMessage(text="The petrel nests", **row))
            session.add(Lineage(version_id=version.id, source_id=1, message_ids=pack_ids([1])))
        await database.close()

    asyncio.run(fill())


def listed() -> list[str]:
    return [one["title"] for one in json.loads(parlance("sources", "harbour", "--json").stdout)]


def test_removing_says_what_it_will_do_and_does_nothing_without_a_yes(quay: None) -> None:
    asked = parlance("sources", "harbour", "--remove", "1", answer="n\n")
    assert (
        "Delete “Old quay” with 1 messages for good? Versions that learnt from it are marked and taken" in asked.output
    )
    assert asked.exit_code == 1 and listed() == ["Old quay", "Slipway"]
    done = parlance("sources", "harbour", "--remove", "1", answer="y\n")
    assert "harbour@v1 was withdrawn; the untuned model answers now." in done.output
    assert listed() == ["Slipway"]


def test_removing_for_scripts_tells_what_followed(quay: None) -> None:
    last = parlance("sources", "harbour", "--remove", "1", "--json").stdout.splitlines()[-1]  # after the log
    assert json.loads(last) == {
        "title": "Old quay", "messages": 1, "samples": 0, "versions": ["harbour@v1"], "withdrawn": ["harbour@v1"],
        "retraining": [], "complete": True,
    }  # fmt: skip


def test_a_channels_own_log_is_refused_without_a_question(quay: None) -> None:
    refused = parlance("sources", "harbour", "--remove", "2")
    assert isinstance(refused.exception, Refused) and "--pause 2" in str(refused.exception)
    assert "for good?" not in refused.output and listed() == ["Old quay", "Slipway"]
