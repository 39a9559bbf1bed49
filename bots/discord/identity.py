"""Whose token it is, what its portal page allows, and a link that brings the bot to a server, ready to click."""

from __future__ import annotations

from typing import Any

import aiohttp
from discord import Permissions
from discord.errors import HTTPException, LoginFailure
from discord.http import Route
from discord.utils import oauth_url
from pydantic import SecretStr

from bots.discord.calls import Calls
from bots.platforms import Identity
from config.errors import BadInput, Refused

CONTENT_FLAGS = (1 << 18) | (1 << 19)
"""Message Content granted by review, or switched on for a bot in fewer than a hundred servers."""
SCOPES = ("bot", "applications.commands")
PERMISSIONS = Permissions(
    view_channel=True,
    send_messages=True,
    send_messages_in_threads=True,
    read_message_history=True,
)
CONTENT_OFF = (
    "The Message Content intent is off, so in servers I see only what mentions me, and commands; to let me read along, "
    "switch it on at discord.com/developers/applications under Bot, Privileged Gateway Intents, then pause and resume "
    "this account."
)
ELSEWHERE = (
    "The application has an Interactions Endpoint URL, so Discord sends slash commands and buttons there instead of "
    "here; remove it at discord.com/developers/applications under General Information."
)
NOT_ACCEPTED = (
    "Discord does not accept that token; copy it anew at discord.com/developers/applications under Bot, Reset Token."
)


def invite(application_id: str) -> str:
    """Opens Discord's 'add to server' with the permissions and scopes that are needed, and no more."""
    return oauth_url(application_id, permissions=PERMISSIONS, scopes=SCOPES)


async def check(token: SecretStr, api_base: str | None) -> Identity:
    """Ask Discord whose token this is. Raises BadInput for one that it does not accept, Refused where it cannot be
    asked now."""
    calls = Calls(api_base)
    try:
        me = await calls.static_login(token.get_secret_value())
        application: dict[str, Any] = await calls.request(Route("GET", "/applications/@me"))
    except LoginFailure:
        raise BadInput(NOT_ACCEPTED) from None
    except (HTTPException, aiohttp.ClientError, OSError, TimeoutError):
        raise Refused("Discord could not be asked whose token that is; please try again in a moment.") from None
    finally:
        await calls.end()
    hints = []
    if not application.get("flags", 0) & CONTENT_FLAGS:
        hints.append(CONTENT_OFF)
    if application.get("interactions_endpoint_url"):
        hints.append(ELSEWHERE)
    name = me.get("global_name") or me["username"]
    return Identity(str(me["id"]), me["username"], name, tuple(hints), invite(str(application["id"])))
