"""What a small Discord holds: people, bots, guilds, channels, messages, in the shapes that go over the wire.

Knows nothing of HTTP or sockets. Raises ApiError with Discord's own codes where the real one refuses.
"""

from __future__ import annotations

import re
import time
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

EPOCH = 1_420_070_400_000
DM, TEXT, FORUM, THREAD = 1, 0, 15, 11
EPHEMERAL, LOADING, SUPPRESS_EMBEDS = 64, 128, 4
Wire = dict[str, Any]


class ApiError(Exception):
    """A refusal: HTTP status, Discord's code, its sentence."""

    def __init__(self, status: int, code: int, message: str) -> None:
        super().__init__(f"{status} {code} {message}")
        self.status, self.code, self.message = status, code, message


@dataclass
class Bot:
    """One application's bot. `content` is whether the portal grants the Message Content intent."""

    token: str
    user: Wire
    application_id: str
    content: bool = True
    revoked: bool = False
    guilds: list[str] = field(default_factory=list)
    commands: dict[str, list[Wire]] = field(default_factory=dict)
    commands_written: int = 0


@dataclass
class Place:
    """A channel with all that was said in it, oldest first. `hidden` and `mute`: what bots may not do in it."""

    wire: Wire
    messages: dict[str, Wire] = field(default_factory=dict)
    nonces: dict[tuple[str, str], str] = field(default_factory=dict)
    hidden: bool = False
    mute: bool = False

    @property
    def id(self) -> str:
        return str(self.wire["id"])

    @property
    def guild_id(self) -> str | None:
        found: str | None = self.wire.get("guild_id")
        return found


