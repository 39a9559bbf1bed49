"""Promotion and rollback move one pointer, in one transaction, or not at all."""

import asyncio
from collections.abc import Awaitable, Callable

import pytest

from config.errors import EngineUnavailable, NotFound, ParlanceError, Refused
from config.names import VersionName
from config.settings import Settings
from serving.fallback import fall_back
from store.assistants import add_assistant, find_assistant, find_version
from store.columns import now
from store.database import Database
from store.promotions import served
from store.retention import Policy
from store.tables import Promotion, Version
from tuning.retention import Keeper, keep
from tuning.versions import history, previous, promote, reject, rollback, withdraw


class WarmOnly:
    """An engine's client as promotion uses it: loads a version, or says that it cannot. `meanwhile` happens while it
    loads one."""

    def __init__(self, meanwhile: Callable[[], Awaitable[object]] | None = None) -> None:
        self.warmed: list[str] = []
        self.broken = False
        self.bad: dict[int, ParlanceError] = {}
        self._meanwhile = meanwhile

    async def warm(self, version: VersionName) -> None:
        if self.broken:
            raise EngineUnavailable("The engine is restarting; ask again in a minute.")
        if version.number in self.bad:
            raise self.bad[version.number]
        self.warmed.append(str(version))
        if self._meanwhile is not None:
            await self._meanwhile()


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


GONE = NotFound("There is no version here whose files are as they were made.")
UNFIT = Refused("This engine cannot load it.")


@pytest.fixture
async def three(harbour: Database) -> Database:
    """Three that passed, each of which served; the last one serves."""
    async with harbour.session() as session:
        (await find_version(session, await find_assistant(session, "harbour"), 3)).state = "passed"
    for number in (1, 2, 3):
        await promote(harbour, WarmOnly(), "harbour", number, "ada")  # type: ignore[arg-type]
    return harbour


async def _stack(database: Database) -> list[int]:
    async with database.session() as session:
        return await served(session, await find_assistant(session, "harbour"))


async def _change(database: Database, number: int, **values: object) -> None:
    async with database.session() as session:
        version = await find_version(session, await find_assistant(session, "harbour"), number)
        for name, value in values.items():
            setattr(version, name, value)


async def _together(one: Awaitable[object], other: Awaitable[object]) -> list[object]:
    """What came of both; errors are results as well."""
    return await asyncio.gather(one, other, return_exceptions=True)


def _both_warm_first() -> WarmOnly:
    """Loads for two at once: both have planned their move before either is made."""
    both = asyncio.Barrier(2)
    return WarmOnly(both.wait)


async def test_of_two_rollbacks_at_once_one_is_made_and_the_other_told(three: Database) -> None:
    client = _both_warm_first()
    done = await _together(
        rollback(three, client, "harbour", "ada"),  # type: ignore[arg-type]
        rollback(three, client, "harbour", "ben"),  # type: ignore[arg-type]
    )
    assert sorted(type(one).__name__ for one in done) == ["Move", "Refused"]
    assert any("Somebody else changed" in str(one) for one in done)
    assert (await _serving(three), await _stack(three)) == (2, [1, 2])
    assert (await previous(three, "harbour")) == VersionName("harbour", 1)


async def test_of_two_promotions_at_once_one_is_made_and_the_other_told(harbour: Database) -> None:
    await promote(harbour, WarmOnly(), "harbour", 1, "ada")  # type: ignore[arg-type]
    client = _both_warm_first()
    done = await _together(
        promote(harbour, client, "harbour", 2, "ada"),  # type: ignore[arg-type]
        promote(harbour, client, "harbour", 2, "ben"),  # type: ignore[arg-type]
    )
    assert sorted(type(one).__name__ for one in done) == ["Move", "Refused"]
    assert await _stack(harbour) == [1, 2]


async def test_a_stack_that_names_one_version_twice_still_leads_back_to_the_one_before(harbour: Database) -> None:
    for number in (1, 2):
        await promote(harbour, WarmOnly(), "harbour", number, "ada")  # type: ignore[arg-type]
    async with harbour.session() as session:
        assistant = await find_assistant(session, "harbour")
        session.add(Promotion(assistant_id=assistant.id, action="promote", before=1, after=2, asked_by="ben"))
    assert await _stack(harbour) == [1, 2, 2]
    await rollback(harbour, WarmOnly(), "harbour", "ada")  # type: ignore[arg-type]
    assert (await _serving(harbour), await _stack(harbour)) == (1, [1])


