"""One account's side of the conversation: messages handed in, what comes of them shown, tasks looked after.

Promises that a message counts as taken only once it is logged or need not be, that one failed message fails alone, and
that nothing goes on after `end`.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Coroutine, Sequence

import structlog
from sqlalchemy import select

from bots.conversation import Conversation
from bots.discord.calls import Calls
from bots.discord.incomings import external_of
from bots.discord.outlet import ChannelOutlet, Ours
from bots.events import Card, Event
from bots.incoming import Incoming
from bots.platforms import AccountView
from bots.presenter import Presenter
from config.request import working_for
from store.database import Database
from store.tables import Channel, Delivery

log = structlog.get_logger()


class Talk:
    """What every event of an account needs."""

    def __init__(self, account: AccountView, conversation: Conversation, database: Database, calls: Calls) -> None:
        self.account = account.name
        self.conversation = conversation
        self.database = database
        self.calls = calls
        self.presenter = Presenter(database)
        self.us = int(account.external_id)
        self.username = account.username
        self.ours = Ours(self.us, self._noted)
        self._work: set[asyncio.Task[None]] = set()

    def outlet(self, channel_id: int) -> ChannelOutlet:
        return ChannelOutlet(self.calls, channel_id, self.ours)

    async def show(
        self,
        events: AsyncIterator[Event],
        incoming: Incoming,
        outlet: ChannelOutlet,
        taken: Callable[[], None] = lambda: None,
    ) -> None:
        """Show what comes of a message. `taken` is called once it is logged, or it is clear that it will not be."""
        with working_for("chat"):
            try:
                first = await anext(events, None)
            finally:
                taken()
            if first is not None:
                await self.presenter.present(_with(first, events), incoming, outlet)

    async def tell(self, channel: Channel, card: Card) -> bool:
        """Show a card that nobody there asked for; False where the channel is gone."""
        return await self.presenter.tell(channel, card, self.outlet(external_of(channel.key)))

    def begin(self, work: Coroutine[None, None, None]) -> asyncio.Task[None]:
        """Do it in a task of its own, which ends with this account's work and not before."""
        task = asyncio.create_task(_noting(work))
        self._work.add(task)
        task.add_done_callback(self._work.discard)
        return task

    async def end(self) -> None:
        """Stop all of it; what was not shown is shown after the next start."""
        for task in self._work:
            task.cancel()
        await asyncio.gather(*self._work, return_exceptions=True)

    async def _noted(self, external_ids: Sequence[str]) -> set[str]:
        async with self.database.session() as session:
            found = await session.scalars(select(Delivery.external_id).where(Delivery.external_id.in_(external_ids)))
            return {one for one in found if one is not None}


async def _noting(work: Coroutine[None, None, None]) -> None:
    try:
        await work
    except Exception:
        log.exception("discord_event_failed")


async def _with(first: Event, events: AsyncIterator[Event]) -> AsyncIterator[Event]:
    yield first
    async for event in events:
        yield event
