"""Queries on comparisons: two versions' answers to one question, which one was preferred, and how often so far."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, cast

from sqlalchemy import func, or_, select, update
from sqlalchemy.ext.asyncio import AsyncSession

from store.tables import Comparison

Choice = Literal["a", "b", "none"]


@dataclass(frozen=True, slots=True)
class Tally:
    """How often the `first` and the `second` of two versions were preferred, and how often neither."""

    first: int = 0
    second: int = 0
    neither: int = 0

    @property
    def total(self) -> int:
        return self.first + self.second + self.neither


async def find_comparison(session: AsyncSession, channel_id: int, comparison_id: int) -> Comparison | None:
    """One whose answers were shown in this channel; None for anything else."""
    found: Comparison | None = await session.scalar(
        select(Comparison).where(Comparison.id == comparison_id, Comparison.channel_id == channel_id)
    )
    return found if found is not None and (found.first_answer or found.second_answer) else None


async def choose(session: AsyncSession, comparison_id: int, choice: Choice, chosen_by: str) -> bool:
    """Keep the choice; False where somebody has chosen before: the names are out then, so the first one counts."""
    done = await session.execute(
        update(Comparison)
        .where(Comparison.id == comparison_id, Comparison.choice.is_(None))
        .values(choice=choice, chosen_by=chosen_by)
    )
    return cast("int", done.rowcount) == 1  # type: ignore[attr-defined]


async def tally(session: AsyncSession, assistant_id: int, first: str, second: str) -> Tally:
    """All choices between these two versions of this assistant (NAME@vN), whichever stood first."""
    rows = await session.execute(
        select(Comparison.first, Comparison.choice, func.count())
        .where(
            Comparison.assistant_id == assistant_id,
            Comparison.choice.is_not(None),
            or_(
                (Comparison.first == first) & (Comparison.second == second),
                (Comparison.first == second) & (Comparison.second == first),
            ),
        )
        .group_by(Comparison.first, Comparison.choice)
    )
    counts = {"first": 0, "second": 0, "neither": 0}
    for at_a, choice, count in rows.tuples():
        if choice == "none":
            counts["neither"] += count
        else:
            counts["first" if (choice == "a") == (at_a == first) else "second"] += count
    return Tally(**counts)