@pytest.mark.parametrize(
    ("changed", "says"),
    [
        ({"forgotten_at": now()}, "learnt from words that were deleted"),
        ({"state": "removed"}, "removed by the retention"),
        ({"state": "failed", "report": {"sentence": "", "reasons": ["It forgot."]}}, "did not pass its gate"),
        ({"base_model": "another"}, "was made for another"),
        ({"state": "rejected"}, "Somebody else changed"),
    ],
)
@pytest.mark.parametrize("action", ["promote", "rollback"])
async def test_what_may_serve_no_more_once_it_is_loaded_is_not_put_into_service(
    three: Database, changed: dict[str, object], says: str, action: str
) -> None:
    async with three.session() as session:
        (await find_assistant(session, "harbour")).on_forget = "withdraw"

    async def meanwhile() -> None:
        await _change(three, 2, **changed)

    client = WarmOnly(meanwhile)
    with pytest.raises(Refused, match=says):
        if action == "promote":
            await promote(three, client, "harbour", 2, "ada")  # type: ignore[arg-type]
        else:
            await rollback(three, client, "harbour", "ada")  # type: ignore[arg-type]
    assert client.warmed == ["harbour@v2"]
    assert (await _serving(three), await _stack(three)) == (3, [1, 2, 3])


async def test_a_fall_back_while_a_promotion_loads_is_not_overwritten(three: Database) -> None:
    async def meanwhile() -> None:
        await fall_back(three, VersionName("harbour", 3), GONE)

    with pytest.raises(Refused, match="Somebody else changed"):
        await promote(three, WarmOnly(meanwhile), "harbour", 1, "ada")  # type: ignore[arg-type]
    assert await _serving(three) == 2


@pytest.mark.parametrize("why", [GONE, UNFIT])
async def test_a_rollback_passes_over_what_cannot_be_loaded_and_says_so(three: Database, why: ParlanceError) -> None:
    client = WarmOnly()
    client.bad[2] = why
    move = await rollback(three, client, "harbour", "ada")  # type: ignore[arg-type]
    assert (str(move.before), str(move.after)) == ("harbour@v3", "harbour@v1")
    assert "harbour@v1 is back in service" in move.sentence
    assert "harbour@v2 was passed over, because it" in move.sentence
    views = {view.name.number: view for view in await history(three, "harbour")}
    assert views[1].in_service and views[2].trouble is not None and views[2].trouble in move.sentence


async def test_where_nothing_earlier_can_be_loaded_a_rollback_ends_at_the_untuned_model(three: Database) -> None:
    client = WarmOnly()
    client.bad |= {1: GONE, 2: GONE}
    move = await rollback(three, client, "harbour", "ada")  # type: ignore[arg-type]
    assert move.after is None and "harbour@v1 was passed over" in move.sentence
    assert (await _serving(three), await _stack(three)) == (None, [])


@pytest.mark.parametrize("changed", [{"trouble": "its files are gone"}, {"state": "rejected"}, {"forgotten_at": now()}])
async def test_what_retention_keeps_to_roll_back_to_is_what_a_rollback_brings_back(
    three: Database, settings: Settings, changed: dict[str, object]
) -> None:
    async with three.session() as session:
        (await find_assistant(session, "harbour")).on_forget = "withdraw"
    await _change(three, 2, **changed)
    await keep(three, "harbour", Policy(versions=0), "ada")
    swept = await Keeper(three, settings).sweep()
    assert [str(name) for name in swept.versions] == ["harbour@v2"]
    client = WarmOnly()
    assert str((await rollback(three, client, "harbour", "ada")).after) == "harbour@v1"  # type: ignore[arg-type]
    assert client.warmed == ["harbour@v1"]


async def test_a_version_that_is_promoted_while_retention_begins_stays(three: Database, settings: Settings) -> None:
    await keep(three, "harbour", Policy(versions=0), "ada")
    async with three.session() as session:  # a promotion, up to the moment before it is committed
        assistant = await find_assistant(session, "harbour")
        assistant.in_service = 1
        session.add(Promotion(assistant_id=assistant.id, action="promote", before=3, after=1, asked_by="ada"))
        await session.flush()
        sweeping = asyncio.create_task(Keeper(three, settings).sweep())
        await asyncio.sleep(0.2)  # it has read all that it reads before it writes
    assert [str(name) for name in (await sweeping).versions] == ["harbour@v2"]
    assert await _serving(three) == 1


async def test_what_served_before_takes_over_whatever_its_number(harbour: Database) -> None:
    for number in (2, 1):
        await promote(harbour, WarmOnly(), "harbour", number, "ada")  # type: ignore[arg-type]
    assert "harbour@v2 answers from now on" in str(await fall_back(harbour, VersionName("harbour", 1), GONE))
    await promote(harbour, WarmOnly(), "harbour", 1, "ada")  # type: ignore[arg-type]
    async with harbour.session() as session:
        move = await withdraw(session, await find_assistant(session, "harbour"), "a policy")
    assert str(move.after) == "harbour@v2"


async def test_a_rejected_version_is_not_brought_back_by_a_rollback(three: Database) -> None:
    await reject(three, "harbour", 2)
    assert await previous(three, "harbour") == VersionName("harbour", 1)
