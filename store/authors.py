"""Who the author of a source is: one key, `PLATFORM:ID`, whichever way a person's words came here.

Exports write ids in their own ways: Telegram's have `user123` for what its bots call 123, those of others are kept with
their platform before them, and in corrections an author is a person's key already. Whoever compares authors with people
asks here.
"""

from __future__ import annotations

TAUGHT, LOGGED = "taught", "channel"
"""Kinds of sources whose authors are people's keys, and whose messages are those of the channel that it names."""
ROLES = ("dialogues", "document")
"""Kinds whose authors are roles in a conversation, and nobody."""


def person_of(kind: str, author: str) -> str | None:
    """The key of the one whom sources of this kind call `author`; None where that is nobody in particular."""
    if kind in ROLES:
        return None
    if kind == TAUGHT:
        return author if ":" in author else None
    if kind == "telegram":
        return f"telegram:{author.removeprefix('user')}"
    return author if author.startswith(f"{kind}:") else f"{kind}:{author}"


def authors_of(person: str) -> tuple[str, tuple[str, ...]]:
    """The other way round: the kind of the platform's exports, and what they and corrections may call this person."""
    platform, _, number = person.partition(":")
    return platform, (number, f"user{number}", person)
