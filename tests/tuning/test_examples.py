"""From a conversation to what is learnt from it."""

from __future__ import annotations

from dataclasses import replace

import pytest

from serving.speaker import short_name, spoken_by
from tuning.conversations import ChatMessage
from tuning.examples import WINDOW_TURNS, community_examples_of, examples_of

SPEAKER = 9


def said(number: int, who: int, text: str, forwarded: bool = False) -> ChatMessage:
    name = {1: "Odo Brandt", 2: "Ines", SPEAKER: "Runa Vik"}[who]
    return ChatMessage(number, str(number), who, name, 100 + number, None, forwarded, text)


def test_the_speaker_is_the_assistant_and_one_side_in_a_row_is_one_turn() -> None:
    (one,) = examples_of(
        [said(1, 1, "Hello"), said(2, 1, "Anyone?"), said(3, SPEAKER, "Here."), said(4, SPEAKER, "What is it?")],
        {SPEAKER},
    )
    assert one.messages == (
        {"role": "user", "content": "Hello\nAnyone?"},
        {"role": "assistant", "content": "Here.\nWhat is it?"},
    )
    assert (one.learn_from, one.at, one.message_ids) == (0, 104, (1, 2, 3, 4))


def test_people_are_named_only_where_there_are_several() -> None:
    (one,) = examples_of([said(1, 1, "Hello"), said(2, 2, "Hi"), said(3, SPEAKER, "Both of you!")], {SPEAKER})
    assert one.messages[0]["content"] == "Odo: Hello\nInes: Hi"
    assert one.messages[1]["content"] == "Both of you!"


def test_an_example_begins_with_the_user_and_ends_with_the_assistant() -> None:
    (one,) = examples_of(
        [said(1, SPEAKER, "Morning"), said(2, 1, "Hi"), said(3, SPEAKER, "Tea?"), said(4, 1, "Yes")], {SPEAKER}
    )
    assert [turn["role"] for turn in one.messages] == ["user", "assistant"]
    assert one.message_ids == (2, 3)


def test_what_the_speaker_forwards_is_not_learnt_and_what_others_forward_is_context() -> None:
    (one,) = examples_of(
        [said(1, 1, "Read this", True), said(2, SPEAKER, "Somebody else's words", True), said(3, SPEAKER, "I see")],
        {SPEAKER},
    )
    assert one.messages[1]["content"] == "I see"
    assert one.messages[0]["content"] == "Read this"
    assert examples_of([said(1, 1, "So?"), said(2, SPEAKER, "Not mine", True)], {SPEAKER}) == []


def test_a_conversation_without_an_answer_gives_nothing() -> None:
    assert examples_of([said(1, 1, "Hello?"), said(2, 2, "Nobody here")], {SPEAKER}) == []
    assert examples_of([said(1, SPEAKER, "Alone"), said(2, SPEAKER, "again")], {SPEAKER}) == []


@pytest.mark.parametrize("rounds", [*range(1, 30), 100])
def test_every_answer_is_learnt_exactly_once_however_long_the_conversation(rounds: int) -> None:
    messages = [
        said(2 * turn + side, (1, SPEAKER)[side], f"{'QA'[side]}{turn}") for turn in range(rounds) for side in (0, 1)
    ]
    examples = examples_of(messages, {SPEAKER})
    learnt = [
        turn["content"]
        for one in examples
        for at, turn in enumerate(one.messages)
        if turn["role"] == "assistant" and at >= one.learn_from
    ]
    assert learnt == [f"A{turn}" for turn in range(rounds)]
    for one in examples:
        assert len(one.messages) <= WINDOW_TURNS
        assert [turn["role"] for turn in one.messages] == ["user", "assistant"] * (len(one.messages) // 2)
        assert one.learn_from < len(one.messages)
        assert len(one.message_ids) == len(one.messages)


def test_a_name_is_its_first_word_and_nobody_is_nameless() -> None:
    assert spoken_by("Mara Quill", "Hi") == "Mara: Hi"
    assert spoken_by("Mara:", "Hi") == "Mara: Hi"
    assert [short_name(name) for name in ("", None, "  ", "🦊 Fox")] == ["Someone", "Someone", "Someone", "🦊"]
    assert len(short_name("x" * 500)) == 32


def test_where_all_are_learnt_each_turn_but_the_first_is_learnt_once() -> None:
    talk = [said(1, 1, "Who has the key?"), said(2, 2, "I do"), said(3, SPEAKER, "So do I"), said(4, 1, "Good"),
            said(5, 2, "It hangs in the shed")]  # fmt: skip
    examples = community_examples_of(talk)
    learnt = [turn["content"] for one in examples for turn in one.messages if turn["role"] == "assistant"]
    assert sorted(learnt) == ["Good", "I do", "It hangs in the shed", "So do I"]
    assert all(one.messages[0]["role"] == "user" and one.messages[-1]["role"] == "assistant" for one in examples)
    assert examples[1].messages[0]["content"] == "Odo: Who has the key?\nInes: I do"


def test_where_all_are_learnt_two_people_keep_their_sides() -> None:
    talk = [said(1, 1, "Tea?"), said(2, 2, "Please"), said(3, 1, "Milk?"), said(4, 2, "No")]
    first, second = community_examples_of(talk)
    assert [turn["content"] for turn in first.messages] == ["Tea?", "Please", "Milk?", "No"]
    assert [turn["content"] for turn in second.messages] == ["Please", "Milk?"]


def test_where_all_are_learnt_nothing_becomes_the_answer_to_something_else() -> None:
    answers_what_is_gone = replace(said(3, SPEAKER, "At nine"), reply_to="99")
    talk = [said(1, 1, "Fog again"), said(2, 2, "All day"), answers_what_is_gone, said(4, 1, "Thanks")]
    learnt = [turn["content"] for one in community_examples_of(talk) for turn in one.messages[1::2]]
    assert learnt == ["All day", "Thanks"]
    assert community_examples_of([said(1, 1, "Hello?"), said(2, 1, "Nobody here")]) == []
