"""The tables. What each holds is said where it is defined; queries live in the modules named after their subject."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from sqlalchemy import (
    JSON,
    BigInteger,
    ForeignKey,
    Index,
    Integer,
    LargeBinary,
    MetaData,
    String,
    Text,
    UniqueConstraint,
    true,
)
from sqlalchemy.orm import DeclarativeBase, Mapped, mapped_column

from store.columns import SealedJson, SealedText, UtcTime, now


class Base(DeclarativeBase):
    """Holds the metadata that migrations are compared with."""

    metadata = MetaData(
        naming_convention={
            "ix": "ix_%(column_0_label)s",
            "uq": "uq_%(table_name)s_%(column_0_N_name)s",
            "fk": "fk_%(table_name)s_%(column_0_name)s",
            "pk": "pk_%(table_name)s",
        }
    )


class Assistant(Base):
    """A name, a system prompt, a base model, and the version in service (None: the untuned model answers)."""

    __tablename__ = "assistants"
    id: Mapped[int] = mapped_column(primary_key=True)
    name: Mapped[str] = mapped_column(String(40), unique=True)
    system_prompt: Mapped[str] = mapped_column(Text)
    base_model: Mapped[str] = mapped_column(String(200))
    in_service: Mapped[int | None] = mapped_column(Integer)
    auto_promote: Mapped[bool] = mapped_column(default=False)
    created_at: Mapped[datetime] = mapped_column(UtcTime, default=now)


class Source(Base):
    """Where training text came from: one chat of one kind, with the operator's recorded word for its use."""

    __tablename__ = "sources"
    __table_args__ = (UniqueConstraint("assistant_id", "kind", "external_id"),)
    id: Mapped[int] = mapped_column(primary_key=True)
    assistant_id: Mapped[int] = mapped_column(ForeignKey("assistants.id", ondelete="CASCADE"))
    kind: Mapped[str] = mapped_column(String(20))
    external_id: Mapped[str] = mapped_column(String(100))
    title: Mapped[str] = mapped_column(SealedText("sources.title"))
    speaker: Mapped[str | None] = mapped_column(String(100))
    """External id of the author whose answers are learnt."""
    permission: Mapped[str] = mapped_column(Text)
    permission_by: Mapped[str] = mapped_column(String(100))
    permission_at: Mapped[datetime] = mapped_column(UtcTime, default=now)


class Import(Base):
    """One file that was read into a source."""

    __tablename__ = "imports"
    id: Mapped[int] = mapped_column(primary_key=True)
    source_id: Mapped[int] = mapped_column(ForeignKey("sources.id", ondelete="CASCADE"), index=True)
    file_digest: Mapped[str] = mapped_column(String(64))
    messages_read: Mapped[int] = mapped_column(default=0)
    messages_new: Mapped[int] = mapped_column(default=0)
    messages_changed: Mapped[int] = mapped_column(default=0)
    created_at: Mapped[datetime] = mapped_column(UtcTime, default=now)


class SourceAuthor(Base):
    """Somebody who wrote in a source."""

    __tablename__ = "source_authors"
    __table_args__ = (UniqueConstraint("source_id", "external_id"),)
    id: Mapped[int] = mapped_column(primary_key=True)
    source_id: Mapped[int] = mapped_column(ForeignKey("sources.id", ondelete="CASCADE"))
    external_id: Mapped[str] = mapped_column(String(100))
    name: Mapped[str] = mapped_column(SealedText("source_authors.name"))


class SourceMessage(Base):
    """One message of a source. `sent_at` in Unix seconds; `reply_to` an external id; `digest` of its content."""

    __tablename__ = "source_messages"
    __table_args__ = (
        UniqueConstraint("source_id", "external_id"),
        Index("source_messages_by_time", "source_id", "sent_at", "id"),
    )
    id: Mapped[int] = mapped_column(primary_key=True)
    source_id: Mapped[int] = mapped_column(ForeignKey("sources.id", ondelete="CASCADE"))
    import_id: Mapped[int] = mapped_column(ForeignKey("imports.id", ondelete="CASCADE"))
    external_id: Mapped[str] = mapped_column(String(40))
    author_id: Mapped[int] = mapped_column(ForeignKey("source_authors.id", ondelete="CASCADE"))
    sent_at: Mapped[int] = mapped_column(BigInteger)
    reply_to: Mapped[str | None] = mapped_column(String(40))
    forwarded: Mapped[bool] = mapped_column(default=False)
    text: Mapped[str] = mapped_column(SealedText("source_messages.text"))
    digest: Mapped[bytes] = mapped_column(LargeBinary(8))


