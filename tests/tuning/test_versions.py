"""Promotion and rollback move one pointer, in one transaction, or not at all."""

import pytest

from config.errors import EngineUnavailable, NotFound, Refused
from config.names import VersionName
from store.assistants import add_assistant, find_assistant
from store.database import Database
from store.tables import Version
from tuning.versions import history, promote, rollback


class WarmOnly:
    """An engine's client as promotion uses it: loads a version, or says that it cannot."""

    def __init__(self) -> None:
        self.warmed: list[str] = []
        self.broken = False

    async def warm(self, version: VersionName) -> None:
        if self.broken:
            raise EngineUnavailable("The engine is restarting; ask again in a minute.")
        self.warmed.append(str(version))


@pytest.fixture
async def harbour(database: Database) -> Database:
    async with database.session() as session:
        assistant = await add_assistant(session, "harbour", "Be kind.", "demo")
        for number, state in ((1, "passed"), (2, "passed"), (3, "failed")):
            report = {"sentence": f"v{number}", "reasons": ["It forgot."] if state == "failed" else []}
            session.add(
                Version(
                    assistant_id=assistant.id, number=number, state=state, digest="d", system_prompt="Be kind.",
                    base_model="demo", report=report,
                )
            )  # fmt: skip
    return database


async def _serving(database: Database) -> int | None:
    async with database.session() as session:
        return (await find_assistant(session, "harbour")).in_service


async def test_promotion_warms_first_and_rollback_walks_back_to_the_untuned_model(harbour: Database) -> None:
    client = WarmOnly()
    await promote(harbour, client, "harbour", 1, "ada")  # type: ignore[arg-type]
    move = await promote(harbour, client, "harbour", None, "ada")  # type: ignore[arg-type]
    assert (str(move.before), str(move.after)) == ("harbour@v1", "harbour@v2")
    assert client.warmed == ["harbour@v1", "harbour@v2"]
    back = await rollback(harbour, client, "harbour", "ada")  # type: ignore[arg-type]
    assert str(back.after) == "harbour@v1"
    assert await _serving(harbour) == 1
    last = await rollback(harbour, client, "harbour", "ada")  # type: ignore[arg-type]
    assert last.after is None
    assert await _serving(harbour) is None
    with pytest.raises(Refused, match="nothing to go back to"):
        await rollback(harbour, client, "harbour", "ada")  # type: ignore[arg-type]


async def test_a_promotion_after_a_rollback_stands_on_what_served_then(harbour: Database) -> None:
    client = WarmOnly()
    for number in (1, 2):
        await promote(harbour, client, "harbour", number, "ada")  # type: ignore[arg-type]
    await rollback(harbour, client, "harbour", "ada")  # type: ignore[arg-type]
    await promote(harbour, client, "harbour", 2, "ada")  # type: ignore[arg-type]
    await rollback(harbour, client, "harbour", "ada")  # type: ignore[arg-type]
    assert await _serving(harbour) == 1


async def test_a_version_the_engine_cannot_load_changes_nothing(harbour: Database) -> None:
    client = WarmOnly()
    await promote(harbour, client, "harbour", 1, "ada")  # type: ignore[arg-type]
    client.broken = True
    with pytest.raises(EngineUnavailable):
        await promote(harbour, client, "harbour", 2, "ada")  # type: ignore[arg-type]
    assert await _serving(harbour) == 1


async def test_a_bad_version_can_be_taken_back_while_there_is_no_engine(harbour: Database) -> None:
    client = WarmOnly()
    for number in (1, 2):
        await promote(harbour, client, "harbour", number, "ada")  # type: ignore[arg-type]
    client.broken = True
    move = await rollback(harbour, client, "harbour", "ada")  # type: ignore[arg-type]
    assert str(move.after) == "harbour@v1"
    assert await _serving(harbour) == 1


async def test_what_may_not_serve_is_refused_with_the_reason(harbour: Database) -> None:
    client = WarmOnly()
    with pytest.raises(Refused, match=r"did not pass its gate.*It forgot\."):
        await promote(harbour, client, "harbour", 3, "ada")  # type: ignore[arg-type]
    with pytest.raises(NotFound, match=r"there are: harbour@v1, harbour@v2, harbour@v3"):
        await promote(harbour, client, "harbour", 9, "ada")  # type: ignore[arg-type]
    await promote(harbour, client, "harbour", 1, "ada")  # type: ignore[arg-type]
    with pytest.raises(Refused, match="already in service"):
        await promote(harbour, client, "harbour", 1, "ada")  # type: ignore[arg-type]
    assert client.warmed == ["harbour@v1"]


async def test_history_is_newest_first_and_says_which_serves(harbour: Database) -> None:
    await promote(harbour, WarmOnly(), "harbour", 2, "ada")  # type: ignore[arg-type]
    views = await history(harbour, "harbour")
    assert [(view.name.number, view.state, view.in_service) for view in views] == [
        (3, "failed", False), (2, "passed", True), (1, "passed", False),
    ]  # fmt: skip
