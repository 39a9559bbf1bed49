"""Queries on accounts: kept, found, listed, switched, and what is wrong with them.

A removed account keeps its row and its name, without its token: the chats it had stay what they were, and nobody else
may come under its name. Knows no platform.
"""

from __future__ import annotations

from sqlalchemy import func, select, update
from sqlalchemy.ext.asyncio import AsyncSession

from config.errors import NotFound
from store.tables import Account, Channel

REMOVED = "removed"


async def find_account(session: AsyncSession, name: str) -> Account:
    """Raises NotFound, naming those that exist."""
    found = await session.scalar(select(Account).where(Account.name == name, Account.state != REMOVED))
    if found is not None:
        return found
    names = [account.name for account in await list_accounts(session)]
    known = f"there are {', '.join(names[:20])}" if names else "there is none yet; add one with: parlance account add"
    raise NotFound(f"There is no account “{name[:60]}”; {known}.")


async def list_accounts(session: AsyncSession) -> list[Account]:
    """All that were not removed, by name."""
    return list(await session.scalars(select(Account).where(Account.state != REMOVED).order_by(Account.name)))


async def named(session: AsyncSession, name: str) -> Account | None:
    """By name, the removed included."""
    found: Account | None = await session.scalar(select(Account).where(Account.name == name))
    return found


async def known_bot(session: AsyncSession, platform: str, external_id: str) -> Account | None:
    """The account of this very bot, the removed included."""
    same = (Account.platform == platform, Account.external_id == external_id)
    found: Account | None = await session.scalar(select(Account).where(*same))
    return found


async def channel_counts(session: AsyncSession) -> dict[str, int]:
    """How many channels each account is in, as far as the platform has said."""
    counted = select(Channel.account, func.count()).where(Channel.present).group_by(Channel.account)
    return {row[0]: row[1] for row in await session.execute(counted)}


async def note_trouble(session: AsyncSession, account_id: int, sentence: str | None) -> None:
    """What is wrong with an account now; None: nothing."""
    await session.execute(update(Account).where(Account.id == account_id).values(trouble=sentence))


async def clear_trouble(session: AsyncSession, account_id: int, sentence: str) -> None:
    """`sentence` is over. Another trouble that was noted since stays."""
    mine = (Account.id == account_id, Account.trouble == sentence)
    await session.execute(update(Account).where(*mine).values(trouble=None))


async def stop_account(session: AsyncSession, account_id: int, sentence: str) -> None:
    """It cannot go on until somebody has done what `sentence` says. One that was paused or removed meanwhile stays
    so."""
    mine = (Account.id == account_id, Account.state == "on")
    await session.execute(update(Account).where(*mine).values(state="stopped", trouble=sentence))
