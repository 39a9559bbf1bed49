"""What every source gives: chats and their messages, as curation takes them. Knows no export format."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class SourceChat:
    """The head of one chat. `id` as text; comes again with its title if the file names it only after its messages."""

    id: str
    title: str
    kind: str


@dataclass(frozen=True, slots=True)
class SourceMessage:
    """One message. `sent_at` and `edited_at` in Unix seconds, the latter None where it never was; `reply_to`: an
    external id of the same chat, or None. Without `text` it is one that cannot be kept: it holds its place in the
    conversation, and nothing is learnt across it."""

    external_id: str
    author_id: str
    author: str
    sent_at: int
    reply_to: str | None
    forwarded: bool
    text: str
    edited_at: int | None = None
