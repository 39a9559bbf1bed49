"""`parlance sources` and `parlance import --preview`, as a person and as a script meet them."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

from test_cli import EXPORT, parlance


def sources(home: Path, *words: str) -> Any:
    done = parlance(home, "sources", "garden", *words, "--json")
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


def imported(home: Path, *words: str) -> str:
    parlance(home, "assistant", "add", "garden")
    done = parlance(home, "import", str(EXPORT), "--assistant", "garden", "--speaker", "wren", *words)
    assert done.returncode == 0, done.stderr
    return done.stdout


def examples(home: Path) -> int:
    """How many a retrain would learn from now."""
    return int(json.loads(parlance(home, "cleaning", "garden", "--json").stdout)["examples"])


def test_an_assistant_without_sources_is_told_how_to_get_one(home: Path) -> None:
    parlance(home, "assistant", "add", "garden")
    assert "parlance import FILE --assistant garden" in parlance(home, "sources", "garden").stdout
    assert sources(home) == []


def test_a_preview_says_what_would_come_and_keeps_nothing(home: Path) -> None:
    shown = imported(home, "--preview")
    assert "Nothing was kept" in shown and "examples." in shown
    assert sources(home) == []


def test_sources_are_listed_with_whose_voice_is_learnt(home: Path) -> None:
    imported(home)
    (source,) = sources(home)
    assert (source["kind"], source["speaker"], source["paused"]) == ("Telegram", "Wren Abernathy", False)
    assert source["messages"] > 600
    listed = parlance(home, "sources", "garden").stdout
    assert source["title"] in listed and "Wren Abernathy" in listed and f"{source['messages']:,}" in listed


def test_a_source_is_looked_into_newest_last(home: Path) -> None:
    imported(home)
    (source,) = sources(home)
    lines = sources(home, "--show", str(source["id"]))
    assert len(lines) == 20 and {"author", "at", "text"} == set(lines[0])
    assert [line["at"] for line in lines] == sorted(line["at"] for line in lines)
    shown = parlance(home, "sources", "garden", "--show", str(source["id"])).stdout
    assert re.search(r"^\d{4}-\d\d-\d\d \d\d:\d\d  \w", shown) and lines[-1]["author"] in shown


def test_a_paused_source_is_learnt_from_no_more_until_it_is_resumed(home: Path) -> None:
    imported(home)
    (source,) = sources(home)
    before = examples(home)
    assert before > 0
    assert [one["paused"] for one in sources(home, "--pause", str(source["id"]))] == [True]
    assert "paused" in parlance(home, "sources", "garden").stdout
    assert examples(home) == 0
    refused = parlance(home, "tune", "garden")
    assert refused.returncode == 1 and "0 answers to learn from" in refused.stderr
    assert [one["paused"] for one in sources(home, "--resume", str(source["id"]))] == [False]
    assert examples(home) == before


def test_what_cannot_be_done_with_a_source_is_one_sentence(home: Path) -> None:
    imported(home)
    for words, says in (
        (("--show", "99"), "garden has no source 99"),
        (("--pause", "99"), "garden has no source 99"),
        (("--pause", "1", "--resume", "1"), "one thing at a time"),
    ):
        done = parlance(home, "sources", "garden", *words)
        assert done.returncode == 1 and done.stdout == "" and says in done.stderr
    nobody = parlance(home, "sources", "nobody")
    assert nobody.returncode == 1 and "no assistant “nobody”" in nobody.stderr
