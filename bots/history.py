"""What the model is given of a conversation: as much as fits its context window, by tokens.

The oldest whole exchanges go first, then what others said just before the question, the system prompt never. When
not even the newest message fits, its middle is left out and the caller is told, so that the person can be told. Knows
neither database nor engine.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass

from config.errors import BadInput
from serving.prompt import Message, with_system
from serving.speaker import spoken_by

GAP = " … "


@dataclass(frozen=True, slots=True)
class Turn:
    """One thing said. `speaker` is named to the model where several people talk; None in private."""

    assistant: bool
    text: str
    speaker: str | None = None


@dataclass(frozen=True, slots=True)
class Fitted:
    """Messages that fit. `tokens` of the prompt; `forgotten` exchanges left out; `shortened`: the newest was cut."""

    messages: list[Message]
    tokens: int
    forgotten: int
    shortened: bool


def exchanges(turns: Iterable[Turn]) -> list[list[Message]]:
    """Turns as whole exchanges: what was asked, then the answer. What several people said in a row is one message,
    because templates want turns to alternate; an answer without its question is left out."""
    found: list[list[Message]] = []
    for turn in turns:
        if not turn.text:
            continue
        if turn.assistant:
            if found and found[-1][-1]["role"] == "user":
                found[-1].append({"role": "assistant", "content": turn.text})
            continue
        text = turn.text if turn.speaker is None else spoken_by(turn.speaker, turn.text)
        if found and found[-1][-1]["role"] == "user":
            found[-1][-1] = {"role": "user", "content": found[-1][-1]["content"] + "\n" + text}
        else:
            found.append([{"role": "user", "content": text}])
    return found


def fit(count: Callable[[Sequence[Message]], int], system_prompt: str, turns: Sequence[Turn], room: int) -> Fitted:
    """As many of the newest exchanges as fit into `room` tokens, `count` being the tokenizer's.

    The last turn is the one to be answered. Raises BadInput where there is none, or where the system prompt alone
    leaves no room for a message.
    """
    spoken = exchanges(turns)
    if not spoken or spoken[-1][-1]["role"] != "user":
        raise BadInput("There is nothing to answer; write something first.")

    def prompt(start: int) -> list[Message]:
        return with_system(system_prompt, [message for exchange in spoken[start:] for message in exchange])

    newest = len(spoken) - 1
    low, high = 0, newest  # the first exchange that is kept; fewer tokens the later it is
    while low < high:
        middle = (low + high) // 2
        if count(prompt(middle)) <= room:
            high = middle
        else:
            low = middle + 1
    tokens = count(prompt(low))
    if tokens <= room:
        return Fitted(prompt(low), tokens, low, False)
    return _newest(count, system_prompt, _last_run(turns), room, newest)


def _last_run(turns: Sequence[Turn]) -> list[str]:
    """What was said since the last answer, the question last; more than that only where others were overheard."""
    run: list[str] = []
    for turn in reversed(turns):
        if turn.assistant and turn.text:
            break
        if turn.text:
            run.append(turn.text if turn.speaker is None else spoken_by(turn.speaker, turn.text))
    return run[::-1]


def _newest(
    count: Callable[[Sequence[Message]], int], system_prompt: str, run: list[str], room: int, forgotten: int
) -> Fitted:
    """The question, with as much of what was said just before it as fits."""

    def prompt(start: int) -> list[Message]:
        return with_system(system_prompt, [{"role": "user", "content": "\n".join(run[start:])}])

    low, high = 0, len(run) - 1
    while low < high:
        middle = (low + high) // 2
        if count(prompt(middle)) <= room:
            high = middle
        else:
            low = middle + 1
    tokens = count(prompt(low))
    if tokens <= room:
        return Fitted(prompt(low), tokens, forgotten, False)
    return _shorten(count, system_prompt, run[-1], room, forgotten)


def _shorten(
    count: Callable[[Sequence[Message]], int], system_prompt: str, text: str, room: int, forgotten: int
) -> Fitted:
    def prompt(kept: int) -> list[Message]:
        tail = kept // 3
        shown = text[: kept - tail] + GAP + text[len(text) - tail :] if tail else text[:kept] + GAP
        return with_system(system_prompt, [{"role": "user", "content": shown}])

    low, high = 0, len(text)
    while low < high:
        middle = (low + high + 1) // 2
        if count(prompt(middle)) <= room:
            low = middle
        else:
            high = middle - 1
    if low == 0:
        raise BadInput("This assistant's instructions leave no room for a message; ask its operator to shorten them.")
    return Fitted(prompt(low), count(prompt(low)), forgotten, True)
