"""A Bot API server on loopback: Telegram's wire format, its refusals, its limits, and faults on demand.

    async with BotApiServer() as server:
        bot = server.add_bot("harbour_bot")
        chat = bot.private(Person(1, "Ada"))
        chat.says(ada, "Hello")
        await bot.until(lambda: chat.texts)

Strict where Telegram is: a text, entity or keyboard that it would refuse is refused with its words; with `rates`, so
is every call that comes too soon, and `refused` counts those.
"""

from __future__ import annotations

import asyncio
import json
import time
from dataclasses import dataclass, field
from typing import Any

from aiohttp import web
from bot_api_chats import Bot, Chat, Message, Person
from bot_api_rules import (
    Limiter,
    Rates,
    Refusal,
    bad,
    checked_commands,
    checked_keyboard,
    checked_text,
)

__all__ = ["Bot", "BotApiServer", "Chat", "Fault", "Message", "Person", "Rates"]

SAME = (
    "message is not modified: specified new message content and reply markup are exactly the same as a current "
    "content and reply markup of the message"
)
OTHER_POLLER = "Conflict: terminated by other getUpdates request; make sure that only one bot instance is running"
WEBHOOK = "Conflict: can't use getUpdates method while webhook is active; use deleteWebhook to delete the webhook first"
MESSAGES = ("sendMessage", "editMessageText", "editMessageReplyMarkup")
JSON_FIELDS = (
    "entities", "reply_markup", "reply_parameters", "link_preview_options", "allowed_updates", "commands", "scope",
)  # fmt: skip
FAULTS = {
    "drop": "before it acts, the connection ends without an answer",
    "drop_after": "after it acted, the connection ends without an answer",
    "error": "before it acts, a 502",
    "error_after": "after it acted, a 500",
    "flood": "a 429, and again until its time is over",
    "unformatted": "texts with entities are refused",
    "hang": "no answer until `release` is set, then it acts",
    "hang_after": "it acts, and then gives no answer until `release` is set",
}


@dataclass(slots=True, eq=False)
class Fault:
    """Something that goes wrong with the next `times` calls, or those of one `method` or `chat`. `seen` counts."""

    kind: str
    method: str | None = None
    chat: int | None = None
    times: int = 1
    seconds: float = 0.0
    until: float | None = None
    seen: int = 0
    release: asyncio.Event = field(default_factory=asyncio.Event)

    def meets(self, method: str, chat: int | None) -> bool:
        if self.method is not None and self.method != method:
            return False
        if self.method is None and method == "getUpdates":
            return False
        return self.chat is None or self.chat == chat


