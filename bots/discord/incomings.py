"""What the gateway tells, as the conversation takes it: pure functions from the library's objects to `Incoming`.

Promises that bots, webhooks and system messages never become one; that text reads as people see it, with names for
what Discord writes as numbers; that all keys are made here and nowhere else.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import Any

import discord

from bots.incoming import Attachment, Incoming

_PEOPLE = re.compile(r"<@!?(\d+)>")
_ROLES = re.compile(r"<@&(\d+)>")
_CHANNELS = re.compile(r"<#(\d+)>")
_EMOJI = re.compile(r"<a?:(\w+):\d+>")
_SPOKEN = (discord.MessageType.default, discord.MessageType.reply)


def channel_key(account: str, channel_id: int) -> str:
    """Of a channel, thread or direct message."""
    return f"{account}:{channel_id}"


def server_key(account: str, guild_id: int) -> str:
    """Of a server."""
    return f"{account}:guild:{guild_id}"


def external_of(key: str) -> int:
    """The channel's id in its key."""
    return int(key.rpartition(":")[2])


def is_persons(message: discord.Message) -> bool:
    """Whether a person wrote it with their own hands."""
    return not message.author.bot and message.webhook_id is None and message.type in _SPOKEN


def names_us(message: discord.Message, us: int) -> bool:
    """By mention, by a mention of the role that Discord gives every bot, or as a reply to something of ours."""
    resolved = message.reference.resolved if message.reference is not None else None
    replied = isinstance(resolved, discord.Message) and resolved.author.id == us
    ours = any(role.tags is not None and role.tags.bot_id == us for role in message.role_mentions)
    return replied or ours or any(user.id == us for user in message.mentions)


def incoming_of(message: discord.Message, account: str, us: int) -> Incoming:
    """The message as said to the bot with id `us`. Call it for persons' messages only."""
    channel, guild = message.channel, message.guild
    guild_id = guild.id if guild is not None else getattr(channel, "guild_id", None)
    parent = channel.parent_id if isinstance(channel, discord.Thread) else None
    resolved = message.reference.resolved if message.reference is not None else None
    replied = resolved.author if isinstance(resolved, discord.Message) else None
    return Incoming(
        account=account,
        channel=channel_key(account, channel.id),
        author_id=str(message.author.id),
        author=message.author.display_name,
        role="member",
        text=readable(message, us),
        external_id=str(message.id),
        reply_to=_reply_to(message),
        parent=None if parent is None else channel_key(account, parent),
        server=None if guild_id is None else server_key(account, guild_id),
        private=guild_id is None and not isinstance(channel, discord.GroupChannel),
        mentioned=names_us(message, us),
        platform="discord",
        server_roles=roles_of(role.id for role in getattr(message.author, "roles", ())),
        attachments=tuple(_attachment(one) for one in message.attachments) + tuple(map(_sticker, message.stickers)),
        title=title_of(channel, guild, message.author),
        username=message.author.name,
        reply_person=None if replied is None or replied.bot else f"discord:{replied.id}",
        forwarded=bool(message.message_snapshots),
    )


def roles_of(role_ids: Iterable[int]) -> tuple[str, ...]:
    """As roles are recorded."""
    return tuple(f"discord-role:{role_id}" for role_id in role_ids)


def title_of(channel: Any, guild: discord.Guild | None, author: discord.abc.User) -> str:
    """What people call it."""
    name = getattr(channel, "name", None)
    if guild is None:
        return name or author.display_name
    return f"#{name} in {guild.name}" if name else guild.name


def readable(message: discord.Message, us: int) -> str:
    """The message's text without the mention of us, and with names in place of numbers."""
    guild = message.guild
    ours = {role.id for role in message.role_mentions if role.tags is not None and role.tags.bot_id == us}
    people = {user.id: user.display_name for user in message.mentions}
    roles = {role.id: role.name for role in message.role_mentions}
    own_name = people.get(us, "")

    def person(found: re.Match[str]) -> str:
        return f"@{people[int(found[1])]}" if int(found[1]) in people else found[0]

    def role(found: re.Match[str]) -> str:
        return f"@{roles[int(found[1])]}" if int(found[1]) in roles else found[0]

    def channel(found: re.Match[str]) -> str:
        known = guild.get_channel_or_thread(int(found[1])) if guild is not None else None
        return f"#{known.name}" if known is not None else found[0]

    forwarded = "\n\n".join(snapshot.content for snapshot in message.message_snapshots)
    text = without_us(message.content or forwarded, us, ours, own_name)
    if text.startswith("/"):  # a command may be about somebody, and numbers are exact
        return text
    return _EMOJI.sub(r":\1:", _CHANNELS.sub(channel, _ROLES.sub(role, _PEOPLE.sub(person, text))))


def without_us(text: str, us: int, our_roles: set[int], name: str) -> str:
    """`text` without mentions of us at its beginning and its end; in the middle they become the name."""
    one = "|".join((f"<@!?{us}>", *(f"<@&{role}>" for role in our_roles)))
    text = re.sub(rf"^(?:\s*(?:{one})[,:]?)+\s*|\s*(?:(?:{one})\s*)+$", "", text)
    return re.sub(one, f"@{name}" if name else "", text).strip()


def _reply_to(message: discord.Message) -> str | None:
    reference = message.reference
    if reference is None or reference.message_id is None or message.type is not discord.MessageType.reply:
        return None
    return str(reference.message_id)


def _attachment(found: discord.Attachment) -> Attachment:
    return Attachment(found.filename, found.content_type or "", found.size, found.read)


def _sticker(found: discord.StickerItem) -> Attachment:
    return Attachment(f"sticker {found.name}", "image/png", 0, found.read)
