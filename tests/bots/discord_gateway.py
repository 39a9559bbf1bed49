"""Discord's gateway: sessions that survive their sockets, events with sequence numbers, resume and its refusals."""

from __future__ import annotations

import asyncio
import json
import zlib
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any

from aiohttp import WSMsgType, web
from discord_world import DM, Bot, Place, Wire, World

DISPATCH, HEARTBEAT, IDENTIFY, RESUME, RECONNECT, INVALID, HELLO, ACK = 0, 1, 2, 6, 7, 9, 10, 11
CONTENT, GUILD_MESSAGES, DIRECT_MESSAGES = 1 << 15, 1 << 9, 1 << 12


class Socket:
    """One connection, compressed if it asked for that."""

    def __init__(self, response: web.WebSocketResponse, compressed: bool) -> None:
        self.response = response
        self._deflate = zlib.compressobj() if compressed else None

    async def send(self, op: int, data: Any = None, seq: int | None = None, event: str | None = None) -> None:
        await self.send_text(json.dumps({"op": op, "d": data, "s": seq, "t": event}))

    async def send_text(self, text: str) -> None:
        if self.response.closed:
            return
        with suppress(ConnectionError):  # the session keeps it for later
            if self._deflate is None:
                await self.response.send_str(text)
            else:
                packed = self._deflate.compress(text.encode()) + self._deflate.flush(zlib.Z_SYNC_FLUSH)
                await self.response.send_bytes(packed)


@dataclass
class Session:
    """What a bot identified as. `sent` is kept for resuming."""

    id: str
    bot: Bot
    intents: int
    seq: int = 0
    sent: list[tuple[int, str]] = field(default_factory=list)
    socket: Socket | None = None

    async def dispatch(self, event: str, data: Any) -> None:
        self.seq += 1
        text = json.dumps({"op": DISPATCH, "d": data, "s": self.seq, "t": event})
        self.sent.append((self.seq, text))
        if self.socket is not None:
            await self.socket.send_text(text)


class Gateway:
    """`identified` and `resumed` count how connections began. `refuse_resume`: answer RESUME with INVALID_SESSION."""

    def __init__(self, world: World) -> None:
        self.world = world
        self.sessions: dict[str, Session] = {}
        self.identified = 0
        self.resumed = 0
        self.refuse_resume = False
        self.address = ""
        self._open: set[Socket] = set()

    async def handle(self, request: web.BaseRequest) -> web.WebSocketResponse:
        response = web.WebSocketResponse(max_msg_size=0)
        await response.prepare(request)
        socket = Socket(response, request.query.get("compress") == "zlib-stream")
        self._open.add(socket)
        session: Session | None = None
        try:
            await socket.send(HELLO, {"heartbeat_interval": 41_250, "_trace": []})
            async for message in response:
                if message.type != WSMsgType.TEXT:
                    break
                frame = json.loads(message.data)
                if frame["op"] == HEARTBEAT:
                    await socket.send(ACK)
                elif frame["op"] == IDENTIFY:
                    session = await self._identify(socket, frame["d"])
                elif frame["op"] == RESUME:
                    session = await self._resume(socket, frame["d"])
        finally:
            self._open.discard(socket)
            if session is not None and session.socket is socket:
                session.socket = None
        return response

    async def _identify(self, socket: Socket, asked: Wire) -> Session | None:
        bot = self.world.bots.get(asked["token"])
        if bot is None or bot.revoked:
            await socket.response.close(code=4004, message=b"Authentication failed.")
            return None
        if asked["intents"] & CONTENT and not bot.content:
            await socket.response.close(code=4014, message=b"Disallowed intent(s).")
            return None
        self.identified += 1
        session = Session(self.world.snowflake(), bot, asked["intents"], socket=socket)
        self.sessions = {key: kept for key, kept in self.sessions.items() if kept.bot is not bot}
        self.sessions[session.id] = session
        await session.dispatch("READY", {
            "v": 10, "user": bot.user, "session_id": session.id, "resume_gateway_url": self.address,
            "guilds": [{"id": guild, "unavailable": True} for guild in bot.guilds], "shard": [0, 1],
            "application": {"id": bot.application_id, "flags": 0}, "private_channels": [], "_trace": [],
        })  # fmt: skip
        for guild in list(bot.guilds):
            await session.dispatch("GUILD_CREATE", self.world.as_seen(guild, bot) | {"unavailable": False})
        return session

    async def _resume(self, socket: Socket, asked: Wire) -> Session | None:
        session = self.sessions.get(asked["session_id"])
        if self.world.bots.get(asked["token"]) is None or self.world.bots[asked["token"]].revoked:
            await socket.response.close(code=4004, message=b"Authentication failed.")
            return None
        if session is None or self.refuse_resume:
            await socket.send(INVALID, False)
            return None
        self.resumed += 1
        session.socket = socket
        for seq, text in list(session.sent):
            if seq > asked["seq"]:
                await socket.send_text(text)
        await session.dispatch("RESUMED", {"_trace": []})
        return session

    async def tell(self, place: Place, event: str, data: Wire) -> None:
        """Send an event about a channel to every bot that is in it and asked for such events."""
        bots = {id(bot) for bot in self.world.bots_in(place)}
        asked = DIRECT_MESSAGES if place.wire["type"] == DM else GUILD_MESSAGES
        for session in list(self.sessions.values()):
            if id(session.bot) in bots and session.intents & asked:
                await session.dispatch(event, self._seen_by(session, place, data) if "author" in data else data)

    def _seen_by(self, session: Session, place: Place, message: Wire) -> Wire:
        """The message as this bot gets it: without the intent, content only of what is meant for it."""
        own, told = message["author"]["id"] == session.bot.user["id"], any(
            user["id"] == session.bot.user["id"] for user in message["mentions"]
        )  # fmt: skip
        if session.intents & CONTENT or place.wire["type"] == DM or own or told:
            return message
        return message | {"content": "", "attachments": [], "embeds": [], "components": []}

    async def to_bot(self, bot: Bot, event: str, data: Any) -> None:
        """Send an event to one bot."""
        for session in [kept for kept in self.sessions.values() if kept.bot is bot]:
            await session.dispatch(event, data)

    def connected(self, bot: Bot) -> bool:
        return any(session.bot is bot and session.socket is not None for session in self.sessions.values())

    async def drop(self, *, code: int = 4000) -> None:
        """Close every connection; sessions can be resumed."""
        for socket in list(self._open):
            await socket.response.close(code=code)

    async def cut(self) -> None:
        """Break every connection without a word, as a network does."""
        for socket in list(self._open):
            if socket.response._req is not None and socket.response._req.transport is not None:
                socket.response._req.transport.abort()
        await asyncio.sleep(0)

    async def ask_to_reconnect(self) -> None:
        for socket in list(self._open):
            await socket.send(RECONNECT)

    async def forget_sessions(self) -> None:
        """New sessions for all: what happens until they identify again is lost to them."""
        self.sessions.clear()
        for socket in list(self._open):
            await socket.send(INVALID, False)
