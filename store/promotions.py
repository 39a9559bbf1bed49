"""Which versions of an assistant served, one over another, which of them may serve again, and those that could not be
loaded."""

from __future__ import annotations

from dataclasses import dataclass

from sqlalchemy import false, func, select
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


@dataclass(frozen=True, slots=True)
class Fall:
    """Version `number` of an assistant went out of service by itself, because of `trouble`; `move` says when: it is the
    promotion's row."""

    assistant_id: int
    number: int
    trouble: str
    move: int


_LAST = (
    select(func.max(Promotion.id)).where(Promotion.assistant_id == Version.assistant_id).correlate(Version)
)  # fmt: skip
_FALL = _LAST.where(Promotion.action == "withdraw", Promotion.before == Version.number).scalar_subquery()
_CHOSEN = func.coalesce(_LAST.where(Promotion.action == "promote").scalar_subquery(), 0)
_FALLS = select(Version.assistant_id, Version.number, Version.trouble, _FALL).where(
    Version.trouble.is_not(None), Version.trouble_told == false(), _FALL > _CHOSEN
)


async def falls(database: Database) -> list[Fall]:
    """Of all assistants, those that nobody has answered by putting another version into service."""
    rows = await database.look_through(_FALLS, {})
    return [Fall(*row) for row in rows]
