"""/compare: the version in service and the one that might replace it answer the same question, side by side.

Which is which is hidden behind A and B, in random order, until an operator has chosen; then the names are shown, with
how often each was preferred so far. Both answers come beside the channel's line, so talk goes on meanwhile, and are no
part of the conversation. What was shown lies in the database, so the buttons work after a restart. Where the version in
service cannot be loaded, its assistant falls back as in any chat, and the last good one is compared.
"""

from __future__ import annotations

import asyncio
import random
from dataclasses import dataclass, field
from typing import cast

from bots.call import Call
from bots.events import Button, Card, Notice, Sample
from bots.history import Turn, fit
from bots.report_card import called
from bots.stopping import Stopped
from bots.votes import number
from config.errors import BadInput, EngineUnavailable, NotFound, ParlanceError, Refused
from config.names import VersionName
from serving.answer import Piece, Sampling
from serving.entrance import as_soon_as_ready
from serving.fallback import trouble_of, with_last_good
from serving.prompt import Message
from store.comparisons import Choice, Tally, choose, find_comparison, tally
from store.tables import Assistant, Comparison
from tuning.contest import Contest, Side, contest

SHOWN_EVERY = 1.0
"""Seconds between two looks at answers that are under way."""
NAMES = ("A", "B")
NO_WORDS = "(no words)"
NOT_HERE = "That button belongs to a comparison that I don’t find here."
CHOSEN = "That one is decided already; /compare makes another."


@dataclass(slots=True)
class _Answer:
    """One side's answer as it grows."""

    side: Side
    pieces: list[str] = field(default_factory=list)

    @property
    def text(self) -> str:
        return "".join(self.pieces).strip()


class _Unloadable(Exception):
    """The engine cannot load the version of `side`; `why` is its word."""

    def __init__(self, side: Side, why: ParlanceError) -> None:
        super().__init__(str(why))
        self.side = side
        self.why = why


async def run(call: Call) -> None:
    """`/compare QUESTION`; without a question, one that the candidate was measured with."""
    assistant = (await call.routed()).assistant.name

    async def find() -> tuple[VersionName, Contest]:
        found = await contest(call.database, assistant)
        return found.serving.name, found

    comparing = _Comparing(call)
    try:
        with call.line.beside(call.stop):
            await with_last_good(call.database, find, comparing.answer)
    except BaseException as error:
        await comparing.forget()
        if not isinstance(error, Stopped):
            raise
        call.show(Card(comparing.key, "The comparison was stopped", ("/compare makes another.",)))
        return
    await comparing.finish()


async def prefer(call: Call) -> None:
    """`/prefer a|b|none ID`: keeps the choice, and shows which version was which."""
    comparison_id = number(call.words[1]) if len(call.words) == 2 else None
    choice = call.word if call.word in ("a", "b", "none") else None
    if comparison_id is None or choice is None:
        call.whisper(NOT_HERE)
        return
    async with call.database.session() as session:
        row = await find_comparison(session, call.channel.id, comparison_id)
        if row is None:
            call.whisper(NOT_HERE)
            return
        first_to_choose = await choose(session, row.id, cast("Choice", choice), call.incoming.person)
        await session.refresh(row)
        counts = await tally(session, row.assistant_id, row.first, row.second)
        serving = (await session.get_one(Assistant, row.assistant_id)).in_service
    if not first_to_choose:
        call.whisper(CHOSEN)
    call.show(_chosen_card(row, counts, serving))


def _measured_question(found: Contest) -> str:
    samples = found.candidate.report.get("samples") or found.serving.report.get("samples") or []
    questions = [str(sample["question"]) for sample in samples]
    if not questions:
        raise BadInput("Write a question after it, like this: /compare When do you open?")
    return random.choice(questions)  # noqa: S311


class _Comparing:
    """One comparison until it is decided upon; of its rows and cards there is one, whichever versions answer."""

    def __init__(self, call: Call) -> None:
        self._call = call
        self._row: int | None = None
        self._question = ""
        self._answers: list[_Answer] = []

    @property
    def key(self) -> str:
        return f"compare-{self._row}"

    async def answer(self, found: Contest) -> None:
        """Have both sides say something. Raises what the engine says of the version in service (NotFound, Refused),
        BadInput where it cannot load the other one, and what `_answer_both` raises."""
        self._question = self._question or self._call.text or _measured_question(found)
        self._answers = [_Answer(found.serving), _Answer(found.candidate)]
        random.shuffle(self._answers)
        first, second = (str(answer.side.name) for answer in self._answers)
        async with self._call.database.session() as session:
            if self._row is None:
                row = Comparison(
                    channel_id=self._call.channel.id, assistant_id=found.assistant_id,
                    asked_by=self._call.incoming.person, question=self._question, first=first, second=second,
                )  # fmt: skip
                session.add(row)
                await session.flush()
                self._row = row.id
            else:
                row = await session.get_one(Comparison, self._row)
                row.first, row.second = first, second
        try:
            await _answer_both(self._call, self.key, self._question, self._answers)
        except _Unloadable as unloadable:
            if unloadable.side is found.serving:
                raise unloadable.why from None
            raise _left_out(found.candidate.name, unloadable.why) from None

    async def finish(self) -> None:
        """Keep what was said, and let an operator choose."""
        async with self._call.database.session() as session:
            row = await session.get_one(Comparison, self._row)
            row.first_answer, row.second_answer = (answer.text or NO_WORDS for answer in self._answers)
        self._call.show(_open_card(row))

    async def forget(self) -> None:
        """Keep nothing of it."""
        if self._row is not None:
            async with self._call.database.session() as session:
                await session.delete(await session.get_one(Comparison, self._row))


