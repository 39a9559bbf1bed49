"""`parlance schedule`, as a person and as a script meet it; tests/tuning/test_schedule.py says that it is kept to."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from test_cli import parlance


@pytest.fixture
def garden(home: Path) -> Path:
    parlance(home, "assistant", "add", "garden")
    return home


def schedule(home: Path, *words: str) -> Any:
    done = parlance(home, "schedule", "garden", *words, "--json")
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)["schedule"]


def test_a_schedule_is_set_shown_changed_and_taken_away(garden: Path) -> None:
    assert schedule(garden) is None
    assert "only when somebody says so" in parlance(garden, "schedule", "garden").stdout
    said = parlance(garden, "schedule", "garden", "--every", "7", "--between", "22-5").stdout
    assert said.strip() == "It learns by itself every 7 days, between 22:00 and 5:00."
    assert schedule(garden) == {"every_days": 7, "after_messages": None, "hours": [22, 5]}
    changed = schedule(garden, "--after", "500")  # in place of what was set, not besides
    assert changed == schedule(garden) == {"every_days": None, "after_messages": 500, "hours": None}
    assert schedule(garden, "--off") is None
    assert schedule(garden) is None


@pytest.mark.parametrize(
    ("words", "says"),
    [
        (("--off", "--every", "7"), "either --off or when"),
        (("--every", "0"), "day"),
        (("--after", "0"), "message"),
        (("--between", "1-6"), "day"),
        (("--every", "1", "--between", "25-3"), "no span of hours"),
    ],
)
def test_what_cannot_be_meant_is_one_sentence_and_changes_nothing(
    garden: Path, words: tuple[str, ...], says: str
) -> None:
    schedule(garden, "--every", "3")
    done = parlance(garden, "schedule", "garden", *words)
    assert done.returncode == 1 and done.stdout == "" and says in done.stderr
    assert len(done.stderr.strip().splitlines()) <= 2
    assert schedule(garden) == {"every_days": 3, "after_messages": None, "hours": None}


def test_an_assistant_that_is_not_there_is_named(home: Path) -> None:
    done = parlance(home, "schedule", "nobody", "--every", "7")
    assert done.returncode == 1 and "no assistant “nobody”" in done.stderr
