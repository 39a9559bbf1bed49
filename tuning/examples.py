"""From a conversation to what a model learns from: chat messages from the speaker's view, or from everybody's in turn.

The speakers are the assistant, everybody else the user; where the whole community's voice is learnt, whoever answers is
the assistant at that moment. Forwarded messages of a speaker are not the speaker's words and are left out. Every answer
is learnt exactly once, however a long conversation is cut. The system prompt is no
part of it: whoever renders adds it. Knows no files and no tokens.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass

from serving.speaker import spoken_by
from tuning.conversations import ChatMessage

WINDOW_TURNS = 12
CONTEXT_TURNS = 4
"""Turns of a window that were learnt in the window before and are there to be understood by; even, so that a window
begins with the user."""


@dataclass(frozen=True, slots=True)
class Example:
    """`messages`: {"role", "content"}, user first, assistant last. Assistant turns from index `learn_from` on are
    learnt. `at`: Unix seconds of the last message; `message_ids`: rows in the store that it is made of."""

    messages: tuple[dict[str, str], ...]
    learn_from: int
    at: int
    message_ids: tuple[int, ...]


@dataclass(slots=True)
class _Turn:
    role: str
    texts: list[str]
    ids: list[int]
    at: int


def examples_of(messages: Sequence[ChatMessage], speakers: Collection[int]) -> list[Example]:
    """The examples in one conversation, `speakers` authors' rows; none where they answer nobody."""
    others = {message.author_id for message in messages if message.author_id not in speakers}
    turns: list[_Turn] = []
    for message in messages:
        spoken = message.author_id in speakers
        if spoken and (message.forwarded or not turns):
            continue
        role = "assistant" if spoken else "user"
        named = len(others) > 1 and not spoken
        text = spoken_by(message.author, message.text) if named else message.text
        if turns and turns[-1].role == role:
            turns[-1].texts.append(text)
            turns[-1].ids.append(message.id)
            turns[-1].at = message.sent_at
        else:
            turns.append(_Turn(role, [text], [message.id], message.sent_at))
    return _windows(turns)


def community_examples_of(messages: Sequence[ChatMessage]) -> list[Example]:
    """The examples in one conversation for the voice of all who talk in it: every turn but the first answers those
    before it. Two readings of it alternate between user and assistant, so that each turn is learnt in one of them. What
    answers a message that is not there begins anew."""
    return [
        example for talk in _unbroken(messages) for first in (0, 1) for example in _windows(_alternating(talk, first))
    ]


def _unbroken(messages: Sequence[ChatMessage]) -> list[list[list[ChatMessage]]]:
    """Stretches of turns, a turn being what one author says in a row, without a gap where an answered message went."""
    stretches: list[list[list[ChatMessage]]] = [[]]
    there: set[str] = set()
    for message in messages:
        if message.forwarded:
            continue
        if message.reply_to is not None and message.reply_to not in there and stretches[-1]:
            stretches.append([])
        there.add(message.external_id)
        turns = stretches[-1]
        if turns and turns[-1][-1].author_id == message.author_id:
            turns[-1].append(message)
        else:
            turns.append([message])
    return stretches


def _alternating(talk: Sequence[Sequence[ChatMessage]], first: int) -> list[_Turn]:
    """The turn after number `first` is the assistant's, then every other one; the one before `first` goes to the user's
    side with it, unless only two talk: then sides stay sides."""
    authors = {turn[0].author_id for turn in talk}
    heads = talk[: first + 1] if len(authors) > 2 else talk[first : first + 1]
    rest = talk[first + 1 :]
    others = {turn[0].author_id for turn in (*heads, *rest[1::2])}
    turns = [_turn("user", [message for turn in heads for message in turn], named=len(others) > 1)] if heads else []
    for number, turn in enumerate(rest):
        role = "user" if number % 2 else "assistant"
        turns.append(_turn(role, turn, named=role == "user" and len(others) > 1))
    return turns


def _turn(role: str, messages: Sequence[ChatMessage], *, named: bool) -> _Turn:
    texts = [spoken_by(message.author, message.text) if named else message.text for message in messages]
    return _Turn(role, texts, [message.id for message in messages], messages[-1].sent_at)


def _windows(turns: list[_Turn]) -> list[Example]:
    if turns and turns[-1].role == "user":
        turns.pop()
    return [_window(turns, start) for start in _starts(len(turns))]


def _starts(turns: int) -> list[int]:
    if not turns:
        return []
    starts, end = [0], WINDOW_TURNS
    while end < turns:
        starts.append(end - CONTEXT_TURNS)
        end = starts[-1] + WINDOW_TURNS
    return starts


def _window(turns: list[_Turn], start: int) -> Example:
    window = turns[start : start + WINDOW_TURNS]
    return Example(
        messages=tuple({"role": turn.role, "content": "\n".join(turn.texts)} for turn in window),
        learn_from=CONTEXT_TURNS if start else 0,
        at=window[-1].at,
        message_ids=tuple(number for turn in window for number in turn.ids),
    )
