"""Answers of one channel appear in the order in which they were begun, however long each takes to be shown.

Promises that nobody waits for an answer of their own, nor for one that is over. Knows no platform.
"""

from __future__ import annotations

import asyncio
from collections import defaultdict
from dataclasses import dataclass, field


@dataclass(frozen=True, slots=True, eq=False)
class Turn:
    """One answer's, from its first word until it is shown. `owner` shows it, and perhaps others."""

    channel: str
    owner: object
    over: asyncio.Event = field(default_factory=asyncio.Event)


class AnswerOrder:
    """Of all channels."""

    def __init__(self) -> None:
        self._turns: defaultdict[str, list[Turn]] = defaultdict(list)

    def begin(self, channel: str, owner: object) -> Turn:
        """The next turn in this channel."""
        turn = Turn(channel, owner)
        self._turns[channel].append(turn)
        return turn

    async def comes(self, turn: Turn) -> None:
        """Returns once all turns of others that were begun before are over."""
        while (first := self._turns[turn.channel][0]).owner is not turn.owner:
            await first.over.wait()

    def end(self, turn: Turn) -> None:
        """The answer is shown, or will not be. Again, it does nothing."""
        if not turn.over.is_set():
            turn.over.set()
            self._turns[turn.channel].remove(turn)
            if not self._turns[turn.channel]:
                del self._turns[turn.channel]
