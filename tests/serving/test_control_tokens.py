"""Control tokens are taken out of what people write, however it was made to keep them."""

from __future__ import annotations

import random
import re
import time

from serving.control_tokens import ControlTokens

REAL = ("<s>", "</s>", "<|end|>", "<|im_end|>", "<|im_start|>")


def over_and_over(tokens: tuple[str, ...], text: str) -> str:
    """What is meant: taken out, until a look finds no more."""
    pattern = re.compile("|".join(re.escape(token) for token in sorted(tokens, key=len, reverse=True)))
    while pattern.search(text):
        text = pattern.sub("", text)
    return text


def test_it_is_as_if_they_were_taken_out_over_and_over() -> None:
    control, chance = ControlTokens(REAL), random.Random(1)
    parts = [*REAL, *(token[:at] for token in REAL for at in range(1, len(token)))]
    parts += [token[at:] for token in REAL for at in range(1, len(token))]
    found = 0
    for _ in range(20_000):
        text = "".join(chance.choices(parts, k=chance.randrange(1, 9)))
        nested = text
        for _ in range(chance.randrange(4)):
            token, at = chance.choice(REAL), chance.randrange(len(nested) + 1)
            cut = chance.randrange(1, len(token))
            nested = nested[:at] + token[:cut] + nested[at : at + 9] + token[cut:] + nested[at + 9 :]
        assert control.taken_out(nested) == over_and_over(REAL, nested), nested
        found += control.taken_out(nested) != nested
    assert found > 5000


def test_none_is_left_of_tokens_that_begin_within_one_another() -> None:
    chance = random.Random(2)
    for _ in range(20_000):
        tokens = ["".join(chance.choices("ab<>", k=chance.randrange(1, 5))) for _ in range(3)]
        text = "".join(chance.choices("ab<>", k=30))
        left = ControlTokens(tokens).taken_out(text)
        assert not any(token in left for token in tokens), (tokens, text)


def test_a_text_that_is_nested_a_million_times_takes_no_longer_than_one_that_is_not() -> None:
    control, many = ControlTokens(REAL), 300_000
    began = time.perf_counter()
    for nested in ("<|en" * many + "<|end|>" + "d|>" * many, "x<|end|>" * many, "<" * many + "<s>" * many):
        assert "<|end|>" not in control.taken_out(nested)
    # Level by level it would be an hour.
    assert time.perf_counter() - began < 60


def test_a_model_without_control_tokens_takes_nothing_out() -> None:
    for none in ((), ("",)):
        assert ControlTokens(none).taken_out("<|end|>") == "<|end|>"
