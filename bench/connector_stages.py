"""Where bots perform: the tests' own Bot API server and Discord on loopback, with chats that write, and a clock.

The clock measures, for each chat, from the moment its message is there to be fetched: until the bot's first call for
that chat came in, and until its answer did. Nothing here knows who performs.
"""

from __future__ import annotations

import asyncio
import re
import sys
import time
from collections.abc import AsyncIterator, Callable, Coroutine
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "tests" / "bots"))

TELEGRAM_TOKEN = f"70000000:AA{'b' * 33}"
DISCORD_TOKEN = f"{'M' * 24}.bench0.{'d' * 38}"
FIRST_PERSON = 1000


@dataclass(slots=True)
class _Written:
    at: float
    answered: asyncio.Event = field(default_factory=asyncio.Event)
    called: bool = False


class Clock:
    """Seconds from a message to the first call that it causes (`first`), and to its answer (`answered`)."""

    def __init__(self) -> None:
        self.first: list[float] = []
        self.answered: list[float] = []
        self._open: dict[int, _Written] = {}

    def start(self, chat: int) -> asyncio.Event:
        """The chat writes now; the event is set once it is answered."""
        self._open[chat] = _Written(time.perf_counter())
        return self._open[chat].answered

    def call(self, chat: int, *, answers: bool) -> None:
        """A call for this chat came in."""
        written = self._open.get(chat)
        if written is None:
            return
        seconds = time.perf_counter() - written.at
        if not written.called:
            written.called = True
            self.first.append(seconds)
        if answers:
            self.answered.append(seconds)
            del self._open[chat]
            written.answered.set()


@dataclass(frozen=True, slots=True)
class Stage:
    """One server with one bot, and private chats of one person each. `write` lets chat number N write; `listening`
    tells whether the bot is there; `refused` counts the calls that came too soon."""

    address: str
    token: str
    bot_id: str
    username: str
    clock: Clock
    write: Callable[[int, str], Coroutine[Any, Any, None]]
    listening: Callable[[], bool]
    refused: Callable[[], int]

    async def attended(self) -> None:
        """Returns when the bot listens."""
        async with asyncio.timeout(60):
            while not self.listening():  # noqa: ASYNC110 (the servers have no event for it)
                await asyncio.sleep(0.02)

    async def ask(self, chat: int, text: str) -> None:
        """Chat number `chat` writes; returns when it is answered."""
        answered = self.clock.start(chat)
        await self.write(chat, text)
        async with asyncio.timeout(300):
            await answered.wait()


@asynccontextmanager
async def telegram_stage(chats: int, strict: bool) -> AsyncIterator[Stage]:
    """A Bot API server; `strict` refuses what comes too soon."""
    from bot_api_server import Bot, BotApiServer, Person, Rates

    class Watched(Bot):
        def note(self, method: str, parameters: dict[str, Any]) -> None:
            if method in ("sendMessage", "sendChatAction"):
                clock.call(int(parameters["chat_id"]) - FIRST_PERSON, answers=method == "sendMessage")

    clock = Clock()
    async with BotApiServer(Rates() if strict else None) as server:
        bot = server.add_bot("bench_bot", TELEGRAM_TOKEN)
        bot.__class__ = Watched
        people = [Person(FIRST_PERSON + number, f"Person {number}") for number in range(chats)]
        private = [bot.private(person) for person in people]

        async def write(chat: int, text: str) -> None:
            private[chat].says(people[chat], text)

        yield Stage(
            server.url, TELEGRAM_TOKEN, str(bot.me.id), "bench_bot", clock, write,
            lambda: bot.poller is not None, lambda: server.refused,
        )  # fmt: skip


@asynccontextmanager
async def discord_stage(chats: int, strict: bool) -> AsyncIterator[Stage]:
    """A Discord with direct messages; `strict` refuses what comes too soon."""
    from discord_server import DiscordServer, Made

    clock = Clock()
    async with DiscordServer() as server:
        server.limiter.strict = strict
        bot = server.bot("Bench", DISCORD_TOKEN)
        people = [server.user(f"Person {number}") for number in range(chats)]
        places = [server.direct(bot, person) for person in people]
        numbers = {place.id: number for number, place in enumerate(places)}

        def called(made: Made) -> None:
            found = re.fullmatch(r"/channels/(\d+)/(typing|messages)", made.path)
            if found is not None and made.method == "POST" and found[1] in numbers and made.status < 400:
                clock.call(numbers[found[1]], answers=found[2] == "messages")

        server.on_call = called

        async def write(chat: int, text: str) -> None:
            await server.say(places[chat], people[chat], text)

        yield Stage(
            server.api_base, DISCORD_TOKEN, bot.user["id"], bot.user["username"], clock, write,
            lambda: server.gateway.connected(bot), lambda: server.limiter.refused,
        )  # fmt: skip


STAGES: dict[str, Callable[[int, bool], AbstractAsyncContextManager[Stage]]] = {
    "telegram": telegram_stage,
    "discord": discord_stage,
}
