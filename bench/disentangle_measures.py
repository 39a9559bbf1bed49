"""How well reply links and conversations were found, as Kummerfeld et al. (ACL 2019, arXiv 1810.11118) measure it.

A link is a pair of messages, a message linked to itself one too. A conversation is what links connect; messages before
the first one judged connect, but are not counted. All in percent; the sums run over all logs together. Knows no file.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

Links = set[tuple[int, int]]
"""(message, what it answers), the second never after the first."""


@dataclass(frozen=True, slots=True)
class LinkScore:
    """Of single links."""

    precision: float
    recall: float
    f1: float


@dataclass(frozen=True, slots=True)
class ConversationScore:
    """`vi`: 100 less the variation of information, scaled by the logarithm of the messages. `exact_f1`: of
    conversations of two messages and more that are the same to the last message."""

    vi: float
    one_to_one: float
    exact_f1: float


def score_links(logs: Sequence[tuple[Links, Links]]) -> LinkScore:
    """Of (annotated, found) in each log."""
    right = sum(len(annotated & found) for annotated, found in logs)
    return _f1(right, sum(len(found) for _, found in logs), sum(len(annotated) for annotated, _ in logs))


def conversations(links: Links, judged: range) -> list[frozenset[int]]:
    """What the links connect, cut to the messages judged; a message without a link stands alone."""
    parent = {message: message for message in judged}

    def root(message: int) -> int:
        parent.setdefault(message, message)
        while parent[message] != message:
            parent[message] = message = parent[parent[message]]
        return message

    for message, answered in links:
        parent[root(message)] = root(answered)
    members: dict[int, set[int]] = {}
    for message in judged:
        members.setdefault(root(message), set()).add(message)
    return [frozenset(found) for found in members.values()]


def score_conversations(
    logs: Sequence[tuple[Sequence[frozenset[int]], Sequence[frozenset[int]]]],
) -> ConversationScore:
    """Of (annotated, found) conversations in each log, of the same messages both times."""
    total = sum(len(one) for annotated, _ in logs for one in annotated)
    information = overlap = 0.0
    right = many_annotated = many_found = 0
    for annotated, found in logs:
        shared = _shared(annotated, found)
        for (at, other), count in shared.items():
            # H(A|B) + H(B|A), each shared part's share of it
            sizes = len(annotated[at]) * len(found[other])
            information -= count / total * math.log2(count * count / sizes)
        overlap += _best_pairing(shared, len(annotated), len(found))
        several = {one for one in annotated if len(one) > 1}
        right += len(several.intersection(found))
        many_annotated += len(several)
        many_found += sum(len(one) > 1 for one in found)
    scale = math.log2(total) if total > 1 else 1.0
    exact = _f1(right, many_found, many_annotated)
    return ConversationScore(100 - 100 * information / scale, 100 * overlap / max(total, 1), exact.f1)


def _f1(right: int, found: int, annotated: int) -> LinkScore:
    precision = 100 * right / found if found else 0.0
    recall = 100 * right / annotated if annotated else 0.0
    return LinkScore(precision, recall, 2 * precision * recall / (precision + recall) if right else 0.0)


def _shared(annotated: Iterable[frozenset[int]], found: Iterable[frozenset[int]]) -> Counter[tuple[int, int]]:
    """How many messages each annotated conversation shares with each found one, by their numbers."""
    place = {message: number for number, one in enumerate(found) for message in one}
    return Counter((number, place[message]) for number, one in enumerate(annotated) for message in one)


def _best_pairing(shared: Counter[tuple[int, int]], rows: int, columns: int) -> float:
    """The most messages that a pairing of conversations one to one can share."""
    table = np.zeros((rows, columns))
    for place, count in shared.items():
        table[place] = count
    return assignment(table if rows <= columns else table.T)


def assignment(gain: npt.NDArray[np.float64]) -> float:
    """The greatest sum of one entry a row, no column twice; rows ≤ columns. By shortest augmenting paths (Kuhn 1955,
    in the O(n³) form with potentials)."""
    rows, columns = gain.shape
    cost = np.zeros((rows, columns + 1))
    cost[:, 1:] = -gain  # column 0 is where the row that seeks a place begins
    of_row, of_column = np.zeros(rows), np.zeros(columns + 1)
    taken = np.full(columns + 1, -1)
    for row in range(rows):
        taken[0] = row
        column, nearest, came = 0, np.full(columns + 1, np.inf), np.zeros(columns + 1, int)
        done = np.zeros(columns + 1, bool)
        while taken[column] >= 0:
            done[column] = True
            reduced = cost[taken[column]] - of_row[taken[column]] - of_column
            better = ~done & (reduced < nearest)
            nearest[better], came[better] = reduced[better], column
            closest = int(np.argmin(np.where(done, np.inf, nearest)))
            step = nearest[closest]
            of_row[taken[done]] += step
            of_column[done] -= step
            nearest[~done] -= step
            column = closest
        while column:
            taken[column] = taken[came[column]]
            column = came[column]
    return float(sum(gain[taken[column], column - 1] for column in range(1, columns + 1) if taken[column] >= 0))
