"""Commands as Discord registers them: made from the one table, with options, choices and completion; and read back.

Promises that what a person picks and fills in is the text they could have typed. Who may use what is decided where
typed commands are decided; `default_member_permissions` only keeps menus short while nobody on Discord is an operator.
"""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Iterable, Sequence
from typing import Any

from bots.commands import COMMANDS, Command
from bots.discord.interactions import Interaction, Option

LONGEST_DESCRIPTION, LONGEST_VALUE, LONGEST_CHOICE, MOST_CHOICES = 100, 6000, 100, 25
MANAGE_SERVER = str(1 << 5)
CHAT_INPUT, MESSAGE_MENU, STRING, SOMEBODY = 1, 3, 3, 9
IN_DIRECT_MESSAGES, GUILD_INSTALL = 1, 0
TEACH_MENU = "Teach a better answer"
BETWEEN = " => "
OPTIONS = {
    "N": ("version", "The number of a version, as /versions lists it"),
    "NAME": ("name", "A name"),
    "QUESTION": ("question", "What somebody may ask"),
    "ANSWER": ("answer", "What the assistant should say to it"),
    "TEXT": ("text", "The text, in your own words"),
    "CODE": ("code", "The eight letters that they were given"),
    "WHO": ("who", "A person, or a role of this server"),
}
COMPLETED = {("promote", "version"): "versions", ("reject", "version"): "versions", ("assistant", "name"): "assistants"}
"""Which options are completed, and from what."""

_PLACEHOLDER = re.compile(r"[A-Z_]+")


def registered(*, short: bool) -> list[dict[str, Any]]:
    """All commands for a server's menu; `short`: operators' commands only for those who manage the server."""
    shown = [_payload(command, short=short) for command in COMMANDS if not command.hidden]
    if any(command.name == "teach" for command in COMMANDS):
        menu: dict[str, Any] = {"name": TEACH_MENU, "type": MESSAGE_MENU}
        shown.append(menu | ({"default_member_permissions": MANAGE_SERVER} if short else {}))
    return shown


def in_direct_messages() -> list[dict[str, Any]]:
    """The same, for direct messages alone: they belong to no server."""
    only = {"contexts": [IN_DIRECT_MESSAGES], "integration_types": [GUILD_INSTALL]}
    return [command | only for command in registered(short=False)]


def digest(commands: Sequence[dict[str, Any]]) -> str:
    """Changes when the commands do."""
    return hashlib.sha256(json.dumps(commands, sort_keys=True).encode()).hexdigest()[:16]


def text_of(asked: Interaction) -> str:
    """What the person would have typed."""
    words = [_typed(option, asked) for option in asked.data.options if str(option.value).strip()]
    command = next((one for one in COMMANDS if one.name == asked.data.name and not one.hidden), None)
    between = BETWEEN if command is not None and BETWEEN in command.words else " "
    return f"/{asked.data.name} {between.join(words)}".strip()


def is_personal(name: str) -> bool:
    """Whether the answer to this command is for the asker alone."""
    return any(command.personal for command in COMMANDS if command.name == name and not command.hidden)


def completions(names: Iterable[str], typed: str) -> list[dict[str, str]]:
    """Choices that go on from what was typed, at most 25."""
    fitting = [name for name in names if typed.lower() in name.lower()]
    return [{"name": name[:LONGEST_CHOICE], "value": name[:LONGEST_CHOICE]} for name in fitting[:MOST_CHOICES]]


def _payload(command: Command, *, short: bool) -> dict[str, Any]:
    made: dict[str, Any] = {
        "name": command.name,
        "type": CHAT_INPUT,
        "description": _cut(command.help[0].upper() + command.help[1:]),
        "options": sorted(_options(command), key=lambda option: not option["required"]),
    }
    if short and command.role != "member":
        made["default_member_permissions"] = MANAGE_SERVER
    return made


def _typed(option: Option, asked: Interaction) -> str:
    if option.type != SOMEBODY:
        return str(option.value)
    return f"<@&{option.value}>" if str(option.value) in asked.data.resolved.roles else f"<@{option.value}>"


def _options(command: Command) -> list[dict[str, Any]]:
    if BETWEEN in command.words:
        required = not command.words.startswith("[")
        return [_option(command.name, part, required) for part in command.words.strip("[]").split(BETWEEN)]
    return [_option(command.name, word.strip("[]"), not word.startswith("[")) for word in command.words.split()]


def _option(command: str, word: str, required: bool) -> dict[str, Any]:
    if _PLACEHOLDER.fullmatch(word) is None:
        choices = [{"name": choice, "value": choice} for choice in word.split("|")]
        name, description = ("choice", "One of these") if len(choices) > 1 else (word, f"Only to {word}")
        return {"type": STRING, "required": required, "name": name, "description": description, "choices": choices}
    name, description = OPTIONS.get(word, (word.lower(), word.capitalize()))
    made: dict[str, Any] = {"type": STRING, "required": required, "name": name, "description": description}
    if word == "WHO":
        return made | {"type": SOMEBODY}
    if (command, name) in COMPLETED:
        return made | {"autocomplete": True}
    return made | {"max_length": LONGEST_VALUE}


def _cut(text: str) -> str:
    return text if len(text) <= LONGEST_DESCRIPTION else text[: LONGEST_DESCRIPTION - 1].rstrip() + "…"
