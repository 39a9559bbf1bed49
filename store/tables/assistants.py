"""The assistants' tables: what each is, where it answers, when it is retrained, how long its things are kept."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from sqlalchemy import JSON, ForeignKey, Integer, String, Text, UniqueConstraint
from sqlalchemy.orm import Mapped, mapped_column

from store.columns import UtcTime, now
from store.tables.base import Base


class Assistant(Base):
    """A name, a system prompt, a base model, and the version in service (None: the untuned model answers)."""

    __tablename__ = "assistants"
    id: Mapped[int] = mapped_column(primary_key=True)
    name: Mapped[str] = mapped_column(String(40), unique=True)
    system_prompt: Mapped[str] = mapped_column(Text)
    base_model: Mapped[str] = mapped_column(String(200))
    in_service: Mapped[int | None] = mapped_column(Integer)
    auto_promote: Mapped[bool] = mapped_column(default=False)
    access: Mapped[str] = mapped_column(String(10), default="open", server_default="open")
    """Who may talk with it: open, pairing, closed."""
    on_forget: Mapped[str] = mapped_column(String(10), default="mark", server_default="mark")
    """What becomes of versions that learnt from text deleted since: mark, withdraw, retrain."""
    cleaning: Mapped[dict[str, Any]] = mapped_column(JSON, default=dict, server_default="{}")
    """Steps of cleaning that are off, and the language that is learnt alone: {"off": [...], "language": "en"}."""
    created_at: Mapped[datetime] = mapped_column(UtcTime, default=now)


class Route(Base):
    """Which assistant answers. `scope`: channel, parent, server, account or default; `key` names the place."""

    __tablename__ = "routes"
    __table_args__ = (UniqueConstraint("scope", "key"),)
    id: Mapped[int] = mapped_column(primary_key=True)
    scope: Mapped[str] = mapped_column(String(10))
    key: Mapped[str] = mapped_column(String(200))
    assistant_id: Mapped[int] = mapped_column(ForeignKey("assistants.id", ondelete="CASCADE"))


class Schedule(Base):
    """When an assistant is retrained by itself: every so many days, or after so many new messages, whichever comes
    first, and only between two hours of the day where these are given (local time, 0 to 23)."""

    __tablename__ = "schedules"
    assistant_id: Mapped[int] = mapped_column(ForeignKey("assistants.id", ondelete="CASCADE"), primary_key=True)
    every_days: Mapped[int | None] = mapped_column(Integer)
    after_messages: Mapped[int | None] = mapped_column(Integer)
    from_hour: Mapped[int | None] = mapped_column(Integer)
    until_hour: Mapped[int | None] = mapped_column(Integer)
    since: Mapped[datetime] = mapped_column(UtcTime, default=now)
    """When it was set; what is older is not counted."""
    set_by: Mapped[str] = mapped_column(String(100))


class Retention(Base):
    """How long things are kept for one assistant, or (None) where it has no such row: the newest versions besides those
    in use, and days of channels' messages. None: for ever."""

    __tablename__ = "retentions"
    __table_args__ = (UniqueConstraint("assistant_id"),)
    id: Mapped[int] = mapped_column(primary_key=True)
    assistant_id: Mapped[int | None] = mapped_column(ForeignKey("assistants.id", ondelete="CASCADE"))
    keep_versions: Mapped[int | None] = mapped_column(Integer)
    message_days: Mapped[int | None] = mapped_column(Integer)
    set_by: Mapped[str] = mapped_column(String(100))
    created_at: Mapped[datetime] = mapped_column(UtcTime, default=now)
