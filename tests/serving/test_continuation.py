"""An answer whose engine breaks off in the middle goes on where it was: one answer, once; or ends as it is."""

from __future__ import annotations

import asyncio
from contextlib import aclosing
from typing import Any

import pytest
from fake_engine import words
from gateway_running import ToldEngine
from waiting import until

from config.catalogue import DEMO_FOLDER
from config.errors import BadInput, EngineUnavailable, NotFound, ParlanceError, Refused
from config.names import VersionName
from serving.answer import Finished, Piece, Sampling
from serving.continuation import Continued
from serving.entrance import GOES_ON, Entrance
from serving.prompt import ChatTokenizer, Message

HARBOUR = VersionName("harbour", 2)
HELLO: list[Message] = [{"role": "user", "content": "Hello"}]
GONE = EngineUnavailable("The engine broke off in the middle of the answer; ask again.")


class Asked:
    """Somebody who asks `engine` once. What came, in order, and the sentences told meanwhile."""

    def __init__(self, engine: ToldEngine, longest: int = 10, **how: Any) -> None:
        self.entrance = Entrance(engine, 2, tokenizer=words)
        self.told: list[str] = []
        self.came: list[Piece | Finished] = []
        self.stream = self.entrance.stream(
            HARBOUR, HELLO, Sampling(longest, 0.5, seed=3), assistant="harbour", person="ada",
            **{"told": self.told.append} | how,
        )  # fmt: skip

    async def all(self) -> Finished:
        async with aclosing(self.stream) as events:
            async for event in events:
                self.came.append(event)
        last = self.came[-1]
        assert isinstance(last, Finished)
        return last

    @property
    def text(self) -> str:
        return "".join(event.text for event in self.came if isinstance(event, Piece))


async def test_the_rest_is_asked_for_with_what_was_said_and_both_are_one_answer() -> None:
    engine = ToldEngine(script=[["It", " begins here", GONE], [" and", " ends."]])
    asked = Asked(engine)
    finished = await asked.all()
    assert asked.text == finished.text == "It begins here and ends."
    assert [version for version, _ in engine.requests] == [HARBOUR, HARBOUR]
    assert engine.requests[1][1] == [*HELLO, {"role": "assistant", "content": "It begins here"}]
    first, rest = (sampling.body() for sampling in engine.samplings)
    assert rest == first | {"max_tokens": 7, "continue_final_message": True, "add_generation_prompt": False}
    # The fake counts 7 of the prompt, of which 3 are the answer's own, and 2 of the rest.
    assert (finished.finish_reason, finished.prompt_tokens, finished.answer_tokens) == ("stop", 4, 5)
    assert 0 < finished.seconds_to_first < finished.seconds
    assert asked.told == [GOES_ON] and asked.entrance.line.taken == 0


async def test_it_waits_for_the_engine_and_keeps_its_place_meanwhile() -> None:
    engine = ToldEngine(script=[["It begins", GONE], [" and ends."]])
    asked = Asked(engine)
    engine.be("ready", "The engine is ready.")
    assert await anext(asked.stream) == Piece("It begins")
    engine.be("restarting", "The engine is being started again.")
    going_on = asyncio.create_task(asked.all())
    await until(lambda: asked.told)
    await asyncio.sleep(0.05)
    assert len(engine.requests) == 1 and asked.entrance.line.taken == 1 and not going_on.done()
    engine.be("ready", "The engine is ready.")
    assert (await going_on).text == "It begins and ends."
    assert asked.told == [GOES_ON]


async def test_a_break_before_the_first_word_is_no_continuation_and_is_all_that_is_made_good() -> None:
    engine = ToldEngine(script=[[GONE], ["It begins", GONE], [" and ends."]])
    asked = Asked(engine)
    with pytest.raises(EngineUnavailable, match="broke off"):
        await asked.all()
    assert asked.text == "It begins" and len(engine.requests) == 2 and asked.told == []
    assert not any(sampling.continues for sampling in engine.samplings)


@pytest.mark.parametrize(
    "why",
    [
        EngineUnavailable("It is gone again."), NotFound("Its files are gone."), Refused("It cannot be loaded."),
        BadInput("It is too long."),
    ],
)  # fmt: skip
@pytest.mark.parametrize("more", [[], [" and more"]])
async def test_whatever_becomes_of_the_rest_it_ends_as_broken_off(why: ParlanceError, more: list[str]) -> None:
    engine = ToldEngine(script=[["It begins", GONE], [*more, why], ["Never asked."]])
    asked = Asked(engine)
    with pytest.raises(EngineUnavailable, match="broke off"):
        await asked.all()
    assert asked.text == "It begins" + "".join(more)
    assert len(engine.requests) == 2 and asked.entrance.line.taken == 0


async def test_an_answer_that_may_be_no_longer_ends_as_it_is() -> None:
    engine = ToldEngine(script=[["It begins here", GONE], ["Never asked."]])
    asked = Asked(engine, longest=3)
    with pytest.raises(EngineUnavailable, match="broke off"):
        await asked.all()
    assert len(engine.requests) == 1 and asked.told == []


