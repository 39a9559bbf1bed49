"""Connectors at work: one task for each account that is on, started and stopped as the table of accounts changes.

Promises that one account's fault is its own: a connector that breaks is made and run again, later each time, and the
account says so in one sentence; one whose token no longer works is stopped; all others go on. A token reaches no log,
not even within an error's text.
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING
from urllib.parse import quote

import structlog
from pydantic import SecretStr
from sqlalchemy import select

from bots.platforms import AccountStopped, AccountView, Platform
from config.errors import ParlanceError
from store import accounts as rows
from store.database import Database
from store.tables import Account

if TYPE_CHECKING:
    from bots.conversation import Conversation

LOOK_SECONDS = 1.0
"""Between two looks at the table."""
FIRST_WAIT, LONGEST_WAIT = 1.0, 60.0
"""Seconds before a broken connector runs again: doubled each time."""
CALM_SECONDS = 60.0
"""After this long without a break it is well again."""
BROKE = "Its connection broke for a reason that was not foreseen; it is being tried again, and the log has the details."

log = structlog.get_logger()


@dataclass(slots=True)
class _Running:
    view: AccountView
    task: asyncio.Task[None]


class Connectors:
    """The connectors of one process."""

    def __init__(self, database: Database, conversation: Conversation, platforms: Mapping[str, Platform]) -> None:
        self._database = database
        self._conversation = conversation
        self._platforms = platforms
        self._running: dict[int, _Running] = {}

    async def run_forever(self) -> None:
        """Until cancelled; then every connector is stopped before it returns."""
        try:
            while True:
                try:
                    await self._follow_table()
                except Exception as error:  # a database that is busy for long must not end every connector
                    log.warning("accounts_not_read", reason=type(error).__name__)
                await asyncio.sleep(LOOK_SECONDS)
        finally:
            await self._stop(list(self._running))

    async def _follow_table(self) -> None:
        async with self._database.session() as session:
            on = await session.scalars(select(Account).where(Account.state == "on"))
            wanted = {account.id: view_of(account) for account in on}
        await self._stop([n for n, one in self._running.items() if wanted.get(n) != one.view or one.task.done()])
        for number, view in wanted.items():
            if number not in self._running:
                task = asyncio.create_task(self._keep(number, view), name=f"account {view.name}")
                self._running[number] = _Running(view, task)

    async def _stop(self, numbers: list[int]) -> None:
        tasks = [self._running.pop(number).task for number in numbers]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    async def _keep(self, number: int, view: AccountView) -> None:
        """Run the account's connector, again after each break, until its token no longer works."""
        wait, told = FIRST_WAIT, BROKE
        while True:
            calm = asyncio.create_task(self._calm(number, told))
            try:
                platform = self._platforms[view.platform]
                connector = await platform.connect(view, self._conversation, self._database)
                await connector.run()
                raise RuntimeError("the connector returned")
            except AccountStopped as error:
                log.warning("account_stopped", account=view.name)
                await self._tell(number, without(view.token, str(error)), stopped=True)
                return
            except ParlanceError as error:
                log.warning("account_broke", account=view.name, kind=type(error).__name__)
                told = without(view.token, str(error))
            except Exception:
                log.exception("account_broke", account=view.name)
                told = BROKE
            finally:
                if calm.done():
                    wait = FIRST_WAIT
                calm.cancel()
                await asyncio.gather(calm, return_exceptions=True)
            await self._tell(number, told)
            await asyncio.sleep(wait)
            wait = min(2 * wait, LONGEST_WAIT)

    async def _calm(self, number: int, told: str) -> None:
        await asyncio.sleep(CALM_SECONDS)
        async with self._database.session() as session:
            await rows.clear_trouble(session, number, told)

    async def _tell(self, number: int, sentence: str, *, stopped: bool = False) -> None:
        async with self._database.session() as session:
            await (rows.stop_account if stopped else rows.note_trouble)(session, number, sentence)


def view_of(account: Account) -> AccountView:
    """As its connector sees it."""
    return AccountView(
        account.name,
        account.platform,
        SecretStr(account.token),
        account.api_base,
        account.external_id,
        account.username,
    )


def without(token: SecretStr, text: str) -> str:
    """`text` without the token, in whatever way addresses write it: whole, quoted, or its secret part alone."""
    secret = token.get_secret_value()
    for form in (secret, quote(secret, safe=""), secret.partition(":")[2]):
        if form:
            text = text.replace(form, "…")
    return text
