"""Discord's REST calls, as far as a chat bot makes them, each as strict as the real one: a function of the asking bot,
the path's parts and the body, that gives a status and a body."""

from __future__ import annotations

import re
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Any

from discord_gateway import Gateway
from discord_interactions import Interactions
from discord_world import EPHEMERAL, ApiError, Bot, Place, Wire, World, now

Answer = tuple[int, Any]
Call = Callable[..., Awaitable[Answer]]


@dataclass(frozen=True)
class Asked:
    """One request. `bot` is None where the route asks for no token."""

    bot: Bot | None
    parts: tuple[str, ...]
    query: dict[str, str]
    body: Any

    @property
    def asker(self) -> Bot:
        assert self.bot is not None
        return self.bot


class Rest:
    """`routes`: method, pattern, kind of limit (its first part is what the limit counts by), call."""

    def __init__(self, world: World, gateway: Gateway, interactions: Interactions) -> None:
        self.world, self.gateway, self.interactions = world, gateway, interactions
        message = r"/channels/(\d+)/messages/(\d+)"
        hook = r"/webhooks/(\d+)/([^/]+)"
        self.routes: list[tuple[str, re.Pattern[str], str, Call]] = [
            (method, re.compile(pattern), kind, call)
            for method, pattern, kind, call in (
                ("POST", r"/channels/(\d+)/messages", "POST messages", self.send),
                ("PATCH", message, "PATCH message", self.edit),
                ("DELETE", message, "DELETE message", self.delete),
                ("GET", message, "GET message", self.read),
                ("GET", r"/channels/(\d+)/messages", "GET messages", self.history),
                ("POST", r"/channels/(\d+)/typing", "POST typing", self.typing),
                ("GET", r"/channels/(\d+)", "GET channel", self.channel),
                ("GET", r"/users/@me", "GET me", self.me),
                ("GET", r"/(?:oauth2/)?applications/@me", "GET application", self.application),
                ("GET", r"/gateway(?:/bot)?", "GET gateway", self.where),
                ("POST", r"/users/@me/channels", "POST direct", self.direct),
                ("GET", r"/guilds/(\d+)/members/(\d+)", "GET member", self.member),
                ("PUT", r"/applications/(\d+)/guilds/(\d+)/commands", "PUT commands", self.guild_commands),
                ("PUT", r"/applications/(\d+)/commands", "PUT commands", self.commands),
                ("POST", r"/interactions/(\d+)/([^/]+)/callback", "webhook", self.callback),
                ("POST", hook, "webhook", self.follow_up),
                ("GET", hook + r"/messages/([^/]+)", "webhook", self.read_hook),
                ("PATCH", hook + r"/messages/([^/]+)", "webhook", self.edit_hook),
                ("DELETE", hook + r"/messages/([^/]+)", "webhook", self.delete_hook),
            )
        ]

    async def send(self, asked: Asked) -> Answer:
        place = self._writable(asked)
        check(asked.body, new=True)
        nonce = asked.body.get("nonce")
        if nonce is not None and asked.body.get("enforce_nonce"):
            known = place.nonces.get((asked.asker.token, str(nonce)))
            if known is not None and known in place.messages:
                return 200, place.messages[known]
        metadata = place.wire.get("thread_metadata", {})
        if metadata.get("archived"):
            if metadata["locked"]:
                raise ApiError(400, 50083, "Thread is archived")
            metadata["archived"] = False
        message = self.world.post(place, asked.asker.user, asked.body)
        if nonce is not None:
            place.nonces[(asked.asker.token, str(nonce))] = message["id"]
        await self.gateway.tell(place, "MESSAGE_CREATE", with_guild(place, message))
        return 200, message

    async def edit(self, asked: Asked) -> Answer:
        place = self.world.may(asked.asker, asked.parts[0])
        message = self._message(place, asked.parts[1])
        if message["author"]["id"] != asked.asker.user["id"]:
            raise ApiError(403, 50005, "Cannot edit a message authored by another user")
        if place.wire.get("thread_metadata", {}).get("archived"):
            raise ApiError(400, 50083, "Thread is archived")
        check(asked.body)
        message |= {key: asked.body[key] for key in ("content", "components", "flags") if key in asked.body}
        message["edited_timestamp"] = now()
        await self.gateway.tell(place, "MESSAGE_UPDATE", with_guild(place, message))
        return 200, message

    async def delete(self, asked: Asked) -> Answer:
        place = self.world.may(asked.asker, asked.parts[0])
        message = self._message(place, asked.parts[1])
        if message["author"]["id"] != asked.asker.user["id"]:
            raise ApiError(403, 50013, "Missing Permissions")
        del place.messages[message["id"]]
        await self.gateway.tell(
            place, "MESSAGE_DELETE", with_guild(place, {"id": message["id"], "channel_id": place.id})
        )
        return 204, None

    async def read(self, asked: Asked) -> Answer:
        return 200, self._message(self.world.may(asked.asker, asked.parts[0]), asked.parts[1])

    async def history(self, asked: Asked) -> Answer:
        place = self.world.may(asked.asker, asked.parts[0])
        limit = int(asked.query.get("limit", "50"))
        if not 1 <= limit <= 100:
            raise ApiError(400, 50035, "Invalid Form Body: limit")
        found = [m for m in place.messages.values() if int(m["id"]) > int(asked.query.get("after", "0"))]
        if "before" in asked.query:
            found = [m for m in found if int(m["id"]) < int(asked.query["before"])]
        newest = found[:limit] if "after" in asked.query else found[-limit:]
        return 200, [{key: value for key, value in m.items() if key != "nonce"} for m in reversed(newest)]

    async def typing(self, asked: Asked) -> Answer:
        self._writable(asked)
        return 204, None

    async def channel(self, asked: Asked) -> Answer:
        return 200, {k: v for k, v in self.world.may(asked.asker, asked.parts[0]).wire.items() if not k.startswith("_")}

    async def me(self, asked: Asked) -> Answer:
        return 200, asked.asker.user | {"flags": 0, "verified": True, "mfa_enabled": False, "email": None}

    async def application(self, asked: Asked) -> Answer:
        bot = asked.asker
        return 200, {"id": bot.application_id, "name": bot.user["global_name"], "icon": None, "description": "",
                     "bot_public": True, "bot_require_code_grant": False, "verify_key": "00", "summary": "",
                     "flags": 1 << 19 if bot.content else 0, "bot": bot.user,
                     "owner": {"id": "1", "username": "owner", "discriminator": "0", "avatar": None}}  # fmt: skip

    async def where(self, asked: Asked) -> Answer:
        limit = {"total": 1000, "remaining": 999, "reset_after": 14_400_000, "max_concurrency": 1}
        return 200, {"url": self.gateway.address, "shards": 1, "session_start_limit": limit}

    async def direct(self, asked: Asked) -> Answer:
        user = self.world.users.get(str(asked.body["recipient_id"]))
        if user is None:
            raise ApiError(400, 50033, "Invalid Recipient(s)")
        return 200, {k: v for k, v in self.world.direct(asked.asker, user).wire.items() if not k.startswith("_")}

    async def member(self, asked: Asked) -> Answer:
        user = self.world.users.get(asked.parts[1])
        if user is None:
            raise ApiError(404, 10007, "Unknown Member")
        return 200, self.world.member(user, user.get("_roles")) | {"user": user}

    async def guild_commands(self, asked: Asked) -> Answer:
        if asked.parts[1] not in asked.asker.guilds:
            raise ApiError(403, 50001, "Missing Access")
        return await self._write_commands(asked, asked.parts[1])

    async def commands(self, asked: Asked) -> Answer:
        return await self._write_commands(asked, "")

    async def _write_commands(self, asked: Asked, guild: str) -> Answer:
        for command in asked.body:
            check_command(command)
        if len(asked.body) > 100:
            raise ApiError(400, 30032, "Maximum number of application commands reached (100)")
        asked.asker.commands_written += 1
        asked.asker.commands[guild] = [
            command | {"id": self.world.snowflake(), "application_id": asked.asker.application_id, "version": "1"}
            for command in asked.body
        ]
        return 200, asked.asker.commands[guild]

    async def callback(self, asked: Asked) -> Answer:
        made = self.interactions.by_token.get(asked.parts[1])
        check((asked.body.get("data") or {}) if asked.body["type"] in (4, 5, 6, 7) else {})
        message = self.interactions.answer(asked.parts[0], asked.parts[1], asked.body)
        if made is not None and message is not None and not message["flags"] & EPHEMERAL:
            await self.gateway.tell(made.place, "MESSAGE_CREATE", with_guild(made.place, message))
        return 204, None

    async def follow_up(self, asked: Asked) -> Answer:
        made = self.interactions.alive(asked.parts[0], asked.parts[1])
        check(asked.body, new=True)
        message = self.interactions.follow_up(made, asked.body)
        if not message["flags"] & EPHEMERAL:
            await self.gateway.tell(made.place, "MESSAGE_CREATE", with_guild(made.place, message))
        return 200, message

    async def read_hook(self, asked: Asked) -> Answer:
        return 200, self.interactions.find(self.interactions.alive(*asked.parts[:2]), asked.parts[2])

    async def edit_hook(self, asked: Asked) -> Answer:
        made = self.interactions.alive(*asked.parts[:2])
        check(asked.body)
        message = self.interactions.edit(made, asked.parts[2], asked.body)
        if not message["flags"] & EPHEMERAL:
            await self.gateway.tell(made.place, "MESSAGE_UPDATE", with_guild(made.place, message))
        return 200, message

    async def delete_hook(self, asked: Asked) -> Answer:
        self.interactions.delete(self.interactions.alive(*asked.parts[:2]), asked.parts[2])
        return 204, None

    def _writable(self, asked: Asked) -> Place:
        place = self.world.may(asked.asker, asked.parts[0])
        if place.mute:
            raise ApiError(403, 50013, "Missing Permissions")
        return place

    def _message(self, place: Place, message_id: str) -> Wire:
        if message_id not in place.messages:
            raise ApiError(404, 10008, "Unknown Message")
        return place.messages[message_id]


