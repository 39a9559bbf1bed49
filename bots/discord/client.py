"""The library's gateway client as we use it: nothing cached but guilds, calls shared, one bad event no end of it all.

`start` returns or raises whenever its connection cannot be resumed; the connector starts another then. Interactions
are dispatched as they came (`on_raw_interaction`), for the library's own objects need a channel that it knows.
"""

from __future__ import annotations

import asyncio
import random
import traceback
from collections.abc import Callable
from typing import Any

import discord
import structlog
from discord.state import ConnectionState

from bots.discord.calls import Calls

BEFORE_A_NEW_SESSION = (1.0, 5.0)
"""Seconds, as Discord asks: anything in between."""
GUILDS_WITHIN = 2.0
"""Seconds after the last guild until all are taken to be there."""

discord.VoiceClient.warn_nacl = discord.VoiceClient.warn_dave = False  # nobody here speaks

log = structlog.get_logger()


def intents(*, content: bool) -> discord.Intents:
    """What the gateway is to tell: guilds and messages, with what they say where the portal allows it."""
    return discord.Intents(guilds=True, guild_messages=True, dm_messages=True, message_content=content)


class State(ConnectionState["Client"]):
    """Skips an event that it cannot read instead of raising it through the connection."""

    def __init__(self, **options: Any) -> None:
        super().__init__(**options)
        self.parsers = {event: _sparing(event, parser) for event, parser in self.parsers.items()}

    def parse_interaction_create(self, data: Any) -> None:
        self.dispatch("raw_interaction", data)


class Client(discord.Client):
    """One gateway connection, with its sessions."""

    def __init__(self, calls: Calls, *, content: bool) -> None:
        self._calls = calls
        super().__init__(
            intents=intents(content=content),
            max_messages=None,
            chunk_guilds_at_startup=False,
            member_cache_flags=discord.MemberCacheFlags.none(),
            allowed_mentions=discord.AllowedMentions.none(),
            guild_ready_timeout=GUILDS_WITHIN,
        )

    def _get_state(self, **options: Any) -> ConnectionState[Any]:
        self.http = self._calls
        return State(dispatch=self.dispatch, handlers=self._handlers, hooks=self._hooks, http=self._calls, **options)

    def dispatch(self, event: str, /, *args: Any, **kwargs: Any) -> None:
        if not self.is_closed():  # the library's own 'ready' may come late
            super().dispatch(event, *args, **kwargs)

    async def before_identify_hook(self, shard_id: int | None, *, initial: bool = False) -> None:
        if not initial:
            await asyncio.sleep(random.uniform(*BEFORE_A_NEW_SESSION))  # noqa: S311 - a pause, no secret

    async def on_error(self, event_method: str, /, *args: Any, **kwargs: Any) -> None:
        log.exception("event_failed", told=event_method)


def _sparing(event: str, parser: Callable[[Any], None]) -> Callable[[Any], None]:
    def parse(data: Any) -> None:
        try:
            parser(data)
        except Exception as error:  # whatever a malformed event does to the library, the connection goes on
            last = traceback.extract_tb(error.__traceback__)[-1]
            log.error("event_not_read", told=event, kind=type(error).__name__, place=f"{last.filename}:{last.lineno}")

    return parse
