"""What is said of the engine's time: as far as it is known, and no further."""

from __future__ import annotations

import asyncio
import time
from pathlib import Path

import pytest

from config.errors import EngineUnavailable
from config.paths import Paths
from serving.status import FIRST_GUESS_SECONDS, LATE, Condition, UsualStart, starting


@pytest.fixture
def condition(tmp_path: Path) -> Condition:
    paths = Paths(tmp_path)
    paths.run.mkdir(parents=True)
    return Condition(UsualStart(paths, "demo"))


def test_a_start_is_told_by_the_last_one_until_it_takes_longer_and_then_no_time_is_made_up() -> None:
    told = starting("warming", "The engine is warming up.", 5.0, 20.0)
    assert told.sentence == "The engine is warming up; it takes about 15 more seconds."
    assert told.seconds_left == 15.0
    late = starting("warming", "The engine is warming up.", LATE * 20.0 + 1, 20.0)
    assert "more seconds" not in late.sentence and "longer than usual" in late.sentence
    assert late.seconds_left is None


def test_the_last_start_is_remembered_and_a_damaged_note_of_it_is_no_trouble(condition: Condition) -> None:
    assert condition.usual.seconds == FIRST_GUESS_SECONDS
    condition.usual.remember(31.2)
    assert condition.usual.seconds == 31.2
    condition.usual._file.write_text("{")
    assert condition.usual.seconds == FIRST_GUESS_SECONDS


def test_a_start_that_hangs_says_so(condition: Condition) -> None:
    condition.usual.remember(10.0)
    condition.say("warming", "The engine is warming up.")
    condition.began = time.monotonic() - 3600
    assert "longer than usual" in condition.status.sentence


def test_a_rest_has_its_time_where_it_is_known(condition: Condition) -> None:
    condition.say("asleep", "The assistants rest.")
    assert condition.status.seconds_left is None
    condition.rests_until = time.monotonic() + 600
    assert 590 < (condition.status.seconds_left or 0) <= 600
    condition.rests_until = time.monotonic() - 60
    assert condition.status.seconds_left == 1.0


def test_a_notice_is_told_of_an_engine_that_is_ready_alone(condition: Condition) -> None:
    condition.notice = "But it is small."
    condition.say("ready", "The engine is ready.")
    assert condition.status.sentence == "The engine is ready. But it is small."
    assert condition.status.notice == "But it is small."
    condition.say("unwell", "The engine does not answer.")
    assert (condition.status.sentence, condition.status.notice) == ("The engine does not answer.", "")


async def test_whoever_waits_goes_on_when_it_is_ready_and_is_told_where_it_is_off(condition: Condition) -> None:
    with pytest.raises(EngineUnavailable, match="not running"):
        await condition.until_ready()
    condition.say("warming", "The engine is warming up.")
    waiting = asyncio.create_task(condition.until_ready())
    await asyncio.sleep(0)
    condition.say("restarting", "The engine is being started again.")
    await asyncio.sleep(0)
    assert not waiting.done()
    condition.say("ready", "The engine is ready.")
    await asyncio.wait_for(waiting, 5)