async def test_whoever_leaves_while_it_waits_frees_the_place_and_nothing_more_is_asked() -> None:
    engine = ToldEngine(script=[["It begins", GONE], ["Never asked."]])
    asked = Asked(engine)
    await anext(asked.stream)
    engine.be("restarting", "The engine is being started again.")
    waiting = asyncio.create_task(asked.all())
    await until(lambda: asked.told)
    waiting.cancel()
    await asyncio.gather(waiting, return_exceptions=True)
    assert asked.entrance.line.taken == 0
    engine.be("ready", "The engine is ready.")
    await asyncio.sleep(0.05)
    assert len(engine.requests) == 1


@pytest.mark.parametrize(("state", "patience"), [("failed", None), ("restarting", 0.2)])
async def test_an_engine_that_does_not_come_back_in_time_leaves_it_as_it_is(state: str, patience: float | None) -> None:
    engine = ToldEngine(script=[["It begins", GONE], ["Never asked."]])
    asked = Asked(engine, patience=patience)
    await anext(asked.stream)
    engine.be(state, "The engine is away.")
    with pytest.raises(EngineUnavailable, match="broke off"):
        await asked.all()
    assert asked.told == [GOES_ON] and len(engine.requests) == 1 and asked.entrance.line.taken == 0


async def test_patience_is_for_waiting_and_not_for_what_is_being_said() -> None:
    said = asyncio.Event()
    engine = ToldEngine(script=[["It begins", said, GONE], [" and ends."]])
    asked = Asked(engine, patience=1.0)
    await anext(asked.stream)
    going_on = asyncio.create_task(asked.all())
    await asyncio.sleep(1.1)
    engine.be("restarting", "The engine is being started again.")
    said.set()
    await until(lambda: asked.told)
    engine.be("ready", "The engine is ready.")
    assert (await going_on).text == "It begins and ends."


async def test_what_is_given_at_once_is_asked_for_anew() -> None:
    engine = ToldEngine(script=[["It begins", GONE], ["It", " ends."]])
    asked = Asked(engine, at_once=True)
    assert (await asked.all()).text == asked.text == "It ends."
    assert engine.requests[0] == engine.requests[1] and asked.told == []


async def test_what_was_said_cannot_end_its_own_turn() -> None:
    engine = ToldEngine(script=[["It <|end|>begins", GONE], [" and ends."]])
    asked = Asked(engine)
    assert (await asked.all()).text == "It <|end|>begins and ends."
    assert engine.requests[1][1][-1]["content"] == "It begins"


async def test_nothing_but_space_is_no_beginning() -> None:
    engine = ToldEngine(script=[["\n", GONE], ["\n", "Hello", " there."]])
    asked = Asked(engine)
    assert (await asked.all()).text == asked.text == "\nHello there."
    assert engine.requests[0] == engine.requests[1] and engine.samplings[0] == engine.samplings[1]


SEAMS = [
    (["So", " far"], [" and", " on"], "So far and on"),
    (["So fa"], ["r and on"], "So far and on"),
    (["So far "], [" and on"], "So far and on"),
    (["So far "], ["and on"], "So far and on"),
    (["One:\n"], ["\n", "- two"], "One:\n- two"),
    (["One:\n"], ["\n", "\n", "- two"], "One:\n\n- two"),
    (["One.\n\n"], ["\n\nTwo"], "One.\n\nTwo"),
    (["One.\n\n"], ["\nTwo"], "One.\n\nTwo"),
    (["One."], ["\n\n", "Two"], "One.\n\nTwo"),
    (["So far "], [" "], "So far "),
    (["So far."], [], "So far."),
]


@pytest.mark.parametrize(("said", "rest", "whole"), SEAMS)
async def test_no_space_is_lost_or_doubled_at_the_seam(said: list[str], rest: list[str], whole: str) -> None:
    engine = ToldEngine(script=[[*said, GONE], rest])
    asked = Asked(engine)
    assert (await asked.all()).text == asked.text == whole
    content = engine.requests[1][1][-1]["content"]
    assert content == content.rstrip()  # templates differ in what they make of space at the end


async def test_the_prompt_and_the_answer_take_no_more_than_they_would_have() -> None:
    """By the tokens of the real model: a gateway's prompt and answer may fill the context to the last one."""
    tokenizer = ChatTokenizer(str(DEMO_FOLDER))
    answer = Continued(HELLO, Sampling(100))
    for piece in ("Where", " are you", " going? I", "'m no", "t sure.  "):
        answer.joined(Piece(piece))
    assert answer.go_on(tokenizer, GONE)
    open_ended = [*tokenizer.prompt_ids(HELLO), *tokenizer.text_ids("Where are you going? I'm not sure.")]
    rendered = tokenizer.render(answer.messages).ids
    assert rendered[: len(open_ended)] == open_ended
    assert len(open_ended) + answer.sampling.max_tokens == tokenizer.count(HELLO) + 100
