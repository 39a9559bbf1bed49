"""A small Discord over loopback: REST, gateway, interactions, limits and faults, with people who write and press.

    async with DiscordServer() as discord:
        bot = discord.bot("Harbour")
        guild = discord.guild("Quay", bot)
        await discord.say(discord.general(guild), discord.user("Ada"), f"<@{bot.user['id']}> hello")

A bot reaches it with `api_base` and its token. Message Content, `Via`, nonces, the 3 seconds and the 15 minutes are as
in the real one. `calls` lists what was asked of it.
"""

from __future__ import annotations

import json
import re
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from aiohttp import web
from discord_gateway import Gateway
from discord_interactions import AUTOCOMPLETE, COMMAND, COMPONENT, MODAL, Interaction, Interactions
from discord_limits import Limiter, too_many
from discord_rest import Asked, Rest, with_guild
from discord_world import TEXT, ApiError, Bot, Place, Wire, World, now

API = "/api/v10"


@dataclass
class Made:
    """One REST call that came in. `at` in seconds of the monotonic clock."""

    method: str
    path: str
    body: Any
    at: float
    status: int = 0


@dataclass
class Fault:
    """What goes wrong with the next `times` calls that match. `acted`: only after the call has done its work. Status 0
    breaks the connection."""

    method: str
    path: re.Pattern[str]
    status: int
    times: int = 1
    acted: bool = False
    retry_after: float = 0.0
    everywhere: bool = False


