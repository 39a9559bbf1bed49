"""From conversations to batches: rows of like length together, within a budget of tokens, in an order set by the seed.

Promises little padding, no work after a row's last learnt token, and the same plan for the same data and seed, so that
a resumed run goes on exactly where it stopped. Knows nothing of models.
"""

from __future__ import annotations

import hashlib
import random
from array import array
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import accumulate
from pathlib import Path

import torch

from serving.prompt import ChatTokenizer
from tuning.exchanges import Exchange, read_exchanges

LENGTH_JITTER = 0.15
"""Rows are sorted by length times a random factor of up to 1 plus this, so that batches differ between epochs."""


@dataclass(frozen=True, slots=True)
class Row:
    """One conversation as the decoder takes it: its token ids, and which of them are learnt (never the first)."""

    ids: Sequence[int]
    learnt: Sequence[int]
    """Places in `ids`, rising."""

    @property
    def width(self) -> int:
        """Tokens that have to be fed: all before the last learnt one."""
        return self.learnt[-1]


@dataclass(frozen=True, slots=True)
class Batch:
    """Rows side by side, padded on the right. `inputs` (rows, width); `places` and `targets` (learnt,)."""

    inputs: torch.Tensor
    places: torch.Tensor
    """Flat indices into `inputs` of the tokens whose successor is learnt."""
    targets: torch.Tensor
    """The learnt tokens, in the same order: row after row."""

    def to(self, device: torch.device) -> Batch:
        """The same on another device."""
        return Batch(self.inputs.to(device), self.places.to(device), self.targets.to(device))


@dataclass(frozen=True, slots=True)
class Step:
    """One optimizer step: which community rows, which replay rows, in which epoch (counted from 1)."""

    epoch: int
    rows: list[int]
    replay: list[int]


def read_rows(file: Path, tokenizer: ChatTokenizer, system_prompt: str, context: int) -> tuple[list[Row], int]:
    """Rows of a .jsonl file, and how many had nothing to learn within `context` tokens. Raises BadInput."""
    exchanges = read_exchanges(file, tokenizer, system_prompt, context)
    rows = [row for row in (row_of(one, context) for one in exchanges) if row is not None]
    return rows, len(exchanges) - len(rows)


def row_of(one: Exchange, context: int) -> Row | None:
    """The first `context` tokens of a conversation; None where nothing in them is learnt. Arrays, as a long log's rows
    are held all the while, and a list takes nine times the room."""
    learnt = array("i", (place for place, marked in enumerate(one.rendered.learnt[:context]) if marked and place > 0))
    return Row(array("i", one.rendered.ids[:context]), learnt) if learnt else None


def collate(rows: Sequence[Row]) -> Batch:
    """Rows side by side. Padding is token 0 and never looked at: it stands after everything that is learnt."""
    width = max(row.width for row in rows)
    inputs = torch.zeros((len(rows), width), dtype=torch.long)
    places: list[int] = []
    targets: list[int] = []
    for number, row in enumerate(rows):
        inputs[number, : row.width] = torch.tensor(row.ids[: row.width])
        places.extend(number * width + place - 1 for place in row.learnt)
        targets.extend(row.ids[place] for place in row.learnt)
    return Batch(inputs, torch.tensor(places), torch.tensor(targets))


def group(rows: Sequence[Row], budget: int, rng: random.Random | None = None) -> list[list[int]]:
    """Indices of `rows` in groups of like length, each at most `budget` tokens with padding (one row may exceed it).

    With `rng`, lengths are jittered and the groups shuffled; without, both stay in order of length.
    """

    def length(place: int) -> float:
        return rows[place].width * (1 + LENGTH_JITTER * rng.random() if rng else 1)

    keyed = sorted((length(place), place) for place in range(len(rows)))
    groups: list[list[int]] = []
    widest = 0
    for _, place in keyed:
        width = max(widest, rows[place].width)
        if groups and (len(groups[-1]) + 1) * width <= budget:
            groups[-1].append(place)
            widest = width
        else:
            groups.append([place])
            widest = rows[place].width
    if rng:
        rng.shuffle(groups)
    return groups


def parts(places: Sequence[int], count: int) -> list[Sequence[int]]:
    """The places in at most `count` parts of like size, in order; none that is empty."""
    size = -(-len(places) // count) or 1
    return [places[start : start + size] for start in range(0, len(places), size)]


def plan_steps(
    rows: Sequence[Row], replayed: Sequence[tuple[int, float]], *, budget: int, epochs: int, seed: int
) -> list[Step]:
    """Every step of a run. `replayed`: for each kind of replay rows how many there are, and the share of each step's
    rows that are of that kind, drawn in turn from shuffled passes; steps number them through, kind after kind."""
    decks = [_Deck(range(count), random.Random(f"replay {kind} {seed}")) for kind, (count, _) in enumerate(replayed)]  # noqa: S311
    firsts = list(accumulate((count for count, _ in replayed), initial=0))
    community = 1 - sum(share for _, share in replayed)
    owed = [0.0] * len(decks)
    steps: list[Step] = []
    for epoch in range(1, epochs + 1):
        for places in group(rows, budget, random.Random(f"{seed} {epoch}")):  # noqa: S311
            taken: list[int] = []
            for kind, (count, share) in enumerate(replayed):
                owed[kind] += len(places) * share / community if count else 0.0
                taken += [firsts[kind] + decks[kind].draw() for _ in range(int(owed[kind]))]
                owed[kind] %= 1
            steps.append(Step(epoch, places, taken))
    return steps


class _Deck:
    """Draws each of its places once before any of them again."""

    def __init__(self, places: range, rng: random.Random) -> None:
        self._places, self._rng = places, rng
        self._left: list[int] = []

    def draw(self) -> int:
        self._left = self._left or self._rng.sample(self._places, len(self._places))
        return self._left.pop()


def digest(*groups: Sequence[Row], marks: bytes = b"") -> str:
    """SHA-256 over token ids and learnt places, row by row, and over `marks`: the data as the model sees it."""
    total = hashlib.sha256()
    for rows in groups:
        total.update(f"{len(rows)} rows".encode())
        for row in rows:
            total.update(f"{len(row.ids)} {len(row.learnt)} ".encode())
            total.update(array("i", row.ids).tobytes() + array("i", row.learnt).tobytes())
    total.update(marks)
    return total.hexdigest()
