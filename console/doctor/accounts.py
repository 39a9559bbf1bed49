"""The accounts on other platforms, and what is wrong with them."""

from __future__ import annotations

from console.doctor.finding import Finding
from store.accounts import list_accounts
from store.database import Database
from store.tables import Account


async def look(database: Database) -> list[Finding]:
    """All of this group."""
    return await check_accounts(database)


async def check_accounts(database: Database) -> list[Finding]:
    """The bots, and what is wrong with them."""
    async with database.session() as session:
        accounts = await list_accounts(session)
    if not accounts:
        return [Finding("Accounts", "ok", "no bot is connected")]
    return [_account(one) for one in accounts]


def _account(account: Account) -> Finding:
    who = f"{account.name} on {account.platform} is {account.state}"
    if account.state == "stopped":
        advice = f"Then: parlance account resume {account.name}, or account add for a new token."
        return Finding("Account", "wrong", f"{who}: {account.trouble}", advice)
    if account.trouble is not None:
        return Finding("Account", "warning", f"{who}: {account.trouble}")
    return Finding("Account", "ok", who)
