"""Engines that do without one of the things that Parlance does otherwise than vLLM, to measure what it is worth."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from serving import engine


@contextmanager
def engines_without(*variables: str) -> Iterator[None]:
    """Engines that start meanwhile lack these of their environment."""
    made = engine.environment

    def environment(*given: Any) -> dict[str, str]:
        return {name: value for name, value in made(*given).items() if name not in variables}

    engine.environment = environment  # type: ignore[assignment]
    try:
        yield
    finally:
        engine.environment = made
