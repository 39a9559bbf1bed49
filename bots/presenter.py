"""What a conversation says, brought to people: its events on any outlet, and after a kill what was not shown.

Promises: what has to be seen arrives once, in the order it came, also across a kill; a message is edited no oftener
than the outlet's pace, and never without a change; a channel that is gone ends the showing, not the conversation.
Knows no platform.
"""

from __future__ import annotations

from collections.abc import AsyncIterator

import structlog

from bots.answer_order import AnswerOrder
from bots.card_text import card_markdown
from bots.events import Card, Event
from bots.incoming import Incoming
from bots.outlet import ChannelGone, Outlet
from bots.parts import settled_parts
from bots.showing import Showing
from bots.shown import Shown, Spot
from store.database import Database
from store.deliveries import Undelivered, left_undelivered, mark_delivered
from store.tables import Channel

log = structlog.get_logger()


class Presenter:
    """Shows what a conversation gives, on any outlet."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self._order = AnswerOrder()

    async def present(self, events: AsyncIterator[Event], incoming: Incoming, outlet: Outlet) -> None:
        """Show all of a message's events; returns when the last has arrived or the channel is gone. An error of the
        outlet's that is not one of its own kinds is raised; what was not shown then is shown after the next start."""
        try:
            await Showing(self._database, incoming, outlet, self._order).run(events)
        except ChannelGone:
            log.info("channel_gone", channel=incoming.channel)

    async def tell(self, channel: Channel, card: Card, outlet: Outlet) -> bool:
        """Show a card that nobody here asked for; False where the channel is gone."""
        shown = Shown(self._database, outlet, Spot(channel.key, channel.id), f"card:{card.key}")
        try:
            await shown.take_up()
            await shown.show(outlet.split(card_markdown(card)), card.buttons)
        except ChannelGone:
            log.info("channel_gone", channel=channel.key)
            return False
        return True

    async def left_undelivered(self, account: str) -> list[Undelivered]:
        """Answers that a process which is gone had to show in this account's channels, oldest first. Call it once,
        after `Conversation.unanswered` and before anything is presented, and give each to `redeliver`."""
        async with self._database.session() as session:
            return await left_undelivered(session, account)

    async def redeliver(self, left: Undelivered, outlet: Outlet) -> None:
        """Show it once: what was sent is edited, what may have been sent is looked for first."""
        asked = left.question.external_id if left.question is not None else None
        spot = Spot(left.channel.key, left.channel.id, None if left.channel.private else asked, asked)
        try:
            shown = Shown(self._database, outlet, spot, f"answer:{left.message.id}", left.message.id)
            await shown.take_up()
            await shown.show(*settled_parts(outlet, left.message))
        except ChannelGone:
            log.info("channel_gone", channel=left.channel.key)
            return
        async with self._database.session() as session:
            await mark_delivered(session, left.message.id)