def _left_out(candidate: VersionName, why: ParlanceError) -> BadInput:
    """For a version that nobody is answered by, so that there is nothing to fall back from."""
    return BadInput(
        f"{candidate} cannot be loaded: {trouble_of(why)}; put its files back from a backup, or have it left out "
        f"with /reject {candidate.number}."
    )


async def _answer_both(call: Call, key: str, question: str, answers: list[_Answer]) -> None:
    """Until both are said. Raises Stopped, EngineUnavailable, Busy, _Unloadable; the other one is cancelled then."""
    if call.engine.status.state != "ready":
        call.show(Notice(as_soon_as_ready(call.engine.status.sentence), passing=True))
        await call.stop.unless(call.engine.wait_ready())
    tokenizer = await call.tokenizer()
    longest = min(call.settings.max_answer_tokens, call.engine.client.context // 2)
    turns = [Turn(False, tokenizer.without_control(question))]
    room = call.engine.client.context - longest
    fitted = [
        await asyncio.to_thread(fit, tokenizer.count, answer.side.system_prompt, turns, room) for answer in answers
    ]
    saying = [
        asyncio.create_task(_say(call, answer, one.messages, longest))
        for answer, one in zip(answers, fitted, strict=True)
    ]
    try:
        waiting: set[asyncio.Task[None]] = set(saying)
        while waiting:
            call.show(_growing_card(key, question, answers))
            done, waiting = await asyncio.wait(waiting, timeout=SHOWN_EVERY)
            for task in done:
                task.result()
    finally:
        for task in saying:
            task.cancel()
        await asyncio.gather(*saying, return_exceptions=True)


async def _say(call: Call, answer: _Answer, messages: list[Message], longest: int) -> None:
    sampling = Sampling(
        max_tokens=longest, temperature=call.settings.temperature, repetition_penalty=call.settings.repetition_penalty
    )
    finished = False
    pieces = call.entrance.stream(
        answer.side.name, messages, sampling, assistant=answer.side.name.assistant, person=call.incoming.person
    )
    try:
        async for piece in call.stop.through(pieces):
            if isinstance(piece, Piece):
                answer.pieces.append(piece.text)
            else:
                finished = True
    except (NotFound, Refused) as why:
        raise _Unloadable(answer.side, why) from why
    if not finished:
        raise EngineUnavailable("The engine broke off before both answers were complete; please try /compare again.")


def _growing_card(key: str, question: str, answers: list[_Answer]) -> Card:
    said = tuple((name, answer.text or "…") for name, answer in zip(NAMES, answers, strict=True))
    return Card(
        key, "Two versions are answering", samples=(Sample(question, said),), buttons=(Button("Stop", "/stop"),)
    )


def _open_card(row: Comparison) -> Card:
    said = tuple(zip(NAMES, (row.first_answer, row.second_answer), strict=True))
    buttons = (
        Button("A is better", f"/prefer a {row.id}"),
        Button("B is better", f"/prefer b {row.id}"),
        Button("No difference", f"/prefer none {row.id}", "quiet"),
    )
    lines = ("One is what answers now, the other what might replace it. You see which once you have chosen.",)
    return Card(f"compare-{row.id}", "Which answer is better?", lines, samples=(Sample(row.question, said),),
                buttons=buttons)  # fmt: skip


def _chosen_card(row: Comparison, counts: Tally, serving: int | None) -> Card:
    first, second = (VersionName.parse(name) for name in (row.first, row.second))
    winner = {"a": first, "b": second}.get(row.choice or "")
    title = f"{_capital(called(winner))} was preferred" if winner else "No difference was found"
    said = (
        (f"A, {called(first)}", row.first_answer),
        (f"B, {called(second)}", row.second_answer),
    )
    buttons = [Button("Compare once more", "/compare")]
    if winner is not None and winner.number not in (0, serving):
        buttons.insert(0, Button(f"Put {winner} into service", f"/promote {winner.number}"))
    return Card(f"compare-{row.id}", title, _so_far(first, second, counts), tone="good" if winner else "plain",
                samples=(Sample(row.question, said),), buttons=tuple(buttons))  # fmt: skip


def _so_far(first: VersionName, second: VersionName, counts: Tally) -> tuple[str, ...]:
    if counts.total < 2:
        return ("One choice says little; compare a few more questions before you decide.",)
    won = sorted(((counts.first, called(first)), (counts.second, called(second))), key=lambda side: -side[0])
    neither = f"; no difference {_times(counts.neither)}" if counts.neither else ""
    return (f"So far: {won[0][1]} was preferred {_times(won[0][0])}, {won[1][1]} {_times(won[1][0])}{neither}.",)


def _times(count: int) -> str:
    return {0: "never", 1: "once", 2: "twice"}.get(count, f"{count} times")


def _capital(text: str) -> str:
    return f"T{text[1:]}" if text.startswith("the ") else text
