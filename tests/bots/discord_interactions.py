"""Interactions: slash commands, buttons, autocomplete. To be answered within 3 seconds, with a token that dies after
15 minutes; the answer is a message of the bot, or one that only the asker sees."""

from __future__ import annotations

import asyncio
import secrets
import time
from dataclasses import dataclass, field

from discord_world import EPHEMERAL, LOADING, ApiError, Bot, Place, Wire, World, now

ANSWER_WITHIN, TOKEN_LIVES = 3.0, 900.0
COMMAND, COMPONENT, AUTOCOMPLETE, MODAL = 2, 3, 4, 5


@dataclass
class Interaction:
    """`kind` as on the wire. `callback` is the first answer: (type, data). `whispers` are texts for the asker alone."""

    id: str
    token: str
    kind: int
    bot: Bot
    place: Place
    user: Wire
    source: Wire | None = None
    created: float = field(default_factory=time.monotonic)
    callback: tuple[int, Wire] | None = None
    answered: asyncio.Event = field(default_factory=asyncio.Event)
    original: Wire | None = None
    messages: dict[str, Wire] = field(default_factory=dict)

    def age(self, seconds: float) -> None:
        """Let time pass for this one."""
        self.created -= seconds

    @property
    def whispers(self) -> list[str]:
        return [message["content"] for message in self.messages.values() if message["flags"] & EPHEMERAL]


class Interactions:
    """All that were ever begun. `late` counts answers that came after 3 seconds or twice."""

    def __init__(self, world: World) -> None:
        self.world = world
        self.by_token: dict[str, Interaction] = {}
        self.late = 0

    def begin(self, kind: int, bot: Bot, place: Place, user: Wire, source: Wire | None = None) -> Interaction:
        made = Interaction(self.world.snowflake(), secrets.token_hex(40), kind, bot, place, user, source)
        self.by_token[made.token] = made
        return made

    def payload(self, made: Interaction, data: Wire, roles: list[str] | None, *, bare: bool = False) -> Wire:
        """As the gateway sends it. `bare`: without the channel object, as it comes for channels unknown to the bot."""
        wire: Wire = {"id": made.id, "application_id": made.bot.application_id, "type": made.kind, "data": data,
                      "token": made.token, "version": 1, "locale": "en-GB", "channel_id": made.place.id,
                      "app_permissions": "2147483647", "entitlements": [], "attachment_size_limit": 10_485_760,
                      "authorizing_integration_owners": {}, "context": 1 if made.place.guild_id else 0}  # fmt: skip
        if not bare:
            wire["channel"] = {key: value for key, value in made.place.wire.items() if not key.startswith("_")}
        if made.source is not None:
            wire["message"] = made.source
        if made.place.guild_id is None:
            return wire | {"user": made.user}
        member = self.world.member(made.user, roles) | {"user": made.user, "permissions": "2147483647"}
        return wire | {"guild_id": made.place.guild_id, "guild": {"id": made.place.guild_id, "locale": "en-US",
                       "features": []}, "guild_locale": "en-US", "member": member}  # fmt: skip

    def answer(self, interaction_id: str, token: str, body: Wire) -> Wire | None:
        """The callback. Gives the message that it made in the channel, if it did."""
        made = self.by_token.get(token)
        if made is None or made.id != interaction_id or time.monotonic() - made.created > ANSWER_WITHIN:
            self.late += 1
            raise ApiError(404, 10062, "Unknown interaction")
        if made.callback is not None:
            self.late += 1
            raise ApiError(400, 40060, "Interaction has already been acknowledged.")
        kind, data = body["type"], body.get("data") or {}
        if kind in (6, 7) and made.kind != COMPONENT:
            raise ApiError(400, 50035, "Invalid Form Body: type")
        if (kind == 8) != (made.kind == AUTOCOMPLETE):
            raise ApiError(400, 50035, "Invalid Form Body: type")
        if kind == 8 and (len(data["choices"]) > 25 or any(not 1 <= len(c["name"]) <= 100 for c in data["choices"])):
            raise ApiError(400, 50035, "Invalid Form Body: choices")
        made.callback = (kind, data)
        made.answered.set()
        if kind == 4:
            made.original = self._message(made, data)
        elif kind == 5:
            made.original = self._message(made, {"flags": data.get("flags", 0) & EPHEMERAL | LOADING})
        elif kind in (6, 7):
            made.original = made.source
        return made.original if kind in (4, 5) else None

    def alive(self, application: str, token: str) -> Interaction:
        made = self.by_token.get(token)
        if made is None or made.bot.application_id != application or time.monotonic() - made.created > TOKEN_LIVES:
            raise ApiError(401, 50027, "Invalid Webhook Token")
        if made.callback is None:
            raise ApiError(404, 10015, "Unknown Webhook")
        return made

    def follow_up(self, made: Interaction, body: Wire) -> Wire:
        """A further message; the first one after a deferral takes the deferral's place."""
        if made.original is not None and made.original["flags"] & LOADING:
            return self.edit(made, "@original", body)
        return self._message(made, body)

    def find(self, made: Interaction, message_id: str) -> Wire:
        found = made.original if message_id == "@original" else made.messages.get(message_id)
        if found is None:
            raise ApiError(404, 10008, "Unknown Message")
        return found

    def edit(self, made: Interaction, message_id: str, body: Wire) -> Wire:
        found = self.find(made, message_id)
        if found["flags"] & LOADING:
            found["flags"] &= ~LOADING
        else:
            found["edited_timestamp"] = now()
        found |= {key: body[key] for key in ("content", "components") if key in body}
        return found

    def delete(self, made: Interaction, message_id: str) -> Wire:
        found = self.find(made, message_id)
        made.messages.pop(found["id"], None)
        made.place.messages.pop(found["id"], None)
        if found is made.original:
            made.original = None
        return found

    def _message(self, made: Interaction, body: Wire) -> Wire:
        message = self.world.post(
            made.place,
            made.bot.user,
            body,
            type=20,
            webhook_id=made.bot.application_id,
            application_id=made.bot.application_id,
        )
        made.messages[message["id"]] = message
        return message
