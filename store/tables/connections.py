"""The tables of what assistants are reached by: bot accounts, browsers, keys of programs."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from sqlalchemy import JSON, ForeignKey, Index, Integer, String, Text, UniqueConstraint, text
from sqlalchemy.orm import Mapped, mapped_column

from store.columns import SealedText, UtcTime, now
from store.tables.base import Base


class Account(Base):
    """A bot account on a platform: `platform` telegram or discord. `state`: on, paused, stopped (`trouble` says why),
    removed (without its token; its name stays taken, because its chats are kept under it).

    `permission` refers to what allows learning from this account's channels where the platform asks for it."""

    __tablename__ = "accounts"
    __table_args__ = (UniqueConstraint("platform", "external_id"),)
    id: Mapped[int] = mapped_column(primary_key=True)
    name: Mapped[str] = mapped_column(String(40), unique=True)
    platform: Mapped[str] = mapped_column(String(10))
    external_id: Mapped[str] = mapped_column(String(40))
    """The bot's own id there."""
    username: Mapped[str] = mapped_column(String(100))
    token: Mapped[str] = mapped_column(SealedText("accounts.token"))
    api_base: Mapped[str | None] = mapped_column(String(300))
    state: Mapped[str] = mapped_column(String(10), default="on")
    trouble: Mapped[str | None] = mapped_column(Text)
    permission: Mapped[str | None] = mapped_column(Text)
    permission_by: Mapped[str | None] = mapped_column(String(100))
    permission_at: Mapped[datetime | None] = mapped_column(UtcTime)
    cursor: Mapped[dict[str, Any]] = mapped_column(JSON, default=dict)
    """What the connector has to remember: how far it has read, which commands it has registered."""
    created_at: Mapped[datetime] = mapped_column(UtcTime, default=now)


class WebSession(Base):
    """One browser. Its cookie's token is kept as a digest only; `role`: member or operator."""

    __tablename__ = "web_sessions"
    id: Mapped[int] = mapped_column(primary_key=True)
    token_digest: Mapped[str] = mapped_column(String(64), unique=True)
    public_id: Mapped[str] = mapped_column(String(32), unique=True)
    """Names its channel, `web:ID`."""
    role: Mapped[str] = mapped_column(String(10), default="member")
    created_at: Mapped[datetime] = mapped_column(UtcTime, default=now)
    seen_at: Mapped[datetime] = mapped_column(UtcTime, default=now)


class ClientKey(Base):
    """A key of a program that talks to assistants: its SHA-256, and its first characters to tell it by. `a_minute`:
    requests; `leads`: whose system prompt stands, assistant or client. Its scope is in `client_key_scopes` unless it is
    for all assistants."""

    __tablename__ = "client_keys"
    __table_args__ = (
        Index(
            "client_keys_in_use",
            "name",
            unique=True,
            sqlite_where=text("revoked_at IS NULL"),
            postgresql_where=text("revoked_at IS NULL"),
        ),
    )
    id: Mapped[int] = mapped_column(primary_key=True)
    name: Mapped[str] = mapped_column(String(40))
    prefix: Mapped[str] = mapped_column(String(20), unique=True)
    digest: Mapped[str] = mapped_column(String(64))
    all_assistants: Mapped[bool] = mapped_column(default=False)
    a_minute: Mapped[int] = mapped_column(Integer)
    leads: Mapped[str] = mapped_column(String(10), default="assistant")
    created_by: Mapped[str] = mapped_column(String(100))
    created_at: Mapped[datetime] = mapped_column(UtcTime, default=now)
    revoked_at: Mapped[datetime | None] = mapped_column(UtcTime)


class ClientKeyScope(Base):
    """One assistant that a key may use."""

    __tablename__ = "client_key_scopes"
    key_id: Mapped[int] = mapped_column(ForeignKey("client_keys.id", ondelete="CASCADE"), primary_key=True)
    assistant_id: Mapped[int] = mapped_column(ForeignKey("assistants.id", ondelete="CASCADE"), primary_key=True)
