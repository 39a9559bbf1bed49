"""The database: migrations up on an empty and on a filled file, sealed text, whole transactions."""

import sqlite3
from pathlib import Path

import pytest
from alembic.autogenerate import compare_metadata
from alembic.config import Config
from alembic.migration import MigrationContext
from alembic.script import ScriptDirectory
from pydantic import SecretStr
from sqlalchemy import create_engine, select

from config.errors import BadInput
from config.settings import Settings
from store.assistants import add_assistant, find_assistant, next_number
from store.crypto import load_cipher
from store.database import MIGRATIONS, Database, migrate, open_database
from store.lineage import pack_ids, unpack_ids
from store.tables import Assistant, Base, Channel, Job, Message, Source


def _revisions() -> list[str]:
    config = Config()
    config.set_main_option("script_location", str(MIGRATIONS))
    return [script.revision for script in reversed(list(ScriptDirectory.from_config(config).walk_revisions()))]


def test_migrations_on_an_empty_file_give_the_tables_the_code_describes(tmp_path: Path) -> None:
    url = f"sqlite:///{tmp_path / 'empty.db'}"
    migrate(url)
    migrate(url)  # nothing left to do is fine
    engine = create_engine(url)
    with engine.connect() as connection:
        assert compare_metadata(MigrationContext.configure(connection), Base.metadata) == []
    engine.dispose()


def test_every_migration_keeps_the_rows_that_are_there(tmp_path: Path) -> None:
    file = tmp_path / "filled.db"
    url = f"sqlite:///{file}"
    first, *later = _revisions()
    migrate(url, first)
    with sqlite3.connect(file) as raw:
        raw.execute("PRAGMA foreign_keys=ON")
        made = "2026-11-22 10:00:00"
        raw.execute("INSERT INTO assistants VALUES (1, 'harbour', 'Be kind.', 'demo', 2, 0, ?)", (made,))
        raw.execute(
            "INSERT INTO sources (id, assistant_id, kind, external_id, title, permission, permission_by, permission_at)"
            " VALUES (1, 1, 'telegram', '42', x'01', 'said so', 'ada', ?)",
            (made,),
        )
        raw.execute(
            "INSERT INTO channels (id, key, account, memory_after, created_at) VALUES (1, 'web:a', 'web', 0, ?)",
            (made,),
        )
        raw.execute(
            "INSERT INTO messages (id, channel_id, role, state, author, text, created_at)"
            " VALUES (1, 1, 'user', 'said', x'01', x'0102', ?)",
            (made,),
        )
    raw.close()
    for revision in [*later, "head"]:
        migrate(url, revision)
    with sqlite3.connect(file) as raw:
        counts = [raw.execute(f"SELECT count(*) FROM {t}").fetchone()[0] for t in ("assistants", "sources", "messages")]
        assert counts == [1, 1, 1]
        assert raw.execute("SELECT text FROM messages").fetchone()[0] == b"\x01\x02"
        assert raw.execute("PRAGMA foreign_key_check").fetchall() == []
    raw.close()


async def test_text_is_not_in_the_files_but_comes_back(database: Database, settings: Settings) -> None:
    words = "the quick brown secret fox"
    async with database.session() as session:
        channel = Channel(key="web:x", account="web")
        session.add(channel)
        await session.flush()
        session.add(Message(channel_id=channel.id, role="user", author="Ada Lovelace", text=words))
    async with database.session() as session:
        message = await session.scalar(select(Message))
        assert message is not None
        assert (message.text, message.author) == (words, "Ada Lovelace")
    found = list(settings.home.glob("parlance.db*"))
    assert found
    for file in found:
        assert b"secret fox" not in file.read_bytes()
        assert b"Lovelace" not in file.read_bytes()


async def test_an_error_rolls_everything_back(database: Database) -> None:
    with pytest.raises(RuntimeError):
        async with database.session() as session:
            await add_assistant(session, "harbour", "Be kind.", "demo")
            raise RuntimeError
    async with database.session() as session:
        assert (await session.scalars(select(Assistant))).all() == []


async def test_another_key_is_refused_with_a_sentence(database: Database, settings: Settings) -> None:
    async with database.session() as session:
        assistant = await add_assistant(session, "harbour", "Be kind.", "demo")
        session.add(
            Source(
                assistant_id=assistant.id,
                kind="telegram",
                external_id="1",
                title="A chat",
                permission="x",
                permission_by="y",
            )
        )
    await database.close()
    settings.paths.key_file.unlink()
    reopened = await open_database(settings)
    with pytest.raises(BadInput, match="put the key file back"):
        async with reopened.session() as session:
            await session.scalars(select(Source))
    await reopened.close()


def test_the_key_file_is_made_once_for_its_owner_alone(tmp_path: Path) -> None:
    file = tmp_path / "key"
    sealed = load_cipher(file, None).seal(b"hello", b"here")
    assert file.stat().st_mode & 0o777 == 0o600
    again = load_cipher(file, None)
    assert again.open(sealed, b"here") == b"hello"
    with pytest.raises(BadInput):
        again.open(sealed, b"elsewhere")
    file.chmod(0o644)
    with pytest.raises(BadInput, match="chmod 600"):
        load_cipher(file, None)


@pytest.mark.parametrize("given", ["", "not base64!", "c2hvcnQ="])
def test_a_key_that_is_none_is_refused_without_showing_it(tmp_path: Path, given: str) -> None:
    with pytest.raises(BadInput) as met:
        load_cipher(tmp_path / "key", SecretStr(given))
    assert not given or given not in str(met.value)


async def test_version_numbers_are_never_used_twice(database: Database) -> None:
    async with database.session() as session:
        assistant = await add_assistant(session, "harbour", "Be kind.", "demo")
        assert await next_number(session, assistant) == 1
        session.add(Job(assistant_id=assistant.id, asked_by="ada", state="failed", version=4))
        await session.flush()
        assert await next_number(session, await find_assistant(session, "harbour")) == 5


def test_lineage_is_compact_and_comes_back() -> None:
    ids = [7, 3, 3, 1_000_000, 999_999, *range(10_000, 60_000)]
    packed = pack_ids(ids)
    assert unpack_ids(packed) == sorted(set(ids))
    assert len(packed) < 1_000
    assert unpack_ids(pack_ids([])) == []
