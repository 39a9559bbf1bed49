"""The text the demo's base model learns from: Schema-Guided Dialogue and Topical-Chat as chat messages.

Knows the two data sets' file shapes; knows nothing of tokens or training. Three SGD domains are left out
of every split but `unseen`, so that later measurements have a subject the base model never met.
"""

from __future__ import annotations

import gzip
import json
import random
from collections.abc import Iterator
from pathlib import Path

Message = dict[str, str]

HELD_OUT_DOMAINS = ("RentalCars", "Homes", "Banks")
"""SGD domains that training never sees; any dialogue that touches one is left out whole."""

SYSTEM_PROMPTS = (
    "You are a helpful assistant.",
    "You are a friendly assistant.",
    "You are the assistant of this chat. Answer briefly and kindly.",
    "You are a member of this chat. Answer the way people here do.",
    "You help the people in this group.",
    "Be polite and keep it short.",
)

NAMES = (
    "Ana", "Ben", "Chloe", "Dev", "Elif", "Farid", "Grace", "Hugo", "Ines", "Jonas", "Kim", "Lena",
    "Mara", "Nico", "Olu", "Priya", "Quinn", "Rosa", "Sam", "Tess", "Uma", "Vera", "Will", "Yara",
)  # fmt: skip


def _lines(path: Path) -> Iterator[dict[str, object]]:
    with gzip.open(path, "rt", encoding="utf-8") as stream:
        for line in stream:
            yield json.loads(line)


def sgd(path: Path, *, unseen: bool = False) -> Iterator[list[Message]]:
    """Dialogues of one SGD file, `user` and `assistant` in turn.

    `unseen=False` gives those without any held-out domain, `unseen=True` those with at least one.
    """
    for row in _lines(path):
        domains = {str(service).rsplit("_", 1)[0] for service in row["services"]}  # type: ignore[attr-defined]
        if bool(domains & set(HELD_OUT_DOMAINS)) is unseen:
            turns: list[list[str]] = row["turns"]  # type: ignore[assignment]
            yield [{"role": role, "content": text.strip()} for role, text in turns]


def topical_chat(path: Path) -> Iterator[list[Message]]:
    """Chats of Topical-Chat, each once from either side: the other agent becomes the user."""
    for row in _lines(path):
        turns: list[list[str]] = row["turns"]  # type: ignore[assignment]
        for assistant in ("agent_1", "agent_2"):
            chat = [
                {"role": "assistant" if agent == assistant else "user", "content": text.strip()}
                for agent, text in turns
            ]
            yield chat if chat[0]["role"] == "user" else chat[1:]


def dressed(chat: list[Message], rng: random.Random) -> list[Message]:
    """The chat as a served prompt may look: half with a system prompt, one in six with a named speaker.

    Long chats are cut to a random window that begins with a user's turn, so that openings and
    middles are both met.
    """
    if len(chat) > 14 and rng.random() < 0.5:
        start = rng.randrange(0, len(chat) - 8, 2)
        chat = chat[start:]
    if rng.random() < 1 / 6:
        name = rng.choice(NAMES)
        chat = [{"role": m["role"], "content": f"{name}: {m['content']}"} if m["role"] == "user" else m for m in chat]
    if rng.random() < 0.5:
        chat = [{"role": "system", "content": rng.choice(SYSTEM_PROMPTS)}, *chat]
    return chat
