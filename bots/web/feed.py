"""What a web channel shows, as numbered entries that browsers read and resume from any number they still know.

Entries live in memory; what was said lives in the database. A browser that comes back after a restart, or too late, is
told to read the history again. Knows nothing of HTTP.
"""

from __future__ import annotations

import asyncio
import secrets
from collections import OrderedDict, deque
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from typing import Any

from bots.incoming import Role

ENTRIES = 10_000
"""Kept for resuming; a long answer has a few hundred."""
SHOWN = 60
"""Cards and notices kept to be shown again after a reload."""
FEEDS = 1_000

Entry = dict[str, Any]


@dataclass(slots=True)
class _Shown:
    after: int
    entry: Entry


@dataclass(slots=True)
class Feed:
    """One channel's entries. `newest` is the number of the last; numbers grow by one."""

    newest: int = 0
    readers: int = 0
    last_message: int = 0
    """The newest message id that was shown."""
    role: Role = "member"
    """Of whoever reads it."""
    _entries: deque[tuple[int, Entry]] = field(default_factory=lambda: deque(maxlen=ENTRIES))
    _open: dict[int, int] = field(default_factory=dict)
    """Answers being said: their id, and the newest number before they began."""
    _shown: OrderedDict[str, _Shown] = field(default_factory=OrderedDict)
    _changed: asyncio.Event = field(default_factory=asyncio.Event)

    def add(self, entry: Entry) -> None:
        """Append, and wake those who read. Cards and lasting notices are kept under their key."""
        if entry["kind"] == "piece":
            self._open.setdefault(entry["id"], self.newest)
        elif entry["kind"] in ("answer", "notice"):
            self._open.pop(entry.get("id") or 0, None)
        self.newest += 1
        self._entries.append((self.newest, entry))
        if entry["kind"] == "heard":
            self.last_message = max(self.last_message, entry["id"])
        elif entry["kind"] == "removed" and entry["until"] is not None:
            self._shown.clear()
        elif entry["kind"] in ("card", "notice") and not entry.get("passing") and entry.get("id") is None:
            before = self._shown.pop(entry["key"], None)
            self._shown[entry["key"]] = _Shown(before.after if before else self.last_message, entry)
            while len(self._shown) > SHOWN:
                self._shown.popitem(last=False)
        self._changed.set()
        self._changed = asyncio.Event()

    @property
    def idle(self) -> bool:
        return not self._open and not self.readers

    @property
    def resume_from(self) -> int:
        """Where to read on after the history: before the first piece of an answer that is under way."""
        first = min(self._open.values(), default=self.newest)
        return first if self.knows(first) else self.newest

    def shown(self) -> list[tuple[int, Entry]]:
        """Cards and notices to show again, each with the id of the message it came after."""
        return [(kept.after, kept.entry) for kept in self._shown.values()]

    def knows(self, number: int) -> bool:
        """Whether reading on from `number` misses nothing."""
        oldest = self._entries[0][0] if self._entries else self.newest + 1
        return oldest - 1 <= number <= self.newest

    async def after(self, number: int) -> AsyncIterator[tuple[int, Entry]]:
        """Entries past `number`, those to come included; ends where they were overtaken, so that one reads anew."""
        while True:
            changed = self._changed
            if not self.knows(number):
                return
            for at, entry in [pair for pair in self._entries if pair[0] > number]:
                yield at, entry
                number = at
            if self.newest == number:
                await changed.wait()


class Feeds:
    """The feeds of all channels. `boot` tells this process's numbers from those of one before it."""

    def __init__(self) -> None:
        self.boot = secrets.token_hex(4)
        self._feeds: OrderedDict[str, Feed] = OrderedDict()

    def of(self, channel: str) -> Feed:
        """The channel's feed, made when it is new; idle ones go once there are very many."""
        feed = self._feeds.setdefault(channel, Feed())
        self._feeds.move_to_end(channel)
        if len(self._feeds) > FEEDS:
            for key in [key for key, old in self._feeds.items() if old.idle and key != channel][: FEEDS // 10]:
                del self._feeds[key]
        return feed

    def cursor(self, number: int) -> str:
        """A place to resume from, as browsers keep it."""
        return f"{self.boot}.{number}"

    def number(self, cursor: str) -> int | None:
        """The number in a cursor; None where it is not one of this process."""
        boot, _, number = cursor.partition(".")
        return int(number) if boot == self.boot and number.isdecimal() and len(number) < 16 else None