class BotApiServer:
    """All its bots, on one port. `rates=None` allows everything."""

    def __init__(self, rates: Rates | None = None) -> None:
        self.rates = rates
        self.bots: dict[str, Bot] = {}
        self.faults: list[Fault] = []
        self.refused = 0
        self._limiters: dict[str, Limiter] = {}
        self._runner: web.AppRunner | None = None

    async def __aenter__(self) -> BotApiServer:
        app = web.Application(client_max_size=1 << 20)
        app.router.add_route("*", "/bot{token}/{method}", self._answer)
        app.router.add_get("/file/bot{token}/{path:.+}", self._download)
        self._runner = web.AppRunner(app, access_log=None, shutdown_timeout=0.1)
        await self._runner.setup()
        site = web.TCPSite(self._runner, "127.0.0.1", 0)
        await site.start()
        host, port = self._runner.addresses[0][:2]
        self.url = f"http://{host}:{port}"
        return self

    async def __aexit__(self, *_: object) -> None:
        for bot in self.bots.values():
            if bot.poller is not None and not bot.poller.done():
                bot.poller.cancel()
        assert self._runner is not None
        await self._runner.cleanup()

    def add_bot(self, username: str, token: str | None = None, *, can_read_all: bool = False) -> Bot:
        """A bot with a token of its own."""
        token = token or f"{70_000_000 + len(self.bots)}:AA{'b' * 33}"
        bot = Bot(token, username, can_read_all=can_read_all)
        self.bots[token] = bot
        if self.rates is not None:
            self._limiters[token] = Limiter(self.rates)
        return bot

    def fail(self, kind: str, **fields: Any) -> Fault:
        """Let calls go wrong from now on; the keys of FAULTS say how."""
        assert kind in FAULTS
        fault = Fault(kind, **fields)
        self.faults.append(fault)
        return fault

    async def _answer(self, request: web.Request) -> web.StreamResponse:
        token, method = request.match_info["token"], request.match_info["method"]
        form = await request.post() if request.method == "POST" else {}
        given = [*request.query.items(), *form.items()]
        parameters: dict[str, Any] = {key: value for key, value in given if isinstance(value, str)}
        for name in JSON_FIELDS:
            if name in parameters:
                parameters[name] = json.loads(parameters[name])
        bot = self.bots.get(token)
        try:
            if bot is None or bot.revoked:
                raise Refusal(401, "Unauthorized")
            act = getattr(self, f"_{method}", None)
            if act is None:
                raise Refusal(404, "Not Found: method not found")
            chat = int(parameters["chat_id"]) if "chat_id" in parameters else None
            fault = await self._fault(method, chat, parameters)
            kind = None if fault is None else fault.kind
            if kind == "drop":
                return _dropped(request)
            self._limit(bot, method, chat)
            result = await act(bot, parameters)
            bot.note(method, parameters)
            if kind == "drop_after":
                return _dropped(request)
            if kind == "error_after":
                raise Refusal(500, "Internal Server Error")
            if kind == "hang_after" and fault is not None:
                await fault.release.wait()
            return web.json_response({"ok": True, "result": result})
        except Refusal as refusal:
            answer: dict[str, Any] = {"ok": False, "error_code": refusal.code, "description": refusal.description}
            if refusal.parameters:
                answer["parameters"] = refusal.parameters
            return web.json_response(answer, status=refusal.code)

    async def _fault(self, method: str, chat: int | None, parameters: dict[str, Any]) -> Fault | None:
        """What goes wrong with this call; raises what it is refused with."""
        for fault in [one for one in self.faults if one.meets(method, chat)]:
            if fault.kind == "unformatted" and not parameters.get("entities"):
                continue
            fault.seen += 1
            if fault.kind == "flood":
                now = time.monotonic()
                fault.until = fault.until or now + fault.seconds
                if now >= fault.until:
                    self.faults.remove(fault)
                    fault.seen -= 1
                    continue
                after = max(1, round(fault.until - now + 0.499))
                raise Refusal(429, f"Too Many Requests: retry after {after}", retry_after=after)
            if fault.seen >= fault.times:
                self.faults.remove(fault)
            if fault.kind == "error":
                raise Refusal(502, "Bad Gateway")
            if fault.kind == "unformatted":
                raise bad("can't parse entities: unsupported start tag")
            if fault.kind == "hang":
                await fault.release.wait()
            return fault
        return None

    def _limit(self, bot: Bot, method: str, chat: int | None) -> None:
        limiter = self._limiters.get(bot.token)
        if limiter is None or chat is None or method not in (*MESSAGES, "sendChatAction"):
            return
        try:
            limiter.count(chat, message=method in MESSAGES)
        except Refusal:
            self.refused += 1
            raise

    async def _getMe(self, bot: Bot, parameters: dict[str, Any]) -> dict[str, Any]:
        more = {"can_join_groups": True, "can_read_all_group_messages": bot.can_read_all,
                "supports_inline_queries": False}  # fmt: skip
        return bot.me.wire | more

    async def _getUpdates(self, bot: Bot, parameters: dict[str, Any]) -> list[dict[str, Any]]:
        if bot.webhook:
            raise Refusal(409, WEBHOOK)
        if bot.poller is not None and not bot.poller.done():
            bot.poller.set_exception(Refusal(409, OTHER_POLLER))
            await asyncio.sleep(0)
        offset = int(parameters.get("offset", 0))
        bot.confirmed += [update["update_id"] for update in bot.updates if update["update_id"] < offset]
        bot.updates = [update for update in bot.updates if update["update_id"] >= offset]
        allowed = parameters.get("allowed_updates")
        if not self._wanted(bot, allowed) and int(parameters.get("timeout", 0)):
            poller = bot.poller = asyncio.get_running_loop().create_future()
            try:
                async with asyncio.timeout(int(parameters["timeout"])):
                    await poller
            except TimeoutError:
                pass
            finally:
                if bot.poller is poller:
                    bot.poller = None
        return self._wanted(bot, allowed)[: int(parameters.get("limit", 100))]

    @staticmethod
    def _wanted(bot: Bot, allowed: list[str] | None) -> list[dict[str, Any]]:
        return [update for update in bot.updates if not allowed or any(kind in update for kind in allowed)]

    async def _getWebhookInfo(self, bot: Bot, parameters: dict[str, Any]) -> dict[str, Any]:
        return {"url": bot.webhook, "has_custom_certificate": False, "pending_update_count": len(bot.updates)}

    async def _deleteWebhook(self, bot: Bot, parameters: dict[str, Any]) -> bool:
        if parameters.get("drop_pending_updates") == "true":
            bot.updates.clear()
        bot.webhook = ""
        return True

    def _chat(self, bot: Bot, parameters: dict[str, Any]) -> Chat:
        chat = bot.chats.get(int(parameters["chat_id"]))
        if chat is None:
            raise bad("chat not found")
        if chat.forbidden:
            raise Refusal(403, chat.forbidden)
        if chat.migrated_to:
            raise Refusal(400, "Bad Request: group chat was upgraded to a supergroup chat",
                          migrate_to_chat_id=chat.migrated_to)  # fmt: skip
        topic = parameters.get("message_thread_id")
        if topic is not None and int(topic) not in chat.topics:
            raise bad("message thread not found")
        return chat

    async def _sendMessage(self, bot: Bot, parameters: dict[str, Any]) -> dict[str, Any]:
        chat = self._chat(bot, parameters)
        if "parse_mode" in parameters:
            raise bad("can't parse entities: this server reads entities only")
        text, entities = checked_text(parameters.get("text", ""), parameters.get("entities", []))
        rows = checked_keyboard(parameters.get("reply_markup"))
        reply = parameters.get("reply_parameters")
        replied = None
        if reply is not None:
            found = chat.messages.get(int(reply["message_id"]))
            if found is not None and not found.deleted:
                replied = {key: value for key, value in found.wire.items() if key != "reply_to_message"}
            elif not reply.get("allow_sending_without_reply"):
                raise bad("message to be replied not found")
        topic = parameters.get("message_thread_id")
        message = chat.add(
            bot.me.wire, ours=True, text=text, entities=entities or None, reply_to_message=replied,
            reply_markup={"inline_keyboard": rows} if rows else None,
            message_thread_id=None if topic is None else int(topic),
            is_topic_message=None if topic is None else True,
        )  # fmt: skip
        return message.wire

    def _own(self, bot: Bot, parameters: dict[str, Any], verb: str) -> Message:
        message = self._chat(bot, parameters).messages.get(int(parameters["message_id"]))
        if message is None or message.deleted:
            raise bad(f"message to {verb} not found")
        if not message.ours:
            raise bad(f"message can't be {verb}ed" if verb == "edit" else f"message can't be {verb}d")
        return message

    async def _editMessageText(self, bot: Bot, parameters: dict[str, Any]) -> dict[str, Any]:
        message = self._own(bot, parameters, "edit")
        text, entities = checked_text(parameters.get("text", ""), parameters.get("entities", []))
        self._change(message, parameters, {"text": text, "entities": entities})
        message.said.append(text)
        return message.wire

    async def _editMessageReplyMarkup(self, bot: Bot, parameters: dict[str, Any]) -> dict[str, Any]:
        message = self._own(bot, parameters, "edit")
        self._change(message, parameters, {})
        return message.wire

    @staticmethod
    def _change(message: Message, parameters: dict[str, Any], change: dict[str, Any]) -> None:
        rows = checked_keyboard(parameters.get("reply_markup"))
        wire = {key: value for key, value in message.wire.items() if key != "reply_markup"} | change
        wire = {key: value for key, value in wire.items() if value != []}
        if "entities" in change and not change["entities"]:
            wire.pop("entities", None)
        if rows:
            wire["reply_markup"] = {"inline_keyboard": rows}
        if wire == {key: value for key, value in message.wire.items() if key != "edit_date"}:
            raise bad(SAME)
        message.wire = wire

    async def _deleteMessage(self, bot: Bot, parameters: dict[str, Any]) -> bool:
        self._own(bot, parameters, "delete").deleted = True
        return True

    async def _sendChatAction(self, bot: Bot, parameters: dict[str, Any]) -> bool:
        self._chat(bot, parameters).actions.append(parameters["action"])
        return True

    async def _answerCallbackQuery(self, bot: Bot, parameters: dict[str, Any]) -> bool:
        answers = bot.queries.get(parameters["callback_query_id"])
        if answers is None:
            raise bad("query is too old and response timeout expired or query ID is invalid")
        if len(parameters.get("text", "")) > 200:
            raise bad("MESSAGE_TOO_LONG")
        answers.append(parameters)
        return True

    async def _setMyCommands(self, bot: Bot, parameters: dict[str, Any]) -> bool:
        scope = parameters.get("scope", {"type": "default"})
        if "chat_id" in scope and int(scope["chat_id"]) not in bot.chats:
            raise bad("chat not found")
        key = json.dumps(scope, sort_keys=True), parameters.get("language_code", "")
        bot.commands[key] = checked_commands(parameters["commands"])
        return True

    async def _deleteMyCommands(self, bot: Bot, parameters: dict[str, Any]) -> bool:
        scope = parameters.get("scope", {"type": "default"})
        bot.commands.pop((json.dumps(scope, sort_keys=True), parameters.get("language_code", "")), None)
        return True

    async def _getFile(self, bot: Bot, parameters: dict[str, Any]) -> dict[str, Any]:
        found = bot.files.get(parameters["file_id"])
        if found is None:
            raise bad("invalid file_id")
        if len(found[1]) > 20 * 1024 * 1024:
            raise bad("file is too big")
        return {"file_id": parameters["file_id"], "file_unique_id": parameters["file_id"], "file_size": len(found[1]),
                "file_path": f"documents/{parameters['file_id']}"}  # fmt: skip

    async def _download(self, request: web.Request) -> web.Response:
        bot = self.bots.get(request.match_info["token"])
        found = None if bot is None else bot.files.get(request.match_info["path"].removeprefix("documents/"))
        return web.Response(status=404) if found is None else web.Response(body=found[1])


def _dropped(request: web.Request) -> web.StreamResponse:
    """The connection ends in the middle of nowhere."""
    if request.transport is not None:
        request.transport.abort()
    return web.Response(status=500)
