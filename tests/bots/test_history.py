from __future__ import annotations

import pytest
from fake_engine import Words

from bots.history import Turn, exchanges, fit
from config.errors import BadInput

count = Words().count


def said(*texts: str) -> list[Turn]:
    """Question, answer, question, …"""
    return [Turn(at % 2 == 1, text) for at, text in enumerate(texts)]


def contents(fitted):
    return [message["content"] for message in fitted.messages]


def test_everything_is_kept_where_it_fits():
    fitted = fit(count, "be kind", said("a", "b", "c"), 5)
    assert contents(fitted) == ["be kind", "a", "b", "c"] and fitted.tokens == 5
    assert (fitted.forgotten, fitted.shortened) == (0, False)


def test_the_oldest_exchange_goes_first_and_goes_whole():
    fitted = fit(count, "be kind", said("a", "b", "c", "d", "e"), 6)
    assert contents(fitted) == ["be kind", "c", "d", "e"] and fitted.forgotten == 1
    fitted = fit(count, "be kind", said("a", "b", "c", "d", "e"), 4)
    assert contents(fitted) == ["be kind", "e"] and fitted.forgotten == 2


@pytest.mark.parametrize("room", range(4, 40))
def test_a_prompt_never_takes_more_than_the_room_and_never_loses_its_system_prompt(room):
    turns = said(*(f"{'w ' * (at % 5)}w{at}" for at in range(15)))
    fitted = fit(count, "be kind", turns, room)
    assert fitted.tokens == count(fitted.messages) <= room or fitted.shortened
    assert fitted.tokens <= room
    assert contents(fitted)[0] == "be kind" and fitted.messages[1]["role"] == "user"


def test_a_message_that_is_too_long_keeps_its_beginning_and_its_end():
    text = " ".join(f"w{at}" for at in range(200))
    fitted = fit(count, "be kind", said("a", "b", text), 40)
    assert fitted.shortened and fitted.forgotten == 1 and fitted.tokens <= 40
    words = contents(fitted)[1].split()
    assert words[0] == "w0" and words[-1] == "w199" and "…" in words and len(words) > 30


def test_a_system_prompt_that_leaves_no_room_is_told():
    with pytest.raises(BadInput, match="instructions"):
        fit(count, "x " * 50, said("hello"), 20)


def test_what_several_people_say_in_a_row_is_one_message_that_names_them():
    turns = [
        Turn(False, "Hi", "Ada Byron"),
        Turn(False, "Hello", "Ben"),
        Turn(True, "Welcome"),
        Turn(False, "Ok", "Ben"),
    ]
    assert exchanges(turns) == [
        [{"role": "user", "content": "Ada: Hi\nBen: Hello"}, {"role": "assistant", "content": "Welcome"}],
        [{"role": "user", "content": "Ben: Ok"}],
    ]


def test_an_answer_that_lost_its_question_is_left_out():
    assert exchanges(said("a", "b", "c")[1:]) == [[{"role": "user", "content": "c"}]]


def test_nothing_to_answer_is_an_error():
    with pytest.raises(BadInput):
        fit(count, "be kind", said("a", "b"), 50)
    with pytest.raises(BadInput):
        fit(count, "be kind", [], 50)


def test_what_was_overheard_gives_way_to_the_question_which_stays_whole():
    turns = [Turn(True, "old"), *(Turn(False, f"said {at}", "Ben") for at in range(50)), Turn(False, "And you?", "Ada")]
    fitted = fit(count, "be kind", turns, 12)
    assert not fitted.shortened and fitted.tokens <= 12
    assert contents(fitted)[-1].splitlines() == ["Ben: said 48", "Ben: said 49", "Ada: And you?"]
