"""The funnel: what came into each step from messages to examples, and what went out of it. Knows no step itself."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import TypeVar

Item = TypeVar("Item")


@dataclass(frozen=True, slots=True)
class Step:
    """One step, named in an operator's words. Both figures are counts, of what the step takes and what it gives."""

    name: str
    came_in: int
    went_out: int

    def to_json(self) -> dict[str, str | int]:
        """As scripts and reports have it: {"step", "in", "out"}."""
        return {"step": self.name, "in": self.came_in, "out": self.went_out}


class Counter:
    """Counts what passes. `into` and `out_of` wrap the streams before and after a step."""

    __slots__ = ("came_in", "name", "went_out")

    def __init__(self, name: str) -> None:
        self.name = name
        self.came_in = 0
        self.went_out = 0

    def into(self, items: Iterable[Item]) -> Iterator[Item]:
        """The same items, counted as they come in."""
        for item in items:
            self.came_in += 1
            yield item

    def out_of(self, items: Iterable[Item]) -> Iterator[Item]:
        """The same items, counted as they go out."""
        for item in items:
            self.went_out += 1
            yield item

    def step(self) -> Step:
        """What was counted so far."""
        return Step(self.name, self.came_in, self.went_out)


def funnel_to_json(funnel: Iterable[Step]) -> list[dict[str, str | int]]:
    """A whole funnel for scripts and reports."""
    return [step.to_json() for step in funnel]
