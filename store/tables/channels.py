"""The channels' tables: what is said in them, how it reached its platform, and what people think of it."""

from __future__ import annotations

from datetime import datetime

from sqlalchemy import ForeignKey, Index, Integer, String, UniqueConstraint, false, true
from sqlalchemy.orm import Mapped, mapped_column

from store.columns import SealedText, UtcTime, now
from store.tables.base import Base


class Channel(Base):
    """One place where people chat. Memory begins after message `memory_after`. Keys are `ACCOUNT:EXTERNAL`."""

    __tablename__ = "channels"
    id: Mapped[int] = mapped_column(primary_key=True)
    key: Mapped[str] = mapped_column(String(200), unique=True)
    parent_key: Mapped[str | None] = mapped_column(String(200))
    server_key: Mapped[str | None] = mapped_column(String(200))
    account: Mapped[str] = mapped_column(String(100))
    private: Mapped[bool] = mapped_column(default=True, server_default=true())
    """Whether one person talks with the assistant alone; in a group speakers are named."""
    title: Mapped[str | None] = mapped_column(SealedText("channels.title"))
    answers: Mapped[str] = mapped_column(String(10), default="mentions", server_default="mentions")
    """In groups: mentions (said to the assistant), all (every message), listen (never, but it reads along)."""
    learning: Mapped[bool] = mapped_column(default=True, server_default=true())
    """Whether what consenting people write here may be learnt from."""
    present: Mapped[bool] = mapped_column(default=True, server_default=true())
    """Whether the assistant is still there, as far as the platform has said."""
    memory_after: Mapped[int] = mapped_column(default=0)
    created_at: Mapped[datetime] = mapped_column(UtcTime, default=now)


class Message(Base):
    """One message of a channel. `role`: user or assistant. `state`: said, command (begun and retried: one under way),
    undone, overheard (not said to the assistant, but read along), expired (its words were kept long enough); of answers
    also open, resumed, cut (stopped or broken off), failed: see store/conversations.py. `author_key` is the person,
    `PLATFORM:ID`. `delivered_at`: when all that an answer or a command has to show had reached its platform.

    An answer names the message it answers, its version, tokens and seconds (to the first token, in all)."""

    __tablename__ = "messages"
    __table_args__ = (
        UniqueConstraint("channel_id", "external_id"),
        Index("messages_by_channel", "channel_id", "id"),
        Index("messages_by_question", "answers"),
    )
    id: Mapped[int] = mapped_column(primary_key=True)
    channel_id: Mapped[int] = mapped_column(ForeignKey("channels.id", ondelete="CASCADE"))
    external_id: Mapped[str | None] = mapped_column(String(100))
    role: Mapped[str] = mapped_column(String(10))
    state: Mapped[str] = mapped_column(String(10), default="said")
    author_key: Mapped[str | None] = mapped_column(String(120), index=True)
    author: Mapped[str] = mapped_column(SealedText("messages.author"))
    text: Mapped[str] = mapped_column(SealedText("messages.text"))
    answers: Mapped[int | None] = mapped_column(ForeignKey("messages.id", ondelete="SET NULL"))
    reply_to: Mapped[str | None] = mapped_column(String(100))
    """External id of the message that a person replied to."""
    forwarded: Mapped[bool] = mapped_column(default=False, server_default=false())
    """Passed on from elsewhere, so perhaps in somebody else's words."""
    version: Mapped[str | None] = mapped_column(String(60))
    prompt_tokens: Mapped[int | None] = mapped_column(Integer)
    answer_tokens: Mapped[int | None] = mapped_column(Integer)
    seconds_to_first: Mapped[float | None] = mapped_column()
    seconds: Mapped[float | None] = mapped_column()
    edited_at: Mapped[datetime | None] = mapped_column(UtcTime)
    delivered_at: Mapped[datetime | None] = mapped_column(UtcTime)
    created_at: Mapped[datetime] = mapped_column(UtcTime, default=now)


class Delivery(Base):
    """One message that a connector sent. `key` says which: `answer:ID:PART` or `card:KEY`. The row is there before
    the message is sent; `external_id` is None until the platform has named it."""

    __tablename__ = "deliveries"
    __table_args__ = (
        UniqueConstraint("channel_id", "key"),
        Index("deliveries_by_external_id", "channel_id", "external_id"),
    )
    id: Mapped[int] = mapped_column(primary_key=True)
    channel_id: Mapped[int] = mapped_column(ForeignKey("channels.id", ondelete="CASCADE"))
    key: Mapped[str] = mapped_column(String(100))
    external_id: Mapped[str | None] = mapped_column(String(40))
    answer_id: Mapped[int | None] = mapped_column(ForeignKey("messages.id", ondelete="CASCADE"), index=True)
    created_at: Mapped[datetime] = mapped_column(UtcTime, default=now)


class Vote(Base):
    """What one person thinks of one answer: `value` 1 or -1. `version` gave it."""

    __tablename__ = "votes"
    __table_args__ = (UniqueConstraint("message_id", "voter"),)
    id: Mapped[int] = mapped_column(primary_key=True)
    message_id: Mapped[int] = mapped_column(ForeignKey("messages.id", ondelete="CASCADE"))
    voter: Mapped[str] = mapped_column(String(120), index=True)
    value: Mapped[int] = mapped_column(Integer)
    version: Mapped[str | None] = mapped_column(String(60))
    created_at: Mapped[datetime] = mapped_column(UtcTime, default=now)
    changed_at: Mapped[datetime] = mapped_column(UtcTime, default=now)


class Comparison(Base):
    """Two versions' answers to one question, shown side by side in a channel under the names A (`first`) and B. The
    versions are NAME@vN, `choice` is a, b or none; None until somebody has chosen."""

    __tablename__ = "comparisons"
    id: Mapped[int] = mapped_column(primary_key=True)
    channel_id: Mapped[int] = mapped_column(ForeignKey("channels.id", ondelete="CASCADE"), index=True)
    assistant_id: Mapped[int] = mapped_column(ForeignKey("assistants.id", ondelete="CASCADE"), index=True)
    asked_by: Mapped[str] = mapped_column(String(120), index=True)
    question: Mapped[str] = mapped_column(SealedText("comparisons.question"))
    first: Mapped[str] = mapped_column(String(60))
    second: Mapped[str] = mapped_column(String(60))
    first_answer: Mapped[str] = mapped_column(SealedText("comparisons.first_answer"), default="")
    second_answer: Mapped[str] = mapped_column(SealedText("comparisons.second_answer"), default="")
    choice: Mapped[str | None] = mapped_column(String(10))
    chosen_by: Mapped[str | None] = mapped_column(String(120))
    created_at: Mapped[datetime] = mapped_column(UtcTime, default=now)