class DiscordServer(World):
    """The whole thing. `limiter.strict = True` makes it refuse what comes too fast."""

    def __init__(self) -> None:
        super().__init__()
        self.gateway = Gateway(self)
        self.interactions = Interactions(self)
        self.rest = Rest(self, self.gateway, self.interactions)
        self.limiter = Limiter()
        self.calls: list[Made] = []
        self.faults: list[Fault] = []
        self.files: dict[str, bytes] = {}
        self.on_call: Callable[[Made], None] = lambda call: None
        self.api_base = ""
        self._runner: web.ServerRunner | None = None

    async def __aenter__(self) -> DiscordServer:
        self._runner = web.ServerRunner(web.Server(self._handle, access_log=None), shutdown_timeout=0.1)
        await self._runner.setup()
        site = web.TCPSite(self._runner, "127.0.0.1", 0)
        await site.start()
        host, port = self._runner.addresses[0][:2]
        self.api_base = f"http://{host}:{port}{API}"
        self.gateway.address = f"ws://{host}:{port}/gateway"
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.gateway.drop()
        if self._runner is not None:
            await self._runner.cleanup()

    # What people do

    def general(self, guild: Wire) -> Place:
        return self.places[guild["system_channel_id"]]

    async def say(self, place: Place, author: Wire, text: str, *, reply_to: str | None = None,
                  roles: list[str] | None = None, attachments: list[Wire] | None = None,
                  **more: Any) -> Wire:  # fmt: skip
        """Somebody writes. Everybody who is mentioned is mentioned, as people's clients do."""
        body: Wire = {"content": text, "attachments": attachments or []}
        if reply_to is not None:
            body["message_reference"] = {"message_id": reply_to}
        message = self.post(place, author, body, **more)
        member = {} if place.guild_id is None else {"member": self.member(author, roles)}
        await self.gateway.tell(place, "MESSAGE_CREATE", with_guild(place, message) | member)
        return message

    async def again(self, place: Place, message: Wire) -> None:
        """The same event a second time."""
        await self.gateway.tell(place, "MESSAGE_CREATE", with_guild(place, message))

    async def change(self, place: Place, message: Wire, text: str) -> None:
        message |= {"content": text, "edited_timestamp": now()}
        await self.gateway.tell(place, "MESSAGE_UPDATE", with_guild(place, message))

    async def remove(self, place: Place, *message_ids: str) -> None:
        for message_id in message_ids:
            place.messages.pop(message_id, None)
        if len(message_ids) == 1:
            wire = {"id": message_ids[0], "channel_id": place.id}
            await self.gateway.tell(place, "MESSAGE_DELETE", with_guild(place, wire))
        else:
            wire = {"ids": list(message_ids), "channel_id": place.id}
            await self.gateway.tell(place, "MESSAGE_DELETE_BULK", with_guild(place, wire))

    async def command(self, bot: Bot, place: Place, user: Wire, name: str, *, roles: list[str] | None = None,
                      bare: bool = False, **options: Any) -> Interaction:  # fmt: skip
        """Somebody uses a slash command."""
        data = {"id": "1", "name": name, "type": 1,
                "options": [{"name": key, "type": 3, "value": value} for key, value in options.items()]}  # fmt: skip
        return await self._begin(COMMAND, bot, place, user, data, roles=roles, bare=bare)

    async def menu(self, bot: Bot, place: Place, user: Wire, name: str, target: Wire, *,
                   roles: list[str] | None = None) -> Interaction:  # fmt: skip
        """Somebody picks an entry of a message's menu."""
        data = {"id": "1", "name": name, "type": 3, "target_id": target["id"],
                "resolved": {"messages": {target["id"]: target}}}  # fmt: skip
        return await self._begin(COMMAND, bot, place, user, data, roles=roles)

    async def submit(self, form: Interaction, text: str, *, roles: list[str] | None = None) -> Interaction:
        """Somebody fills in the form that an interaction was answered with."""
        assert form.callback is not None and form.callback[0] == 9
        asked = form.callback[1]
        field = asked["components"][0]["components"][0]
        filled = {"type": 4, "custom_id": field["custom_id"], "value": text}
        data = {"custom_id": asked["custom_id"], "components": [{"type": 1, "components": [filled]}]}
        return await self._begin(MODAL, form.bot, form.place, form.user, data, roles=roles)

    async def complete(self, bot: Bot, place: Place, user: Wire, name: str, option: str, typed: str) -> Interaction:
        """Somebody is typing an option's value."""
        focused = {"name": option, "type": 3, "value": typed, "focused": True}
        return await self._begin(
            AUTOCOMPLETE, bot, place, user, {"id": "1", "name": name, "type": 1, "options": [focused]}
        )

    async def press(self, bot: Bot, place: Place, user: Wire, message: Wire, label: str, *,
                    custom_id: str | None = None, roles: list[str] | None = None) -> Interaction:  # fmt: skip
        """Somebody presses the button with this label; `custom_id` makes it a tampered one."""
        if custom_id is None:
            found = [b for row in message["components"] for b in row["components"] if b["label"] == label]
            custom_id = found[0]["custom_id"]
        data = {"custom_id": custom_id, "component_type": 2}
        return await self._begin(COMPONENT, bot, place, user, data, source=message, roles=roles)

    async def _begin(self, kind: int, bot: Bot, place: Place, user: Wire, data: Wire, *, source: Wire | None = None,
                     roles: list[str] | None = None, bare: bool = False) -> Interaction:  # fmt: skip
        made = self.interactions.begin(kind, bot, place, user, source)
        await self.gateway.to_bot(bot, "INTERACTION_CREATE", self.interactions.payload(made, data, roles, bare=bare))
        return made

    async def join(self, bot: Bot, guild: Wire) -> None:
        """The bot is added to a guild."""
        bot.guilds.append(guild["id"])
        await self.gateway.to_bot(bot, "GUILD_CREATE", self.as_seen(guild["id"], bot))

    async def kick(self, bot: Bot, guild: Wire) -> None:
        """The bot is removed from a guild."""
        bot.guilds.remove(guild["id"])
        await self.gateway.to_bot(bot, "GUILD_DELETE", {"id": guild["id"]})

    def attach(self, name: str, content: bytes, media_type: str = "text/plain") -> Wire:
        """A file to come with a message."""
        self.files[name] = content
        url = f"{self.api_base.removesuffix(API)}/files/{name}"
        return {"id": self.snowflake(), "filename": name, "size": len(content), "content_type": media_type, "url": url,
                "proxy_url": url, "ephemeral": False, "flags": 0}  # fmt: skip

    def fail(self, method: str, path: str, status: int, **more: Any) -> Fault:
        """Let calls go wrong; see Fault."""
        fault = Fault(method, re.compile(path), status, **more)
        self.faults.append(fault)
        return fault

    def said(self, place: Place, bot: Bot) -> list[str]:
        """What the bot's messages in a channel say now."""
        return [m["content"] for m in place.messages.values() if m["author"]["id"] == bot.user["id"]]

    # What bots ask

    async def _handle(self, request: web.BaseRequest) -> web.StreamResponse:
        if request.path.startswith(API):
            return await self._call(request, request.path.removeprefix(API))
        if request.path.startswith("/gateway"):
            return await self.gateway.handle(request)
        return web.Response(body=self.files[request.path.removeprefix("/files/")])

    async def _call(self, request: web.BaseRequest, path: str) -> web.StreamResponse:
        raw = await request.read()
        made = Made(request.method, path, json.loads(raw) if raw else None, time.monotonic())
        self.calls.append(made)
        status, body, headers = await self._judge(request, made)
        made.status = status
        self.on_call(made)
        if status == 0:
            assert request.transport is not None
            request.transport.abort()
            return web.Response()
        headers |= {"Via": "1.1 parlance-test"}
        if body is None:
            return web.Response(status=status, headers=headers)
        headers |= {"Content-Type": "application/json"}  # and no more: the library compares it whole
        return web.Response(body=json.dumps(body).encode(), status=status, headers=headers)

    async def _judge(self, request: web.BaseRequest, made: Made) -> tuple[int, Any, dict[str, str]]:
        for method, pattern, kind, call in self.rest.routes:
            found = pattern.fullmatch(made.path) if method == request.method else None
            if found is None:
                continue
            token = request.headers.get("Authorization", "").removeprefix("Bot ")
            bot = self.bots.get(token)
            if (bot is None or bot.revoked) and kind != "webhook":
                return 401, {"message": "401: Unauthorized", "code": 0}, {}
            verdict = self.limiter.judge(kind, found[1] if pattern.groups else "", token)
            if verdict.refusal is not None:
                return 429, verdict.refusal, verdict.headers
            fault = next(
                (f for f in self.faults if f.times and f.method == made.method and f.path.search(made.path)), None
            )
            if fault is not None:
                fault.times -= 1
                if not fault.acted:
                    return self._faulty(fault, verdict.headers)
            try:
                asked = Asked(bot, found.groups(), dict(request.query), made.body)
                status, body = await call(asked)
            except ApiError as error:
                return error.status, {"message": error.message, "code": error.code}, verdict.headers
            return (status, body, verdict.headers) if fault is None else self._faulty(fault, verdict.headers)
        return 404, {"message": "404: Not Found", "code": 0}, {}

    def _faulty(self, fault: Fault, headers: dict[str, str]) -> tuple[int, Any, dict[str, str]]:
        if fault.status != 429:
            return fault.status, {"message": "Something is wrong", "code": 0}, headers
        scope = {"X-RateLimit-Global": "true"} if fault.everywhere else {}
        told = headers | scope | {"Retry-After": str(fault.retry_after), "X-RateLimit-Remaining": "0"}
        return 429, too_many(fault.retry_after, everywhere=fault.everywhere), told


__all__ = ["TEXT", "Bot", "DiscordServer", "Fault", "Interaction", "Made", "Place"]
