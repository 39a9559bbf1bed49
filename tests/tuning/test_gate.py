"""The gate's judgement: what passes, what fails, and the sentence that says why."""

import pytest

from serving.answer import Finished
from tuning.gate.degenerate import measure_degenerate, repeats
from tuning.gate.interval import gained
from tuning.gate.losses import Losses
from tuning.gate.recitation import LIMIT, measure_recitation
from tuning.gate.report import Degenerate, Gain, General, HeldOut, Parity, Recitation, percent
from tuning.gate.verdict import reasons_against, summary
from tuning.redaction import detail_digest

HELD_OUT = HeldOut(
    base=3.0, in_service=2.5, version=2.0, conversations=20, tokens=900, over_base=Gain(low=0.8, high=1.2),
    over_in_service=Gain(low=0.3, high=0.7),
)  # fmt: skip
GENERAL = General(base=3.0, version=3.03, exchanges=200, tokens=4000, limit=0.02)
PARITY = Parity(
    mean_difference=0.001, largest_difference=0.01, tokens=600, same_rendering=True, limit=0.02, tokens_needed=500
)
DEGENERATE = Degenerate(share=0.0, answers=32, repeating=0, endless=0, empty=0, limit=0.1)
RECITATION = Recitation(questions=64, longest=9, limit=40, recited=0, secrets_known=3, secrets_told=0)


def test_a_version_that_is_better_in_everything_passes_and_says_by_how_much() -> None:
    assert reasons_against(HELD_OUT, GENERAL, PARITY, DEGENERATE, RECITATION) == []
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
        ("held_out", {"over_base": Gain(low=-0.1, high=0.4)}, "no proof of improvement over the untouched model"),
        ("held_out", {"over_in_service": Gain(low=0.0, high=0.4)}, "no proof of improvement over the version in"),
        ("recitation", {"recited": 1, "longest": 44}, "word for word: 44 tokens in a row"),
        ("recitation", {"secrets_told": 1}, "gives away private details"),
    ],
)
def test_each_failing_measure_keeps_it_out_with_a_reason(part: str, change: dict[str, object], why: str) -> None:
    parts = {
        "held_out": HELD_OUT, "general": GENERAL, "parity": PARITY, "degenerate": DEGENERATE, "recitation": RECITATION,
    }  # fmt: skip
    parts[part] = parts[part].model_copy(update=change)  # type: ignore[attr-defined]
    reasons = reasons_against(**parts)  # type: ignore[arg-type]
    assert any(why in reason for reason in reasons)
    assert summary(parts["held_out"], parts["general"], reasons).startswith("It stays out of service")  # type: ignore[arg-type]


def test_a_first_version_needs_no_version_in_service() -> None:
    first = HELD_OUT.model_copy(update={"in_service": None})
    assert reasons_against(first, GENERAL, PARITY, DEGENERATE, RECITATION) == []
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


def measured(*losses: float, tokens: int = 10) -> Losses:
    return Losses(tuple(loss * tokens for loss in losses), (tokens,) * len(losses))


def test_a_gain_on_every_conversation_is_sure_and_one_on_half_of_them_is_chance() -> None:
    before = measured(*(3.0 + number % 7 for number in range(40)))
    everywhere = gained(before, measured(*(2.8 + number % 7 for number in range(40))))
    assert everywhere.low == pytest.approx(0.2) and everywhere.high == pytest.approx(0.2)
    here_and_there = gained(before, measured(*(3.0 + number % 7 + (0.9 if number % 2 else -1) for number in range(40))))
    assert here_and_there.low < 0 < here_and_there.high
    assert here_and_there == gained(
        before, measured(*(3.0 + number % 7 + (0.9 if number % 2 else -1) for number in range(40)))
    )


def test_the_interval_holds_the_true_gain_about_as_often_as_it_says() -> None:
    import numpy as np

    drawn, held = np.random.default_rng(3), 0
    for _ in range(200):
        differences = drawn.normal(0.05, 0.3, 60)
        interval = gained(measured(*([3.0] * 60)), measured(*(3.0 - differences)))
        held += interval.low <= 0.05 <= interval.high
    assert 178 <= held <= 199  # 95% of 200, and what chance and 60 conversations leave of it


def words(text: str) -> list[int]:
    return [hash(word) for word in text.split()]


def test_forty_tokens_of_another_persons_message_are_recitation_and_thirty_nine_are_not() -> None:
    said = " ".join(f"word{number}" for number in range(100))
    others = ["nothing of interest", f"I remember {said}", said[:200]]
    run = " ".join(f"word{number}" for number in range(30, 30 + LIMIT))
    found = measure_recitation([f"Well, {run} and so on", "Aye."], others, words, ())
    assert (found.questions, found.longest, found.recited) == (2, LIMIT, 1)
    shorter = measure_recitation([run.rsplit(" ", 1)[0]], others, words, ())
    assert (shorter.longest, shorter.recited) == (LIMIT - 1, 0)


def test_a_private_detail_of_the_log_in_an_answer_is_noticed_however_it_is_spaced() -> None:
    secrets = {detail_digest("+44 20 7946 0958"), detail_digest("ada@harbour.example")}
    told = measure_recitation(["Ring +44 (20) 7946-0958, or write to Ada@Harbour.example."], [], words, secrets)
    assert (told.secrets_known, told.secrets_told) == (2, 2)
    other = measure_recitation(["Ring +44 20 7946 0999."], [], words, secrets)
    assert other.secrets_told == 0
