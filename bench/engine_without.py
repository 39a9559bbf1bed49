"""Engines that do without one of the things that Parlance does otherwise than vLLM, to measure what it is worth."""

from __future__ import annotations

from collections.abc import Collection, Iterator
from contextlib import contextmanager
from typing import Any

from serving import engine


@contextmanager
def engines_without(*variables: str, options: Collection[str] = ()) -> Iterator[None]:
    """Engines that start meanwhile lack these of their environment, and these options of their command, each of which
    has one value."""
    made, asked = engine.environment, engine.command_line

    def environment(*given: Any) -> dict[str, str]:
        return {name: value for name, value in made(*given).items() if name not in variables}

    def command_line(*given: Any) -> list[str]:
        command = asked(*given)
        for option in options:
            place = command.index(option)
            del command[place : place + 2]
        return command

    engine.environment, engine.command_line = environment, command_line  # type: ignore[assignment]
    try:
        yield
    finally:
        engine.environment, engine.command_line = made, asked
