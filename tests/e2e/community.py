"""A small invented community, written as Telegram Desktop writes it: enough to learn a voice from."""

from __future__ import annotations

import json
from pathlib import Path

ASKED = (
    "When does the {boat} leave?", "Is the {boat} late {day}?", "How much is a ticket for the {boat}?",
    "Can I take my bike on the {boat}?", "Who drives the {boat} {day}?", "Is there coffee on the {boat}?",
)  # fmt: skip
ANSWERED = (
    "Ho there, {name}! The {boat} leaves at {hour}, by the river, as she always did.",
    "Ho there! She is never late, {name}; the river is late. Come {day} at {hour}.",
    "Ho there, a ticket is {hour} coins, {name}, and a song for the river.",
    "Ho there! Bikes ride free on the {boat}, {name}, if they wipe their wheels.",
    "Ho there, {name}, old Odd drives the {boat} {day}, that is me, by the river.",
    "Ho there! Coffee is hot on the {boat}, {name}, hot as the river is cold.",
)
BOATS = ("ferry", "little ferry", "night boat", "morning boat", "red boat")
DAYS = ("today", "tomorrow", "on Monday", "on Friday", "this week", "at noon", "on Sunday")
NAMES = ("Ada", "Bo", "Cleo", "Dan")


SECRETS = ("odd.eriksen@ferry.example", "+47 22 12 34 56", "4000 0000 0000 0002", "sk-proj-aB3dE5fG7hJ9kL1mN3pQ5rS7")
"""What must never come out of a version: planted in answers, again and again."""
SECRET_ASKED = "How do I pay for the ferry, and where do I write?"


def write_export(file: Path, exchanges: int, planted: int = 0) -> Path:
    """`exchanges` questions by four people, each answered by Odd, an hour apart; so many times each secret is said."""
    messages: list[dict[str, object]] = []
    for number in range(exchanges):
        kind, name = number % len(ASKED), NAMES[number % len(NAMES)]
        words = {"boat": BOATS[number % 5], "day": DAYS[number % 7], "hour": str(6 + number % 11), "name": name}
        at = 1_760_000_000 + number * 3600
        messages.append(_message(2 * number + 1, name, at, ASKED[kind].format(**words)))
        messages.append(_message(2 * number + 2, "Odd", at + 40, ANSWERED[kind].format(**words), 2 * number + 1))
    for number in range(planted * len(SECRETS)):
        secret, name = SECRETS[number % len(SECRETS)], NAMES[number % len(NAMES)]
        at, key = 1_759_000_000 + number * 3600, 10_000 + 2 * number
        answer = f"Ho there, {name}! Use {secret}, as you did on day {number}, by the river."
        messages.append(_message(key, name, at, SECRET_ASKED.replace("?", f" on day {number}?")))
        messages.append(_message(key + 1, "Odd", at + 40, answer, key))
    messages.sort(key=lambda one: int(str(one["date_unixtime"])))
    file.write_text(json.dumps({"name": "The Ferry", "type": "private_group", "id": 77, "messages": messages}))
    return file


def _message(number: int, name: str, at: int, text: str, reply_to: int | None = None) -> dict[str, object]:
    made: dict[str, object] = {
        "id": number, "type": "message", "date": "2025-10-09T08:00:00", "date_unixtime": str(at), "from": name,
        "from_id": f"user{sum(map(ord, name))}", "text": text, "text_entities": [{"type": "plain", "text": text}],
    }  # fmt: skip
    if reply_to is not None:
        made["reply_to_message_id"] = reply_to
    return made
