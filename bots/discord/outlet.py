"""One Discord channel to send into: messages with a nonce, edits, typing; and who may be notified: the asker alone.

Promises that a call which returns was accepted, after however many tries while Discord is out of order; that the same
nonce makes no second message; that no text of ours ever notifies anybody but whom it answers.
"""

from __future__ import annotations

import asyncio
import random
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from datetime import timedelta
from typing import Any, NoReturn, TypeVar

import aiohttp
import structlog
from discord.errors import DiscordServerError, Forbidden, HTTPException, NotFound
from discord.http import Route
from discord.utils import snowflake_time, utcnow

from bots.discord.calls import Calls
from bots.discord.components import rows_of
from bots.events import Button
from bots.markup import discord as markup
from bots.outlet import ChannelGone, MessageGone, Part

PACE = 1.2
"""Seconds between two edits of one message; Discord allows five in five seconds, and sends need room as well."""
FIRST_WAIT, LONGEST_WAIT = 0.5, 30.0
KEEP_TRYING = 600.0
"""Seconds for which Discord may be out of order before a call is given up; the next start takes it up again."""
NONCES_LAST = timedelta(minutes=2)
HIDE_EMBEDS, STILL_THINKING = 4, 128
TO_A_COMMAND = 20
"""The type of messages that answer a command; Discord takes no nonce for them."""
NOBODY: dict[str, Any] = {"parse": [], "replied_user": True}
WORDLESS = "…"
"""Shown for text of which Discord shows nothing."""
UNKNOWN_CHANNEL, UNKNOWN_MESSAGE, EMPTY_MESSAGE, BAD_FORM, ARCHIVED, NO_HISTORY = (
    10003,
    10008,
    50006,
    50035,
    50083,
    160002,
)
OUT_OF_ORDER = (DiscordServerError, aiohttp.ClientError, OSError, TimeoutError)

Result = TypeVar("Result")

log = structlog.get_logger()


@dataclass(frozen=True, slots=True)
class Ours:
    """What an outlet has to know of the bot: its id, and which of these ids of its messages are noted."""

    id: int
    noted: Callable[[Sequence[str]], Awaitable[set[str]]]


class ChannelOutlet:
    """A channel by its id."""

    def __init__(self, calls: Calls, channel_id: int, ours: Ours) -> None:
        self._calls = calls
        self._channel_id = channel_id
        self._ours = ours
        self.pace = PACE

    def split(self, markdown: str) -> list[Part]:
        return [Part(text) for text in markup.split(markdown)]

    async def send(self, part: Part, *, nonce: str, reply_to: str | None = None, buttons: Sequence[Button] = ()) -> str:
        body = message_body(part, buttons) | {"nonce": nonce, "enforce_nonce": True, "flags": HIDE_EMBEDS}
        if reply_to is not None:
            body["message_reference"] = {"message_id": reply_to, "fail_if_not_exists": False}
        try:
            return await self._post(body)
        except HTTPException as error:
            if error.code in (BAD_FORM, NO_HISTORY) and reply_to is not None:
                del body["message_reference"]  # what cannot be replied to can still be answered
                return await self._post(body)
            raise

    async def _post(self, body: dict[str, Any]) -> str:
        try:
            made = await self._patiently("POST", "/messages", json=body)
        except HTTPException as error:
            if error.code == EMPTY_MESSAGE:
                body = body | {"content": WORDLESS}
                made = await self._patiently("POST", "/messages", json=body)
            elif (
                error.code == ARCHIVED
                or (isinstance(error, Forbidden) and error.code != NO_HISTORY)
                or isinstance(error, NotFound)
            ):
                raise ChannelGone from None
            else:
                raise
        if _differs(made, body):  # an earlier process sent it, with what it had to say by then
            await self._patiently("PATCH", "/messages/{message_id}", message_id=str(made["id"]), json=_edited(body))
        return str(made["id"])

    async def edit(self, external_id: str, part: Part, *, buttons: Sequence[Button] = ()) -> None:
        body = message_body(part, buttons)
        self.pace = PACE + self._calls.waiting
        try:
            await self._patiently("PATCH", "/messages/{message_id}", message_id=external_id, json=body)
        except HTTPException as error:
            self._gone(error)

    async def delete(self, external_id: str) -> None:
        try:
            await self._patiently("DELETE", "/messages/{message_id}", message_id=external_id)
        except NotFound:
            return
        except Forbidden:
            raise ChannelGone from None

    async def typing(self) -> None:
        if self._calls.busy:
            return
        try:
            await self._calls.request(self._route("POST", "/typing"))
        except (HTTPException, *OUT_OF_ORDER) as error:
            log.info("typing_not_shown", kind=type(error).__name__)

    async def whisper(self, text: str) -> bool:
        return False

    async def find_sent(self, nonce: str, after: str | None) -> str | None:
        """The first message of ours after `after` that nobody has noted. Of young ones only answers to commands: all
        others had a nonce, which Discord refuses for some minutes."""
        if after is None or not after.isdigit():
            return None
        young = utcnow() - snowflake_time(int(after)) < NONCES_LAST
        try:
            found = await self._patiently("GET", "/messages", params={"after": after, "limit": 100})
        except (Forbidden, NotFound):
            return None
        ours = [
            str(one["id"])
            for one in sorted(found, key=lambda one: int(one["id"]))
            if one["author"]["id"] == str(self._ours.id)
            and not one.get("flags", 0) & STILL_THINKING
            and (one["type"] == TO_A_COMMAND or not young)
        ]
        noted = await self._ours.noted(ours)
        return next((one for one in ours if one not in noted), None)

    def _route(self, method: str, path: str, **parameters: Any) -> Route:
        return Route(method, "/channels/{channel_id}" + path, channel_id=self._channel_id, **parameters)

    async def _patiently(self, method: str, path: str, *, message_id: str | None = None, **more: Any) -> Any:
        parameters = {} if message_id is None else {"message_id": message_id}
        return await patiently(lambda: self._calls.request(self._route(method, path, **parameters), **more))

    def _gone(self, error: HTTPException) -> NoReturn:
        if error.code in (UNKNOWN_MESSAGE, ARCHIVED):
            raise MessageGone from None
        if isinstance(error, Forbidden | NotFound):
            raise ChannelGone from None
        raise error


def message_body(part: Part, buttons: Sequence[Button]) -> dict[str, Any]:
    """What a message says and shows, wherever it goes."""
    content = markup.plain(part.text) if part.plain else part.text
    return {"content": content or WORDLESS, "components": rows_of(buttons), "allowed_mentions": NOBODY}


def _differs(made: dict[str, Any], body: dict[str, Any]) -> bool:
    same_text = made.get("content", body["content"]).strip() == body["content"].strip()
    return not same_text or len(made.get("components") or ()) != len(body["components"])


def _edited(body: dict[str, Any]) -> dict[str, Any]:
    return {key: body[key] for key in ("content", "components", "allowed_mentions")}


async def patiently(call: Callable[[], Awaitable[Result]]) -> Result:
    """The call's result, tried again while Discord or the way to it is out of order."""
    clock = asyncio.get_running_loop().time
    until, wait = clock() + KEEP_TRYING, FIRST_WAIT
    while True:
        try:
            return await call()
        except OUT_OF_ORDER as error:
            if clock() > until:
                raise
            log.info("discord_call_failed", kind=type(error).__name__)
        await asyncio.sleep(random.uniform(wait / 2, wait))  # noqa: S311 - a pause, no secret
        wait = min(2 * wait, LONGEST_WAIT)
