"""Which versions of an assistant served, one over another, which of them may serve again, and those that could not be
loaded."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from sqlalchemy import Row, false, select, update
from sqlalchemy.ext.asyncio import AsyncSession

from store.database import Database
from store.tables import Assistant, Promotion, Version


async def served(session: AsyncSession, assistant: Assistant) -> list[int]:
    """Versions in service one over another, the present one last: promotions push, going back pops down to the one
    that it went back to."""
    moves = await session.scalars(
        select(Promotion).where(Promotion.assistant_id == assistant.id).order_by(Promotion.id)
    )
    stack: list[int] = []
    for move in moves:
        if move.action in ("rollback", "withdraw"):
            stack = stack[:-1]
            while stack and stack[-1] != move.after:
                stack.pop()
            if not stack and move.after is not None:
                stack.append(move.after)
        elif move.after is not None:
            stack.append(move.after)
    return stack


def barred(assistant: Assistant, version: Version) -> bool:
    """Whether it may not serve because text that it learnt from was deleted."""
    return version.forgotten_at is not None and assistant.on_forget != "mark"


def may_serve(assistant: Assistant, version: Version) -> bool:
    """Whether it may serve without anybody's asking for it by its number."""
    return (
        version.state == "passed"
        and version.base_model == assistant.base_model
        and version.trouble is None
        and not barred(assistant, version)
    )


async def earlier(session: AsyncSession, assistant: Assistant) -> list[int]:
    """The versions that served before the present one and may serve again; the one that a rollback brings back is the
    first."""
    rows = await session.scalars(select(Version).where(Version.assistant_id == assistant.id))
    good = {row.number for row in rows if may_serve(assistant, row)} - {assistant.in_service}
    return [number for number in dict.fromkeys(reversed(await served(session, assistant))) if number in good]


async def untold_troubles(database: Database, assistant_id: int) -> Sequence[Row[Any]]:
    """(number, trouble) of each version of which nobody who looks after it was told."""
    query = select(Version.number, Version.trouble).where(
        Version.assistant_id == assistant_id, Version.trouble.is_not(None), Version.trouble_told == false()
    )
    return await database.look_through(query, {})


async def mark_told(session: AsyncSession, assistant_id: int, numbers: Sequence[int]) -> None:
    """Somebody was told of the troubles of these versions."""
    versions = Version.assistant_id == assistant_id, Version.number.in_(numbers)
    await session.execute(update(Version).where(*versions).values(trouble_told=True))
