"""Who answers where."""

from __future__ import annotations

import pytest
from sqlalchemy import event

from config.errors import BadInput, NotFound
from config.names import VersionName
from serving.router import Place, in_service, list_routes, resolve, route, set_route
from store.database import Database
from store.tables import Assistant, Version

EVERYWHERE = Place("tg:topic-7", parent="tg:chat-1", server="dc:server-2", account="tg")
ROUTES = [
    ("default", "", "ember"),
    ("account", "tg", "quill"),
    ("server", "dc:server-2", "sable"),
    ("parent", "tg:chat-1", "larch"),
    ("channel", "tg:topic-7", "harbour"),
]


@pytest.fixture
async def filled(database: Database) -> Database:
    async with database.session() as session:
        for _, _, name in ROUTES:
            session.add(Assistant(name=name, system_prompt=f"You are {name}.", base_model="demo"))
    return database


async def test_the_most_exact_route_wins_whatever_the_order_they_were_set_in(filled: Database) -> None:
    async with filled.session() as session:
        for count, (scope, key, name) in enumerate(ROUTES):
            await set_route(session, scope, key, name)
            assert (await resolve(session, EVERYWHERE)).assistant.name == name, f"after {count + 1} routes"
        assert [scope for scope, _, _ in await list_routes(session)] == [scope for scope, _, _ in reversed(ROUTES)]
        assert (await resolve(session, Place("elsewhere"))).assistant.name == "ember"
        assert (await resolve(session, Place("elsewhere", account="tg"))).assistant.name == "quill"


async def test_the_way_of_every_message_sees_what_was_committed_a_moment_ago(filled: Database) -> None:
    for scope, key, name in ROUTES:
        async with filled.session() as session:
            await set_route(session, scope, key, name)
        routed = await route(filled, EVERYWHERE)
        async with filled.session() as session:
            looked_up = await resolve(session, EVERYWHERE)
        assert routed.assistant.name == name
        assert (routed.version, routed.system_prompt) == (looked_up.version, looked_up.system_prompt)
    async with filled.session() as session:
        assistant = await session.get_one(Assistant, routed.assistant.id)
        session.add(
            Version(
                assistant_id=assistant.id,
                number=3,
                state="passed",
                digest="0",
                system_prompt="Gated.",
                base_model="demo",
                report={},
            )
        )
        assistant.in_service = 3
    routed = await route(filled, EVERYWHERE)
    assert (str(routed.version), routed.system_prompt) == ("harbour@v3", "Gated.")


async def test_where_nothing_is_routed_the_way_of_every_message_says_so(database: Database) -> None:
    with pytest.raises(NotFound, match="No assistant answers here yet"):
        await route(database, EVERYWHERE)


async def test_a_key_counts_only_in_its_own_scope(filled: Database) -> None:
    async with filled.session() as session:
        await set_route(session, "channel", "tg:chat-1", "larch")
        with pytest.raises(NotFound, match="No assistant answers here yet"):
            await resolve(session, EVERYWHERE)


async def test_a_route_set_again_replaces_the_old_one(filled: Database) -> None:
    async with filled.session() as session:
        await set_route(session, "default", "", "ember")
        await set_route(session, "default", "", "quill")
        assert await list_routes(session) == [("default", "", "quill")]


async def test_an_untuned_assistant_is_answered_by_the_zero_adapter_with_its_own_prompt(filled: Database) -> None:
    async with filled.session() as session:
        await set_route(session, "default", "", "ember")
        routed = await resolve(session, Place("web:1"))
        assert (routed.version, routed.system_prompt) == (VersionName("base-demo", 0), "You are ember.")


async def test_a_version_in_service_brings_the_prompt_it_was_gated_with(filled: Database) -> None:
    async with filled.session() as session:
        await set_route(session, "default", "", "ember")
        ember = (await resolve(session, Place("web:1"))).assistant
        for number in (1, 2):
            session.add(
                Version(
                    assistant_id=ember.id,
                    number=number,
                    state="passed",
                    digest="0" * 64,
                    system_prompt=f"You are ember, the {number}.",
                    base_model="demo",
                    report={},
                )
            )
        ember.in_service, ember.system_prompt = 2, "You are somebody else now."
        await session.flush()
        for routed in (await resolve(session, Place("web:1")), await in_service(session, ember)):
            assert (str(routed.version), routed.system_prompt) == ("ember@v2", "You are ember, the 2.")
        ember.in_service = 9
        await session.flush()
        with pytest.raises(NotFound, match="ember@v9"):
            await resolve(session, Place("web:1"))


async def test_resolving_asks_the_database_once(filled: Database) -> None:
    asked: list[str] = []
    async with filled.session() as session:
        await set_route(session, "account", "tg", "quill")
    async with filled.session() as session:
        engine = (await session.connection()).engine
        event.listen(engine.sync_engine, "before_cursor_execute", lambda *given: asked.append(given[2]))
        await resolve(session, EVERYWHERE)
    assert len(asked) == 1


@pytest.mark.parametrize(("scope", "key"), [("galaxy", "x"), ("default", "x"), ("channel", "")])
async def test_a_route_that_makes_no_sense_is_refused(filled: Database, scope: str, key: str) -> None:
    async with filled.session() as session:
        with pytest.raises(BadInput):
            await set_route(session, scope, key, "ember")


async def test_a_route_to_an_unknown_assistant_is_refused(filled: Database) -> None:
    async with filled.session() as session:
        with pytest.raises(NotFound, match="nobody"):
            await set_route(session, "default", "", "nobody")
