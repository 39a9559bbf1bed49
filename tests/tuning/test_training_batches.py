"""Batches: nothing lost, little padded, the same plan for the same seed, the system prompt never cut."""

from __future__ import annotations

import random
from array import array
from pathlib import Path

import pytest

from config.catalogue import DEMO_FOLDER
from config.errors import BadInput
from serving.prompt import ChatTokenizer, Message
from tuning.exchanges import exchange
from tuning.training.batches import Row, collate, digest, group, plan_steps, read_rows, row_of


@pytest.fixture(scope="module")
def tokenizer() -> ChatTokenizer:
    return ChatTokenizer(str(DEMO_FOLDER))


def some_rows(count: int) -> list[Row]:
    chance = random.Random(3)
    return [Row(list(range(1, width + 1)), [width - 1]) for width in (chance.randint(5, 200) for _ in range(count))]


def talk(turns: int) -> list[Message]:
    return [{"role": ("user", "assistant")[at % 2], "content": f"turn number {at} of this talk"} for at in range(turns)]  # type: ignore[misc]


def test_every_row_is_seen_once_an_epoch_and_no_batch_exceeds_the_budget() -> None:
    rows = some_rows(300)
    steps = plan_steps(rows, [(0, 0.2)], budget=512, epochs=3, seed=1)
    for epoch in (1, 2, 3):
        assert sorted(place for step in steps if step.epoch == epoch for place in step.rows) == list(range(300))
    for step in steps:
        assert len(step.rows) * max(rows[place].width for place in step.rows) <= 512


def test_rows_of_like_length_share_a_batch_so_that_under_a_tenth_is_padding() -> None:
    rows = some_rows(400)
    fed = sum(len(places) * max(rows[p].width for p in places) for places in group(rows, 1024, random.Random(0)))
    assert sum(row.width for row in rows) > 0.9 * fed


def test_the_same_seed_makes_the_same_plan_and_another_seed_another() -> None:
    rows = some_rows(80)
    plans = [plan_steps(rows, [(20, 0.2)], budget=512, epochs=2, seed=seed) for seed in (5, 5, 6)]
    assert plans[0] == plans[1] != plans[2]


def test_a_share_of_the_rows_are_replay_rows_and_all_of_them_take_their_turn() -> None:
    steps = plan_steps(some_rows(400), [(50, 0.1), (70, 0.1)], budget=512, epochs=2, seed=0)
    replayed = [place for step in steps for place in step.replay]
    first, second = [at for at in replayed if at < 50], [at for at in replayed if at >= 50]
    assert (len(first), len(second)) == (pytest.approx(100, abs=1), pytest.approx(100, abs=1))
    assert sorted(first[:50]) == list(range(50))
    assert sorted(second[:70]) == list(range(50, 120))


def test_a_row_longer_than_the_budget_has_a_batch_of_its_own() -> None:
    assert [0] in group([Row(list(range(900)), [899]), *some_rows(10)], 512)


def test_targets_are_the_learnt_tokens_and_places_point_at_what_stands_before_them() -> None:
    batch = collate([Row([10, 11, 12, 13, 14], [2, 3]), Row([20, 21, 22], [1])])
    assert batch.inputs.tolist() == [[10, 11, 12], [20, 0, 0]]  # nothing after the last learnt token's predecessor
    assert batch.targets.tolist() == [12, 13, 21]
    assert batch.inputs.flatten()[batch.places].tolist() == [11, 12, 20]


def test_the_digest_tells_apart_whatever_is_learnt_otherwise() -> None:
    one, other = Row([1, 2, 3], [2]), Row([4, 5], [1])
    different = [
        ([one, other], []), ([other, one], []), ([one], [other]), ([one], []), ([Row([1, 2, 3], [1])], [other]),
        ([Row([1, 2], [2, 3])], []),
    ]  # fmt: skip
    found = {digest(*groups) for groups in different}
    found |= {digest([one, other], marks=marks) for marks in (b"\0\1", b"\1\0")}
    assert len(found) == len(different) + 2
    assert digest([one]) == digest([Row(array("i", one.ids), tuple(one.learnt))])


def test_learn_from_counts_without_the_system_prompt(tokenizer: ChatTokenizer) -> None:
    row = row_of(exchange(talk(4), 2, tokenizer, "Be kind.", 1024), 1024)
    bare = row_of(exchange(talk(4), 2, tokenizer, "", 1024), 1024)
    assert row is not None
    assert bare is not None
    learnt = [[r.ids[place] for place in r.learnt] for r in (row, bare)]
    assert learnt[0] == learnt[1]
    whole = row_of(exchange(talk(4), 0, tokenizer, "", 1024), 1024)
    assert whole is not None
    assert len(learnt[0]) < len(whole.learnt)


def test_a_long_conversation_loses_its_oldest_turns_and_never_the_system_prompt(tokenizer: ChatTokenizer) -> None:
    prompt = "Be kind and brief."
    start = tokenizer.render([{"role": "system", "content": prompt}]).ids
    last = tokenizer.render(talk(40)[-2:]).ids
    row = row_of(exchange(talk(40), 0, tokenizer, prompt, 120), 120)
    assert row is not None
    assert len(row.ids) <= 120
    assert list(row.ids[: len(start)]) == start
    assert list(row.ids[-len(last) :]) == last


def test_a_row_with_nothing_to_learn_within_the_context_is_counted_and_left_out(
    tokenizer: ChatTokenizer, tmp_path: Path
) -> None:
    long = "word " * 400
    (tmp_path / "train.jsonl").write_text(
        '{"messages": [{"role": "user", "content": "Hi"}, {"role": "assistant", "content": "Hello"}]}\n'
        f'{{"messages": [{{"role": "user", "content": "{long}"}}, {{"role": "assistant", "content": "Yes"}}]}}\n'
    )
    rows, left_out = read_rows(tmp_path / "train.jsonl", tokenizer, "", 64)
    assert (len(rows), left_out) == (1, 1)


def test_a_line_that_is_no_conversation_is_named(tokenizer: ChatTokenizer, tmp_path: Path) -> None:
    (tmp_path / "train.jsonl").write_text(
        '{"messages": [{"role": "user", "content": "Hi"}, {"role": "assistant", "content": "Hello"}]}\nnot json\n'
    )
    with pytest.raises(BadInput, match=r"Line 2 of train\.jsonl"):
        read_rows(tmp_path / "train.jsonl", tokenizer, "", 64)