def with_guild(place: Place, wire: Wire) -> Wire:
    return wire if place.guild_id is None else wire | {"guild_id": place.guild_id}


def check(body: Wire, *, new: bool = False) -> None:
    """What Discord would refuse in a message."""
    content = body.get("content") or ""
    if len(content) > 2000:
        raise ApiError(400, 50035, "Invalid Form Body: content: Must be 2000 or fewer in length.")
    if new and not content.strip() and not body.get("components"):
        raise ApiError(400, 50006, "Cannot send an empty message")
    if len(str(body.get("nonce") or "")) > 25:
        raise ApiError(400, 50035, "Invalid Form Body: nonce: Must be 25 or fewer in length.")
    rows = body.get("components") or []
    buttons = [button for row in rows for button in row["components"]]
    ids = [button["custom_id"] for button in buttons]
    if len(rows) > 5 or any(not 1 <= len(row["components"]) <= 5 for row in rows) or len(set(ids)) != len(ids):
        raise ApiError(400, 50035, "Invalid Form Body: components")
    if any(not 1 <= len(button["custom_id"]) <= 100 or len(button["label"]) > 80 for button in buttons):
        raise ApiError(400, 50035, "Invalid Form Body: components")
    allowed = body.get("allowed_mentions") or {}
    if set(allowed) - {"parse", "users", "roles", "replied_user"} or {"users"} <= set(allowed.get("parse", [])) & set(
        allowed
    ):
        raise ApiError(400, 50035, "Invalid Form Body: allowed_mentions")


def check_command(command: Wire) -> None:
    """What Discord would refuse in an application command."""
    kind = command.get("type", 1)
    options = command.get("options", [])
    good = re.fullmatch(r"[-_a-z0-9]{1,32}", command["name"]) if kind == 1 else 1 <= len(command["name"]) <= 32
    if not good or (kind == 1) != (1 <= len(command.get("description", "")) <= 100) or len(options) > 25:
        raise ApiError(400, 50035, f"Invalid Form Body: {command['name']}")
    required = [option.get("required", False) for option in options]
    if required != sorted(required, reverse=True):
        raise ApiError(400, 50035, "Invalid Form Body: required options must come first")
    for option in options:
        choices = option.get("choices", [])
        named = re.fullmatch(r"[-_a-z0-9]{1,32}", option["name"]) and 1 <= len(option["description"]) <= 100
        if not named or len(choices) > 25 or (choices and option.get("autocomplete")):
            raise ApiError(400, 50035, f"Invalid Form Body: {command['name']}.{option['name']}")
