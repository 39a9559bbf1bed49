"""What can never fit is known before it is tokenized, and never said of what fits."""

from __future__ import annotations

import json
import random
import time
from typing import Any

import pytest
from tokenizers import Tokenizer

from config.catalogue import DEMO_FOLDER
from serving.least_tokens import LeastTokens
from serving.prompt import ChatTokenizer, Message

MADE = (DEMO_FOLDER / "tokenizer.json").read_text()
TOKENS = list(json.loads(MADE)["model"]["vocab"])


def backend(**changed: Any) -> Tokenizer:
    return Tokenizer.from_str(json.dumps(json.loads(MADE) | changed))


def texts() -> list[str]:
    chance = random.Random(3)
    words = [token.replace("Ġ", " ") for token in TOKENS]
    letters = "ae  \n\t<|end|>0189éこ🚢e\u0301\u1100\u1161\u11a8"
    some = ["", "<|end|>", "word " * 300, "e\u0301" * 200, "\u1100\u1161\u11a8" * 200, " " * 500]
    some += ["".join(chance.choices(words, k=chance.randrange(200))) for _ in range(300)]
    some += ["".join(chance.choices(letters, k=chance.randrange(200))) for _ in range(300)]
    longest = sorted(words, key=len)[-40:]  # where the bound is as high as it can be
    return some + ["".join(chance.choices(longest, k=50)) for _ in range(100)]


@pytest.mark.parametrize("normalizer", [None, {"type": "NFC"}])
def test_there_are_never_fewer_than_is_said(normalizer: Any) -> None:
    tokenizer = backend(normalizer=normalizer)
    least, near = LeastTokens(tokenizer), 0
    for text in texts():
        said, are = least.of(text), len(tokenizer.encode(text, add_special_tokens=False).ids)
        assert said <= are, text
        near += said * 4 > are > 0
    assert near > 200  # else it would be true of 0 as well


@pytest.mark.parametrize(
    "changed",
    [
        {"normalizer": {"type": "Strip", "strip_left": True, "strip_right": True}},
        {"pre_tokenizer": {"type": "Whitespace"}},
        {"pre_tokenizer": {"type": "Sequence", "pretokenizers": [
            {"type": "Split", "pattern": {"String": " "}, "behavior": "Removed", "invert": False},
            {"type": "ByteLevel", "add_prefix_space": False, "trim_offsets": True, "use_regex": True},
        ]}},
        {"added_tokens": [json.loads(MADE)["added_tokens"][0] | {"lstrip": True}]},
        {"model": json.loads(MADE)["model"] | {"vocab": {"a": 0, "b": 1}, "merges": []}},
    ],
)  # fmt: skip
def test_of_tokenizers_that_lose_something_nothing_is_said(changed: Any) -> None:
    assert LeastTokens(backend(**changed)).of("word " * 1000) == 0
    assert LeastTokens(None).of("word " * 1000) == 0


def test_what_fits_is_counted_and_what_cannot_is_not() -> None:
    tokenizer = ChatTokenizer(str(DEMO_FOLDER))
    for text in texts():
        said: list[Message] = [{"role": "user", "content": text}]
        counted = tokenizer.count(said)
        assert tokenizer.count(said, most=counted) == counted
        assert tokenizer.count(said, most=counted // 9) > counted // 9
    long: list[Message] = [{"role": "user", "content": "hello there, my friend " * 170_000}]
    began = time.perf_counter()
    assert tokenizer.count(long, most=1024) > 1024
    bounded = time.perf_counter() - began
    began = time.perf_counter()
    tokenizer.count(long)
    assert bounded < (time.perf_counter() - began) / 5  # some hundredth
