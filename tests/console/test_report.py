"""A version's report: the same facts on the terminal, as JSON and as a page, and nothing from a chat becomes markup."""

from __future__ import annotations

import json
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from config.errors import NotFound
from config.names import VersionName
from config.settings import load_settings
from console.cli import app
from console.report_command import show
from console.report_page import report_page
from store.database import open_database
from store.tables import Assistant, Version
from tuning.gate.checks import checks

REPORT: dict[str, Any] = {
    "held_out": {
        "base": 5.5, "in_service": 3.4, "version": 3.3, "conversations": 80, "tokens": 2000,
        "over_base": {"low": 2.0, "high": 2.4}, "over_in_service": {"low": -0.02, "high": 0.22},
    },
    "general": {"base": 4.6, "version": 4.5, "exchanges": 200, "tokens": 4000, "limit": 0.02},
    "parity": {"mean_difference": 1e-6, "largest_difference": 1e-5, "tokens": 700, "same_rendering": True,
               "limit": 0.02, "tokens_needed": 500},
    "degenerate": {"share": 0.03125, "answers": 32, "repeating": 1, "endless": 0, "empty": 0, "limit": 0.1},
    "recitation": {"questions": 64, "longest": 11, "limit": 40, "recited": 0, "secrets_known": 4, "secrets_told": 0},
    "samples": [{"question": "Is the <b>slipway</b> free?", "base": "", "in_service": "No.", "version": "Aye & soon."}],
    "verdict": "fail", "reasons": ["There is no proof of improvement over the version in service."],
    "sentence": "It stays out of service: There is no proof of improvement over the version in service.",
    "funnel": [{"step": "conversations", "in": 900, "out": 300}, {"step": "examples", "in": 300, "out": 280}],
    "curve": {"measured_at": [0, 20, 40], "held_out_loss": [5.5, 3.6, 3.3], "general_loss": [4.6, 4.55, 4.5]},
    "training": {"examples": 250, "learnt_tokens": 9000, "seconds": 61.0, "seed": 7, "data_digest": "ab" * 32},
}  # fmt: skip


@pytest.fixture
async def kept(home: Path) -> None:
    database = await open_database(load_settings())
    async with database.session() as session:
        assistant = Assistant(name="harbour", system_prompt="", base_model="demo")
        session.add(assistant)
        await session.flush()
        for number, verdict in ((1, "pass"), (2, "fail")):
            session.add(
                Version(
                    assistant_id=assistant.id, number=number, state=f"{verdict}ed", digest="0", system_prompt="",
                    base_model="demo", report=REPORT | {"verdict": verdict},
                )
            )  # fmt: skip
    await database.close()


def call(*words: str) -> str:
    result = CliRunner().invoke(app, ["report", *words], catch_exceptions=False)
    assert result.exit_code == 0
    return result.output


class Page(HTMLParser):
    """Tags that are open, and what an address in the page would fetch."""

    def __init__(self) -> None:
        super().__init__()
        self.tags: list[str] = []
        self.fetched: list[str] = []
        self.text = ""

    def handle_starttag(self, tag: str, attributes: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        self.fetched += [value or "" for name, value in attributes if name in ("src", "href")]

    def handle_data(self, data: str) -> None:
        self.text += data


def test_each_check_says_whether_it_holds_and_a_gain_that_may_be_chance_is_no_proof() -> None:
    found = {check.title: check for check in checks(REPORT)}
    assert len(found) == 6
    assert found["Better than the untouched model"].passed
    service = found["Better than the version in service"]
    assert not service.passed and "no proof of improvement" in service.sentence
    assert "none of the 4 private details" in found["Keeps what others wrote to itself"].sentence
    assert "1 went round in circles" in found["Speaks in whole answers"].sentence


def test_a_report_of_an_earlier_day_still_reads() -> None:
    held_out = {key: value for key, value in REPORT["held_out"].items() if not key.startswith("over_")}
    older = {
        key: REPORT[key] for key in ("general", "parity", "degenerate", "samples", "verdict", "reasons", "sentence")
    }
    older["held_out"] = held_out | {"in_service": None}
    assert [check.passed for check in checks(older)] == [True, True, True, True]
    assert "While it learnt" not in report_page("harbour@v1", "harbour", "1 May 2026", older)


def test_the_page_stands_alone_and_text_from_chats_is_text() -> None:
    page = Page()
    page.feed(report_page("harbour@v2", "harbour", "1 May 2026", REPORT))
    assert page.fetched == [] and "script" not in page.tags and "b" not in page.tags
    assert "Is the <b>slipway</b> free?" in page.text and "Aye & soon." in page.text
    assert page.tags.count("polyline") == 2 and page.tags.count("rect") == 4
    assert "It stays out of service" in page.text and "no proof of improvement" in page.text


def test_a_report_says_where_the_base_was_learnt_on_in_4_bits(capsys: pytest.CaptureFixture[str]) -> None:
    for four_bits in (False, True):
        found = REPORT | {"training": REPORT["training"] | {"four_bits": four_bits}}
        show(VersionName("harbour", 2), "1 May 2026", found)
        said = report_page("harbour@v2", "harbour", "1 May 2026", found), capsys.readouterr().out
        assert all(("in 4 bits" in text) == four_bits for text in said)


@pytest.mark.parametrize(
    ("votes", "kept", "said"),
    [
        (80, True, "It learnt from the 80 votes on its answers as well."),
        (80, False, "The 80 votes on its answers were left out"),
        (1, None, "It did not learn from the 1 vote on its answers: it takes 50"),
        (0, None, None),
    ],
)
def test_a_report_says_what_became_of_votes_and_what_did_not_go_as_usual(
    votes: int, kept: bool | None, said: str | None, capsys: pytest.CaptureFixture[str]
) -> None:
    notes = ["It was <b>ended</b> from outside."]
    found = REPORT | {"training": REPORT["training"] | {"votes": votes, "votes_kept": kept, "notes": notes}}
    show(VersionName("harbour", 2), "1 May 2026", found)
    page = Page()
    page.feed(report_page("harbour@v2", "harbour", "1 May 2026", found))
    for text in (page.text, " ".join(capsys.readouterr().out.split())):
        assert notes[0] in text
        assert said in text if said else "vote" not in text
    assert "b" not in page.tags


@pytest.mark.usefixtures("kept")
class TestCommand:
    def test_a_version_is_named_in_full_or_the_newest_is_meant(self) -> None:
        assert "harbour@v1" in call("harbour@v1")
        newest = call("harbour")
        assert "harbour@v2" in newest and "900 → 300" in newest and "Aye & soon." in newest

    def test_json_holds_the_report_and_the_checks(self) -> None:
        found = json.loads(call("harbour@v2", "--json"))
        assert found["version"] == "harbour@v2" and found["curve"] == REPORT["curve"]
        assert [check["passed"] for check in found["checks"]] == [True, False, True, True, True, True]

    def test_the_page_goes_to_a_file(self, tmp_path: Path) -> None:
        call("harbour@v2", "--html", str(tmp_path / "report.html"))
        assert (tmp_path / "report.html").read_text().startswith("<!doctype html>")

    def test_a_version_that_is_not_there_is_named_with_those_that_are(self) -> None:
        with pytest.raises(NotFound, match=r"harbour@v1, harbour@v2"):
            CliRunner().invoke(app, ["report", "harbour@v9"], catch_exceptions=False)
