"""The gate's judgement: what passes, what fails, and the sentence that says why."""

import pytest

from serving.client import Finished
from tuning.gate.degenerate import measure_degenerate, repeats
from tuning.gate.report import Degenerate, General, HeldOut, Parity, percent
from tuning.gate.verdict import reasons_against, summary

HELD_OUT = HeldOut(base=3.0, in_service=2.5, version=2.0, conversations=20, tokens=900)
GENERAL = General(base=3.0, version=3.03, exchanges=200, tokens=4000, limit=0.02)
PARITY = Parity(
    mean_difference=0.001, largest_difference=0.01, tokens=600, same_rendering=True, limit=0.02, tokens_needed=500
)
DEGENERATE = Degenerate(share=0.0, answers=32, repeating=0, endless=0, empty=0, limit=0.1)


def test_a_version_that_is_better_in_everything_passes_and_says_by_how_much() -> None:
    assert reasons_against(HELD_OUT, GENERAL, PARITY, DEGENERATE) == []
    said = summary(HELD_OUT, GENERAL, [])
    assert "33% better than the untouched model" in said
    assert "20% better than the version in service" in said
    assert "lost 1.0% of its general ability" in said


@pytest.mark.parametrize(
    ("part", "change", "why"),
    [
        ("held_out", {"version": 3.0}, "not predict this community's answers better than the untouched model"),
        ("held_out", {"version": 2.5}, "better than the version in service"),
        ("general", {"version": 3.061}, "forgotten some of its general ability"),
        ("parity", {"mean_difference": 0.021}, "computes other probabilities"),
        ("parity", {"tokens": 499}, "Too little text"),
        ("parity", {"same_rendering": False}, "writes conversations down differently"),
        ("degenerate", {"share": 0.11}, "repeat themselves"),
    ],
)
def test_each_failing_measure_keeps_it_out_with_a_reason(part: str, change: dict[str, object], why: str) -> None:
    parts = {"held_out": HELD_OUT, "general": GENERAL, "parity": PARITY, "degenerate": DEGENERATE}
    parts[part] = parts[part].model_copy(update=change)  # type: ignore[attr-defined]
    reasons = reasons_against(**parts)  # type: ignore[arg-type]
    assert any(why in reason for reason in reasons)
    assert summary(parts["held_out"], parts["general"], reasons).startswith("It stays out of service")  # type: ignore[arg-type]


def test_a_first_version_needs_no_version_in_service() -> None:
    first = HELD_OUT.model_copy(update={"in_service": None})
    assert reasons_against(first, GENERAL, PARITY, DEGENERATE) == []
    assert "in service" not in summary(first, GENERAL, [])


@pytest.mark.parametrize(
    "text",
    ["the tide is in the tide is in the tide is in", "no no no no no", "Aye aye AYE aye aye then"],
)
def test_going_round_in_circles_is_noticed(text: str) -> None:
    assert repeats(text)


@pytest.mark.parametrize(
    "text",
    ["", "Aye.", "We meet on Tuesday at seven, on the slipway.", "very very very nice", "a b c d, a b c d and done"],
)
def test_ordinary_answers_are_not_called_circles(text: str) -> None:
    assert not repeats(text)


def test_an_answer_counts_once_however_bad_it_is() -> None:
    def answer(text: str, reason: str = "stop") -> Finished:
        return Finished(text, reason, 10, 10, 0.1, 0.2)

    found = measure_degenerate([answer("Aye."), answer("no no no no no", "length"), answer("  "), answer("Fine.")])
    assert (found.share, found.repeating, found.endless, found.empty) == (0.5, 1, 1, 1)
    assert measure_degenerate([]).share == 1.0


@pytest.mark.parametrize(("share", "shown"), [(0.314, "31%"), (0.012, "1.2%"), (-0.05, "-5.0%"), (float("nan"), "?")])
def test_shares_are_shown_as_people_read_them(share: float, shown: str) -> None:
    assert percent(share) == shown