class World:
    """Everything there is. `pings` are those whom a message really notified, by its id."""

    def __init__(self) -> None:
        self.users: dict[str, Wire] = {}
        self.bots: dict[str, Bot] = {}
        self.guilds: dict[str, Wire] = {}
        self.places: dict[str, Place] = {}
        self.pings: dict[str, set[str]] = {}
        self._last = 0

    def snowflake(self) -> str:
        self._last = max(self._last + 1, (int(time.time() * 1000) - EPOCH) << 22)
        return str(self._last)

    def user(self, name: str, *, bot: bool = False) -> Wire:
        made = {"id": self.snowflake(), "username": name.lower(), "discriminator": "0", "global_name": name,
                "avatar": None, "bot": bot}  # fmt: skip
        self.users[made["id"]] = made
        return made

    def bot(self, name: str, token: str | None = None, *, content: bool = True) -> Bot:
        user = self.user(name, bot=True)
        made = Bot(token or f"token-{user['id']}", user, user["id"], content)
        self.bots[made.token] = made
        return made

    def guild(self, name: str, *bots: Bot) -> Wire:
        """A guild with one text channel, `general`, that `bots` are in already."""
        owner = self.user(f"Owner of {name}")["id"]
        made: Wire = {"id": self.snowflake(), "name": name, "icon": None, "owner_id": owner,
                      "verification_level": 0, "default_message_notifications": 0, "explicit_content_filter": 0,
                      "roles": [], "emojis": [], "stickers": [], "features": [], "mfa_level": 0, "premium_tier": 0,
                      "system_channel_id": None, "preferred_locale": "en-US", "nsfw_level": 0, "member_count": 9,
                      "channels": [], "threads": [], "members": [], "voice_states": [], "presences": [],
                      "stage_instances": [], "guild_scheduled_events": [], "large": False}  # fmt: skip
        self.guilds[made["id"]] = made
        made["roles"].append(self._role(made["id"], "@everyone", "137439464512"))  # see, write, thread, history, react
        made["system_channel_id"] = self.channel(made, "general").id
        for bot in bots:
            bot.guilds.append(made["id"])
        return made

    def role(self, guild: Wire, name: str, *, of_bot: Bot | None = None) -> str:
        """Its id."""
        made = self._role(self.snowflake(), name, "0")
        if of_bot is not None:
            made |= {"managed": True, "tags": {"bot_id": of_bot.user["id"]}}
        guild["roles"].append(made)
        return str(made["id"])

    def _role(self, role_id: str, name: str, permissions: str) -> Wire:
        return {"id": role_id, "name": name, "permissions": permissions, "position": 0, "color": 0, "hoist": False,
                "colors": {"primary_color": 0, "secondary_color": None, "tertiary_color": None},
                "managed": False, "mentionable": True, "flags": 0}  # fmt: skip

    def channel(self, guild: Wire, name: str, kind: int = TEXT) -> Place:
        wire = {"id": self.snowflake(), "type": kind, "guild_id": guild["id"], "name": name, "position": 0,
                "permission_overwrites": [], "parent_id": None, "last_message_id": None, "nsfw": False, "topic": None,
                "rate_limit_per_user": 0, "flags": 0, "available_tags": [], "default_reaction_emoji": None,
                "default_sort_order": None, "default_forum_layout": 0}  # fmt: skip
        guild["channels"].append(wire)
        return self.places.setdefault(wire["id"], Place(wire))

    def thread(self, parent: Place, name: str) -> Place:
        """A thread of a text channel, or a post of a forum."""
        guild = self.guilds[str(parent.guild_id)]
        wire = {"id": self.snowflake(), "type": THREAD, "guild_id": guild["id"], "parent_id": parent.id, "name": name,
                "owner_id": guild["owner_id"], "last_message_id": None, "message_count": 0, "member_count": 1,
                "rate_limit_per_user": 0, "flags": 0, "total_message_sent": 0,
                "thread_metadata": {"archived": False, "auto_archive_duration": 1440, "locked": False,
                                    "archive_timestamp": now(), "create_timestamp": now()}}  # fmt: skip
        guild["threads"].append(wire)
        return self.places.setdefault(wire["id"], Place(wire))

    def direct(self, bot: Bot, user: Wire) -> Place:
        """The one direct channel of the two."""
        for place in self.places.values():
            if (
                place.wire["type"] == DM
                and place.wire["recipients"][0]["id"] == user["id"]
                and place.wire["_bot"] == bot.token
            ):
                return place
        wire = {"id": self.snowflake(), "type": DM, "recipients": [user], "last_message_id": None, "_bot": bot.token}
        return self.places.setdefault(wire["id"], Place(wire))

    def member(self, user: Wire, roles: list[str] | None = None) -> Wire:
        return {"nick": None, "roles": roles or [], "joined_at": "2026-01-01T00:00:00+00:00", "deaf": False,
                "mute": False, "flags": 0, "avatar": None, "premium_since": None, "pending": False}  # fmt: skip

    def as_seen(self, guild_id: str, bot: Bot) -> Wire:
        """A guild with the bot's own membership, as GUILD_CREATE has it."""
        return self.guilds[guild_id] | {"members": [self.member(bot.user) | {"user": bot.user}]}

    def bots_in(self, place: Place) -> list[Bot]:
        if place.wire["type"] == DM:
            return [self.bots[place.wire["_bot"]]]
        return [] if place.hidden else [bot for bot in self.bots.values() if place.guild_id in bot.guilds]

    def may(self, bot: Bot, place_id: str) -> Place:
        """The channel, if the bot can see it."""
        place = self.places.get(place_id)
        if place is None or (place.guild_id is None and place.wire["_bot"] != bot.token):
            raise ApiError(404, 10003, "Unknown Channel")
        if place.guild_id is not None and (place.hidden or place.guild_id not in bot.guilds):
            raise ApiError(403, 50001, "Missing Access")
        return place

    def post(self, place: Place, author: Wire, body: Wire, **more: Any) -> Wire:
        """A new message, whoever wrote it. Ephemeral ones are not part of the channel."""
        content = body.get("content") or ""
        reference = body.get("message_reference")
        quoted = None if reference is None else place.messages.get(str(reference["message_id"]))
        if reference is not None and quoted is None and reference.get("fail_if_not_exists", True):
            raise ApiError(400, 50035, "Invalid Form Body: message_reference: Unknown message")
        message: Wire = {
            "id": self.snowflake(), "type": 19 if quoted else 0, "channel_id": place.id, "author": author,
            "content": content, "timestamp": now(), "edited_timestamp": None, "tts": False, "mention_everyone": False,
            "mentions": [self.users[found] for found in re.findall(r"<@!?(\d+)>", content) if found in self.users],
            "mention_roles": re.findall(r"<@&(\d+)>", content), "attachments": body.get("attachments", []),
            "embeds": [], "pinned": False, "components": body.get("components", []), "flags": body.get("flags", 0),
        }  # fmt: skip
        message |= more
        if quoted is not None and reference is not None:
            message["message_reference"] = {"type": 0, "message_id": quoted["id"], "channel_id": place.id}
            message["referenced_message"] = quoted
            if body.get("allowed_mentions", {}).get("replied_user", True):
                message["mentions"].append(quoted["author"])
        if body.get("nonce") is not None:
            message["nonce"] = body["nonce"]
        self.pings[message["id"]] = pinged(body, quoted)
        if not message["flags"] & EPHEMERAL:
            place.messages[message["id"]] = message
            place.wire["last_message_id"] = message["id"]
        return message


def now() -> str:
    return datetime.now(UTC).isoformat()


def pinged(body: Wire, quoted: Wire | None) -> set[str]:
    """Whom a message notifies, by the rules of `allowed_mentions`."""
    content, allowed = body.get("content") or "", body.get("allowed_mentions")
    users, roles = set(re.findall(r"<@!?(\d+)>", content)), set(re.findall(r"<@&(\d+)>", content))
    everyone = {"everyone"} if re.search(r"@(everyone|here)", content) else set()
    replied = {quoted["author"]["id"]} if quoted else set()
    if allowed is None:
        return users | roles | everyone | replied
    parse = allowed.get("parse", [])
    found = users if "users" in parse else users & {str(one) for one in allowed.get("users", [])}
    found = found | (roles if "roles" in parse else roles & {str(one) for one in allowed.get("roles", [])})
    found = found | (everyone if "everyone" in parse else set())
    return found | (replied if allowed.get("replied_user", False) else set())
