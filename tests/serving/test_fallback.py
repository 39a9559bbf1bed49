"""A version that the engine cannot load, asked for through the gateway: its name falls back, its number does not."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest
from gateway_running import Door, ToldEngine, ToolWords, running, two_assistants

from config.errors import NotFound, Refused
from config.names import VersionName
from config.settings import Settings
from serving.fallback import fall_back
from store.assistants import find_assistant, find_version
from store.database import Database

GONE = NotFound("There is no version here whose files are as they were made.")


@pytest.fixture
async def door(database: Database, settings: Settings) -> AsyncIterator[Door]:
    await two_assistants(database)
    async with running(database, settings, ToldEngine(), ToolWords()) as door:
        yield door


async def in_service(database: Database) -> int | None:
    async with database.session() as session:
        return (await find_assistant(session, "harbour")).in_service


@pytest.mark.parametrize("stream", [False, True])
async def test_who_asks_for_an_assistant_is_answered_by_its_last_good_version(door: Door, stream: bool) -> None:
    door.engine.script = [[GONE], ["Hello."]]
    answer = await door.ask(model="harbour", stream=stream)
    assert answer.status_code == 200 and "harbour@v1" in answer.text and "Hello." in answer.text
    assert await in_service(door.database) == 1


async def test_who_asks_for_one_version_is_told_that_it_is_not_there(door: Door) -> None:
    door.engine.script = [[GONE], ["Hello."]]
    assert (await door.ask(model="harbour@v2")).status_code == 404
    assert await in_service(door.database) == 2


async def test_a_version_that_serves_no_more_is_left_as_it_is(door: Door) -> None:
    await fall_back(door.database, VersionName("harbour", 1), Refused("It cannot be loaded."))
    assert await in_service(door.database) == 2
    async with door.database.session() as session:
        assert (await find_version(session, await find_assistant(session, "harbour"), 1)).trouble is None


async def test_two_who_meet_the_same_bad_version_move_the_pointer_once(door: Door) -> None:
    for _ in range(2):
        await fall_back(door.database, VersionName("harbour", 2), GONE)
    assert await in_service(door.database) == 1
