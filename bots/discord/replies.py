"""The way back to whoever used a command or a button: acknowledged at once, then a first answer in the place that
Discord holds open, and what only the asker sees.

Promises that nothing depends on the interaction's token for longer than it lives: what comes later is an ordinary
message of the channel. What was deferred and came to nothing leaves nothing behind.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import structlog
from discord.errors import HTTPException
from discord.http import Route

from bots.discord.calls import Calls
from bots.discord.interactions import EPHEMERAL, Interaction, Kind
from bots.discord.outlet import HIDE_EMBEDS, OUT_OF_ORDER, ChannelOutlet, Ours, message_body, patiently
from bots.events import Button
from bots.outlet import ChannelGone, MessageGone, Part

DEFER_MESSAGE, DEFER_UPDATE, COMPLETIONS, FORM = 5, 6, 8, 9

log = structlog.get_logger()


async def acknowledge(calls: Calls, asked: Interaction, kind: int, data: dict[str, Any] | None = None) -> bool:
    """The answer that is due within three seconds; False where it came too late or was given before."""
    route = Route(
        "POST",
        "/interactions/{webhook_id}/{webhook_token}/callback",
        webhook_id=int(asked.id),
        webhook_token=asked.token,
    )
    try:
        await calls.request(route, json={"type": kind} | ({} if data is None else {"data": data}))
    except (HTTPException, *OUT_OF_ORDER) as error:
        log.warning("interaction_not_acknowledged", kind=type(error).__name__)
        return False
    return True


class ReplyOutlet(ChannelOutlet):
    """A channel, and the open interaction in it. `private`: all that is sent is for the asker alone."""

    def __init__(self, calls: Calls, channel_id: int, ours: Ours, asked: Interaction, *, private: bool) -> None:
        super().__init__(calls, channel_id, ours)
        self._asked = asked
        self._private = private
        self._waiting = asked.type != Kind.button
        """Whether 'is thinking' still stands there."""
        self._own: set[str] = set()
        """Messages that only the token can change."""
        if asked.under_private and asked.message is not None:
            self._own.add(asked.message.id)

    async def defer(self) -> bool:
        """Acknowledge it, at once; False where Discord would not have it: then this is a channel like any other."""
        button = self._asked.type == Kind.button
        data = {"flags": EPHEMERAL} if self._private and not button else None
        done = await acknowledge(self._calls, self._asked, DEFER_UPDATE if button else DEFER_MESSAGE, data)
        self._waiting = self._waiting and done
        return done

    async def send(self, part: Part, *, nonce: str, reply_to: str | None = None, buttons: Sequence[Button] = ()) -> str:
        body = message_body(part, buttons)
        if self._waiting:
            self._waiting = False
            made = await self._by_token("PATCH", "/messages/@original", body | {"flags": HIDE_EMBEDS})
            if made is not None:
                return self._known(made)
        elif self._private:
            made = await self._by_token("POST", "", body | {"flags": EPHEMERAL | HIDE_EMBEDS})
            if made is not None:
                return self._known(made)
        if reply_to == self._asked.id:
            reply_to = None  # what was asked by a command is no message
        try:
            return await super().send(part, nonce=nonce, reply_to=reply_to, buttons=buttons)
        except ChannelGone:  # commands work where a bot may not write; so does their answer
            made = await self._by_token("POST", "", body)
            if made is None:
                raise
            self._own.add(str(made["id"]))
            return str(made["id"])

    async def edit(self, external_id: str, part: Part, *, buttons: Sequence[Button] = ()) -> None:
        if external_id not in self._own:
            try:
                await super().edit(external_id, part, buttons=buttons)
                return
            except ChannelGone:
                if self._asked.type == Kind.button:
                    raise
        under = self._asked.message is not None and self._asked.message.id == external_id
        path = "/messages/@original" if under else f"/messages/{external_id}"
        if await self._by_token("PATCH", path, message_body(part, buttons)) is None:
            raise MessageGone

    async def delete(self, external_id: str) -> None:
        if external_id in self._own:
            await self._by_token("DELETE", f"/messages/{external_id}")
        else:
            await super().delete(external_id)

    async def typing(self) -> None:
        if not self._waiting and not self._private:
            await super().typing()

    async def whisper(self, text: str) -> bool:
        if self._waiting and not self._private:
            await self.close()  # the first message would stand where everybody sees it
        if self._waiting:
            self._waiting = False
            return (
                await self._by_token("PATCH", "/messages/@original", message_body(Part(text, plain=True), ()))
                is not None
            )
        body = message_body(Part(text, plain=True), ()) | {"flags": EPHEMERAL}
        return await self._by_token("POST", "", body) is not None

    async def close(self) -> None:
        """Nothing more will be sent: take 'is thinking' away."""
        if self._waiting:
            self._waiting = False
            await self._by_token("DELETE", "/messages/@original")

    def _known(self, made: dict[str, Any]) -> str:
        if self._private:
            self._own.add(str(made["id"]))
        return str(made["id"])

    async def _by_token(self, method: str, path: str, body: dict[str, Any] | None = None) -> dict[str, Any] | None:
        """The message, or {} for none; None where the token no longer works, or never did."""
        route = Route(
            method,
            "/webhooks/{webhook_id}/{webhook_token}" + path,
            webhook_id=int(self._asked.application_id),
            webhook_token=self._asked.token,
        )
        more: dict[str, Any] = {} if body is None else {"json": body}
        try:
            made = await patiently(lambda: self._calls.request(route, **more))
        except HTTPException as error:
            log.info("interaction_over", code=error.code)
            return None
        return made if isinstance(made, dict) else {}