class Job(Base):
    """One run of tuning. `state`: queued, running, done, failed, cancelled. `progress` and `result` are for people
    and scripts; `cancel` asks a running job to stop."""

    __tablename__ = "jobs"
    id: Mapped[int] = mapped_column(primary_key=True)
    assistant_id: Mapped[int] = mapped_column(ForeignKey("assistants.id", ondelete="CASCADE"), index=True)
    state: Mapped[str] = mapped_column(String(12), default="queued", index=True)
    step: Mapped[str] = mapped_column(String(20), default="waiting")
    cancel: Mapped[bool] = mapped_column(default=False)
    attempts: Mapped[int] = mapped_column(default=0)
    asked_by: Mapped[str] = mapped_column(String(100))
    settings: Mapped[dict[str, Any]] = mapped_column(JSON, default=dict)
    plan: Mapped[dict[str, Any]] = mapped_column(JSON, default=dict)
    progress: Mapped[dict[str, Any]] = mapped_column(JSON, default=dict)
    version: Mapped[int | None] = mapped_column(Integer)
    error: Mapped[str | None] = mapped_column(Text)
    created_at: Mapped[datetime] = mapped_column(UtcTime, default=now)
    started_at: Mapped[datetime | None] = mapped_column(UtcTime)
    ended_at: Mapped[datetime | None] = mapped_column(UtcTime)


class Version(Base):
    """One immutable adapter. `state`: passed or failed, as the gate judged. `digest` of its files."""

    __tablename__ = "versions"
    __table_args__ = (UniqueConstraint("assistant_id", "number"),)
    id: Mapped[int] = mapped_column(primary_key=True)
    assistant_id: Mapped[int] = mapped_column(ForeignKey("assistants.id", ondelete="CASCADE"))
    number: Mapped[int] = mapped_column(Integer)
    state: Mapped[str] = mapped_column(String(10))
    digest: Mapped[str] = mapped_column(String(64))
    system_prompt: Mapped[str] = mapped_column(Text)
    """The prompt it was trained and gated with: what was gated is what is served."""
    base_model: Mapped[str] = mapped_column(String(200))
    report: Mapped[dict[str, Any]] = mapped_column(SealedJson("versions.report"))
    created_at: Mapped[datetime] = mapped_column(UtcTime, default=now)


class Lineage(Base):
    """Which messages of which source a version learnt from: ascending ids as differences, deflated."""

    __tablename__ = "lineage"
    version_id: Mapped[int] = mapped_column(ForeignKey("versions.id", ondelete="CASCADE"), primary_key=True)
    source_id: Mapped[int] = mapped_column(ForeignKey("sources.id", ondelete="CASCADE"), primary_key=True)
    message_ids: Mapped[bytes] = mapped_column(LargeBinary)


class Promotion(Base):
    """One move of an assistant's pointer. `action`: promote or rollback. None stands for the untuned model."""

    __tablename__ = "promotions"
    id: Mapped[int] = mapped_column(primary_key=True)
    assistant_id: Mapped[int] = mapped_column(ForeignKey("assistants.id", ondelete="CASCADE"), index=True)
    action: Mapped[str] = mapped_column(String(10))
    before: Mapped[int | None] = mapped_column(Integer)
    after: Mapped[int | None] = mapped_column(Integer)
    asked_by: Mapped[str] = mapped_column(String(100))
    created_at: Mapped[datetime] = mapped_column(UtcTime, default=now)


class Route(Base):
    """Which assistant answers. `scope`: channel, parent, server, account or default; `key` names the place."""

    __tablename__ = "routes"
    __table_args__ = (UniqueConstraint("scope", "key"),)
    id: Mapped[int] = mapped_column(primary_key=True)
    scope: Mapped[str] = mapped_column(String(10))
    key: Mapped[str] = mapped_column(String(200))
    assistant_id: Mapped[int] = mapped_column(ForeignKey("assistants.id", ondelete="CASCADE"))


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
    memory_after: Mapped[int] = mapped_column(default=0)
    created_at: Mapped[datetime] = mapped_column(UtcTime, default=now)


class Message(Base):
    """One message of a channel. `role`: user or assistant. `state`: said, command, undone; of answers also open,
    resumed, cut (stopped or broken off), failed: see store/conversations.py.

    An answer names the message it answers, its version, tokens and seconds (to the first token, in all)."""

    __tablename__ = "messages"
    __table_args__ = (
        UniqueConstraint("channel_id", "external_id"),
        Index("messages_by_channel", "channel_id", "id"),
    )
    id: Mapped[int] = mapped_column(primary_key=True)
    channel_id: Mapped[int] = mapped_column(ForeignKey("channels.id", ondelete="CASCADE"))
    external_id: Mapped[str | None] = mapped_column(String(100))
    role: Mapped[str] = mapped_column(String(10))
    state: Mapped[str] = mapped_column(String(10), default="said")
    author: Mapped[str] = mapped_column(SealedText("messages.author"))
    text: Mapped[str] = mapped_column(SealedText("messages.text"))
    answers: Mapped[int | None] = mapped_column(ForeignKey("messages.id", ondelete="SET NULL"))
    version: Mapped[str | None] = mapped_column(String(60))
    prompt_tokens: Mapped[int | None] = mapped_column(Integer)
    answer_tokens: Mapped[int | None] = mapped_column(Integer)
    seconds_to_first: Mapped[float | None] = mapped_column()
    seconds: Mapped[float | None] = mapped_column()
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
