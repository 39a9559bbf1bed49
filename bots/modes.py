"""When the assistant answers in a group: `mentions` what is said to it, `all` every message, `listen` never unasked.

Promises that asking costs no query for a channel that was asked about lately: that is every message of a busy group
that is not for us. Whoever changes a channel's mode does so here, for the answer is kept.
"""

from __future__ import annotations

from collections import OrderedDict
from typing import Literal, get_args

from sqlalchemy import bindparam, case, or_, select, update

from store.database import Database
from store.tables import Channel

Mode = Literal["mentions", "all", "listen"]
MODES: tuple[Mode, ...] = get_args(Mode)
KEPT = 10_000
"""Channels whose mode is kept in memory."""

_MODE = (
    select(Channel.answers)
    .where(or_(Channel.key == bindparam("channel"), Channel.key == bindparam("parent")))
    .order_by(case((Channel.key == bindparam("channel"), 0), else_=1))
    .limit(1)
)


class Modes:
    """Of all channels."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self._known: OrderedDict[str, Mode] = OrderedDict()

    async def of(self, channel: str, parent: str | None) -> Mode:
        """The mode of the channel with this key; a topic or thread that is new begins with its parent's."""
        known = self._known.get(channel)
        if known is not None:
            self._known.move_to_end(channel)
            return known
        found = await self._database.look_up(_MODE, {"channel": channel, "parent": parent})
        mode = next((mode for mode in MODES if found is not None and mode == found[0]), MODES[0])
        self._known[channel] = mode
        if len(self._known) > KEPT:
            self._known.popitem(last=False)
        return mode

    async def set(self, channel: Channel, mode: Mode) -> None:
        """From now on the assistant answers so in `channel`, and in topics and threads that begin there later."""
        async with self._database.session() as session:
            await session.execute(update(Channel).where(Channel.id == channel.id).values(answers=mode))
        self.forget()

    def forget(self) -> None:
        """Something changed under us; ask again."""
        self._known.clear()
