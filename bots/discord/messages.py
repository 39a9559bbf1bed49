"""What the gateway tells of messages and places: written, changed, deleted; servers joined and left.

Promises that a message is taken once, however often it comes, and in its place within its channel. Its methods are
named as the library calls them.
"""

from __future__ import annotations

import asyncio
from collections import OrderedDict
from dataclasses import replace

import discord
import structlog
from discord.errors import HTTPException
from discord.utils import time_snowflake, utcnow

from bots.discord import incomings
from bots.discord.cursor import Reading
from bots.discord.registration import unregister
from bots.discord.talk import Talk
from bots.incoming import Incoming
from bots.outlet import ChannelGone, Part

BLIND = "I cannot read what you write here unless you mention me; say it again with a mention, and I will answer."
REMEMBERED = 10_000
"""Ids of messages that were taken already."""

log = structlog.get_logger()


class Messages:
    """`reads` is whether Discord gives this bot what was not said to it."""

    def __init__(self, talk: Talk, reading: Reading) -> None:
        self.reads = True
        self._talk = talk
        self._reading = reading
        self._seen: OrderedDict[int, None] = OrderedDict()

    async def on_message(self, message: discord.Message) -> None:
        """Somebody wrote."""
        if self._new(message):
            self._talk.begin(self._take(message))

    async def take_missed(self, message: discord.Message) -> None:
        """Somebody wrote while we did not listen; returns when it is dealt with. To stop waiting for it, as when a new
        session began, does not stop it."""
        if self._new(message):
            await asyncio.wait({self._talk.begin(self._take(message, past=True))})

    async def on_raw_message_edit(self, payload: discord.RawMessageUpdateEvent) -> None:
        """Its author changed a message; that Discord added a preview to it is none of that."""
        message, talk = payload.message, self._talk
        if message.edited_at is None or not message.content or not incomings.is_persons(message):
            return
        key = incomings.channel_key(talk.account, message.channel.id)
        talk.begin(talk.conversation.edited(key, str(message.id), incomings.readable(message, talk.us)))

    async def on_raw_message_delete(self, payload: discord.RawMessageDeleteEvent) -> None:
        key = incomings.channel_key(self._talk.account, payload.channel_id)
        self._talk.begin(self._talk.conversation.deleted(key, [str(payload.message_id)]))

    async def on_raw_bulk_message_delete(self, payload: discord.RawBulkMessageDeleteEvent) -> None:
        key = incomings.channel_key(self._talk.account, payload.channel_id)
        ids = [str(one) for one in sorted(payload.message_ids)]
        self._talk.begin(self._talk.conversation.deleted(key, ids))

    async def on_guild_join(self, guild: discord.Guild) -> None:
        """The bot was added to a server: say so where it may."""
        channel = greeting_place(guild)
        if channel is None:
            log.info("nowhere_to_greet", guild=guild.id)
            return
        talk = self._talk
        incoming = Incoming(
            account=talk.account,
            channel=incomings.channel_key(talk.account, channel.id),
            author_id=str(talk.us),
            author=talk.username,
            role="member",
            text="",
            external_id=f"joined-{time_snowflake(utcnow())}",
            server=incomings.server_key(talk.account, guild.id),
            private=False,
            platform="discord",
            title=f"#{channel.name} in {guild.name}",
        )
        talk.begin(talk.show(talk.conversation.greeting(incoming), incoming, talk.outlet(channel.id)))

    async def on_guild_remove(self, guild: discord.Guild) -> None:
        self._talk.begin(self.gone_from(guild.id))

    async def on_guild_channel_delete(self, channel: discord.abc.GuildChannel) -> None:
        key = incomings.channel_key(self._talk.account, channel.id)
        self._talk.begin(self._talk.conversation.left(key))

    async def on_raw_thread_delete(self, payload: discord.RawThreadDeleteEvent) -> None:
        key = incomings.channel_key(self._talk.account, payload.thread_id)
        self._talk.begin(self._talk.conversation.left(key))

    async def gone_from(self, guild_id: int) -> None:
        """The bot is no longer in this server."""
        await self._talk.conversation.left(incomings.server_key(self._talk.account, guild_id))
        await unregister(self._talk.database, self._talk.account, guild_id)

    def _new(self, message: discord.Message) -> bool:
        if not incomings.is_persons(message) or message.id in self._seen:
            return False
        self._seen[message.id] = None
        if len(self._seen) > REMEMBERED:
            self._seen.popitem(last=False)
        self._reading.begin(message.id)
        return True

    async def _take(self, message: discord.Message, *, past: bool = False) -> None:
        talk = self._talk
        try:
            await self._place(message)
            incoming = incomings.incoming_of(message, talk.account, talk.us)
            outlet = talk.outlet(message.channel.id)
            if self._blind(message, incoming):
                await outlet.send(Part(BLIND, plain=True), nonce=f"blind{message.id}", reply_to=str(message.id))
                return
            if past and message.guild is not None and (incoming.mentioned or incoming.text.startswith("/")):
                incoming = replace(incoming, server_roles=await self.roles(message.guild.id, message.author.id))
            events = talk.conversation.handle(incoming)
            await talk.show(events, incoming, outlet, lambda: self._reading.end(message.id))
        except ChannelGone:
            log.info("channel_gone", channel=message.channel.id)
        finally:
            self._reading.end(message.id)

    def _blind(self, message: discord.Message, incoming: Incoming) -> bool:
        """Whether it is an answer to us that Discord keeps from us."""
        empty = not message.content and not message.attachments and not message.stickers
        return not self.reads and empty and incoming.mentioned and not incoming.private

    async def _place(self, message: discord.Message) -> None:
        """Find the channel of a message that came from one unknown to the library: a thread has a parent."""
        if message.guild is None or not isinstance(message.channel, discord.PartialMessageable):
            return
        try:
            found = await message.guild.fetch_channel(message.channel.id)
        except (HTTPException, discord.InvalidData) as error:
            log.info("channel_unknown", channel=message.channel.id, kind=type(error).__name__)
            return
        if isinstance(found, discord.abc.Messageable):
            message.channel = found

    async def roles(self, guild_id: int, user_id: int) -> tuple[str, ...]:
        """Somebody's roles in a server; none where Discord does not tell."""
        try:
            member = await self._talk.calls.get_member(guild_id, user_id)
        except HTTPException as error:
            log.info("member_unknown", guild=guild_id, code=error.code)
            return ()
        return incomings.roles_of(int(role) for role in member["roles"])


def greeting_place(guild: discord.Guild) -> discord.TextChannel | None:
    """Where Discord itself greets, else the first channel that we may write in."""
    places = [guild.system_channel, *sorted(guild.text_channels, key=lambda channel: channel.position)]
    for place in places:
        if place is None:
            continue
        allowed = place.permissions_for(guild.me) if guild.me is not None else None
        if allowed is None or (allowed.view_channel and allowed.send_messages):
            return place
    return None
