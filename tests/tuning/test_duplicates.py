"""Near-duplicates go, other words stay, memory is fixed."""

from __future__ import annotations

import random

import pytest

from tuning.duplicates import REMEMBERED, NearDuplicates, taught
from tuning.examples import Example

WORDS = [f"{a}{b}{c}" for a in "bdfgklmnprstv" for b in ("a", "e", "i", "o") for c in ("n", "r", "s", "ll", "ck")]


def sentence(seed: int, length: int) -> list[str]:
    return random.Random(seed).choices(WORDS, k=length)


def example(asked: str, answer: str) -> Example:
    return Example(({"role": "user", "content": asked}, {"role": "assistant", "content": answer}), 0, 0, (1, 2))


def test_the_same_goes_whatever_its_case_and_punctuation() -> None:
    assert NearDuplicates().are_new(["The tide is at six!", "the tide is at SIX", "The tide is at seven"]) == [
        True,
        False,
        True,
    ]


def test_an_announcement_posted_again_with_a_changed_word_goes() -> None:
    text = sentence(1, 80)
    again = [*text[:40], "tomorrow", *text[41:]]
    assert NearDuplicates().are_new([" ".join(text), " ".join(again)]) == [True, False]


def test_ten_people_asking_the_same_in_other_words_are_kept() -> None:
    asked = [
        "When does the boat leave?", "What time do we sail tomorrow", "hey, departure is when?", "Sailing time pls",
        "Tell me when we go", "is it six or seven that we leave", "at what hour is the ferry off?", "boat. when.",
        "Do you know when the ship sets out", "So, when are we off?",
    ]  # fmt: skip
    texts = [taught(example(one, "At six, from the old pier.")) for one in asked]
    assert all(NearDuplicates().are_new(texts))


def test_a_short_answer_to_different_questions_is_kept() -> None:
    texts = [taught(example(" ".join(sentence(seed, 8)), "Yes, dear.")) for seed in range(50)]
    assert all(NearDuplicates().are_new(texts))


def test_only_the_tail_of_a_long_question_and_the_learnt_answers_are_compared() -> None:
    tail = " ".join(sentence(3, 24))
    assert taught(example("one thing " + tail, "Aye")) == taught(example("another matter " + tail, "Aye"))
    turns = ("user", "assistant", "user", "assistant")
    long = Example(tuple({"role": role, "content": f"{role}{at}"} for at, role in enumerate(turns)), 2, 0, (1,))
    assert taught(long) == "user2\nassistant3"


@pytest.mark.parametrize("text", ["", "👍", "早上好，船什么时候开？我们在码头等你。", "?!"])
def test_texts_without_words_are_compared_too(text: str) -> None:
    assert NearDuplicates().are_new([text, text, text + "码头很远"]) == [True, False, True]


def test_the_measured_threshold_is_where_it_is_said_to_be() -> None:
    """Of pairs that share under 60% none goes, of those that share over 90% nearly all do."""
    near = far = 0
    seen, others = NearDuplicates(), NearDuplicates()
    for seed in range(200):
        text = sentence(seed, 102)
        slightly, much = text.copy(), text.copy()
        slightly[50] = "other"
        for at in range(10, 100, 12):
            much[at] = "other"  # 8 words change 24 of 100 triples: they share 61%
        near += seen.are_new([" ".join(text), " ".join(slightly)])[1]
        far += not others.are_new([" ".join(text), " ".join(much)])[1]
    assert near <= 4
    assert far <= 1


def test_unrelated_texts_are_never_taken_for_each_other() -> None:
    seen = NearDuplicates()
    texts = [" ".join(sentence(seed, 12)) for seed in range(20_000)]
    assert sum(seen.are_new(texts)) == len(set(texts))


def test_batches_change_nothing_and_every_run_agrees() -> None:
    texts = [" ".join(sentence(seed % 70, 20)) for seed in range(200)]
    one_by_one, at_once = NearDuplicates(), NearDuplicates()
    assert [one_by_one.are_new([text])[0] for text in texts] == at_once.are_new(texts)
    assert at_once.are_new(texts) == [False] * 200


def test_memory_is_what_it_was_at_the_start() -> None:
    seen = NearDuplicates()
    arrays = [seen._signatures, seen._slots]
    before = sum(array.nbytes for array in arrays)
    seen._count = REMEMBERED - 3
    assert all(seen.are_new([" ".join(sentence(seed, 9)) for seed in range(10)]))
    assert sum(array.nbytes for array in (seen._signatures, seen._slots)) == before < 64_000_000
