"""A few of many, each as likely as any other and the same ones on every run. Kept in memory alone."""

from __future__ import annotations

import random
from typing import Generic, TypeVar

Item = TypeVar("Item")


class Samples(Generic[Item]):
    """At most `size` of what is offered (Vitter 1985, algorithm R)."""

    def __init__(self, size: int) -> None:
        self.kept: list[Item] = []
        self._size = size
        self._offered = 0
        self._chance = random.Random(1)  # noqa: S311 - nothing secret

    def offer(self, item: Item) -> None:
        """Perhaps keep it, perhaps in the place of another."""
        self._offered += 1
        if len(self.kept) < self._size:
            self.kept.append(item)
            return
        place = self._chance.randrange(self._offered)
        if place < self._size:
            self.kept[place] = item
