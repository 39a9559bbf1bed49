"""Conversations of curation's files made ready for a model: control tokens out, system prompt first, cut to the window.

The one place where that happens, so that the trainer learns, and the gate measures, the very same tokens. Knows the
files and the tokenizer; knows neither models nor the engine.
"""

from __future__ import annotations

from collections.abc import Container, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import cast

from serving.prompt import ChatTokenizer, Message, Rendered, with_system
from tuning.training.run import stream_lines


@dataclass(frozen=True, slots=True)
class Exchange:
    """A conversation, system prompt included; `rendered` says which of its tokens are learnt."""

    messages: list[Message]
    rendered: Rendered


def exchange(
    messages: Sequence[Message], learn_from: int, tokenizer: ChatTokenizer, system_prompt: str, context: int
) -> Exchange:
    """One conversation cut to `context` tokens if it can be: its oldest turns go first, its system prompt never.

    `learn_from` counts in `messages`, before the system prompt is added. A last pair of turns may still be longer.
    """
    kept: list[Message] = [
        {"role": message["role"], "content": tokenizer.without_control(message["content"])} for message in messages
    ]
    while True:
        whole = with_system(system_prompt, kept)
        rendered = tokenizer.render(whole, learn_from + len(whole) - len(kept))
        own_system = bool(kept) and kept[0]["role"] == "system"
        if len(rendered.ids) <= context or len(kept) <= 2 + own_system:
            return Exchange(whole, rendered)
        # Turns go in pairs, so that what is left begins with a person, as some templates demand.
        kept = kept[:own_system] + kept[own_system + 2 :]
        learn_from = max(0, learn_from - 2)


def read_exchanges(
    file: Path, tokenizer: ChatTokenizer, system_prompt: str, context: int, places: Container[int] | None = None
) -> list[Exchange]:
    """All conversations of a .jsonl file, in its order, or only those at `places`. Raises BadInput for a line that is
    none."""
    return [
        exchange(
            cast("list[Message]", line["messages"]), cast("int", line.get("learn_from", 0)), tokenizer, system_prompt,
            context,
        )
        for line in stream_lines(file, places)
    ]  # fmt: skip


def servable(exchanges: Sequence[Exchange], context: int) -> list[Exchange]:
    """Those that an engine with a window of `context` tokens can score: it wants room for one token more."""
    return [one for one in exchanges if _fits(one, context)]


def servable_in_both(
    first: Sequence[Exchange], second: Sequence[Exchange], context: int
) -> tuple[list[Exchange], list[Exchange]]:
    """Of the same conversations with two system prompts, those that can be scored with either."""
    pairs = [pair for pair in zip(first, second, strict=True) if _fits(pair[0], context) and _fits(pair[1], context)]
    return [one for one, _ in pairs], [other for _, other in pairs]


def _fits(one: Exchange, context: int) -> bool:
    return 2 <= len(one.rendered.ids) < context and any(one.rendered.learnt)
