"""The versions' tables: the jobs that make them, what each learnt from, and which was put in service when."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from sqlalchemy import JSON, ForeignKey, Integer, LargeBinary, String, Text, UniqueConstraint, false
from sqlalchemy.orm import Mapped, mapped_column

from store.columns import SealedJson, UtcTime, now
from store.tables.base import Base


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
    """One immutable adapter. `state`: passed or failed, as the gate judged; rejected by an operator after it had
    passed; removed by retention: its record stays, its files go. `digest` of its files."""

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
    forgotten_at: Mapped[datetime | None] = mapped_column(UtcTime)
    """Since when text that it learnt from is deleted."""
    trouble: Mapped[str | None] = mapped_column(Text)
    """Why it was taken out of service: the engine could not load it. None once it serves again."""
    trouble_told: Mapped[bool] = mapped_column(default=False, server_default=false())
    """Whether whoever met it was told then, so that no operator has to be told without asking."""
    created_at: Mapped[datetime] = mapped_column(UtcTime, default=now)


class Lineage(Base):
    """Which messages of which source a version learnt from: ascending ids as differences, deflated."""

    __tablename__ = "lineage"
    version_id: Mapped[int] = mapped_column(ForeignKey("versions.id", ondelete="CASCADE"), primary_key=True)
    source_id: Mapped[int] = mapped_column(ForeignKey("sources.id", ondelete="CASCADE"), primary_key=True)
    message_ids: Mapped[bytes] = mapped_column(LargeBinary)


class RemovedAuthor(Base):
    """Somebody, as a keyed digest of their key, whose words a version learnt from a source that was removed since."""

    __tablename__ = "removed_authors"
    digest: Mapped[str] = mapped_column(String(64), primary_key=True)
    version_id: Mapped[int] = mapped_column(ForeignKey("versions.id", ondelete="CASCADE"), primary_key=True)


class Promotion(Base):
    """One move of an assistant's pointer. `action`: promote, rollback, or withdraw (a forgetting took it out of
    service, or the engine could not load it). None stands for the untuned model."""

    __tablename__ = "promotions"
    id: Mapped[int] = mapped_column(primary_key=True)
    assistant_id: Mapped[int] = mapped_column(ForeignKey("assistants.id", ondelete="CASCADE"), index=True)
    action: Mapped[str] = mapped_column(String(10))
    before: Mapped[int | None] = mapped_column(Integer)
    after: Mapped[int | None] = mapped_column(Integer)
    asked_by: Mapped[str] = mapped_column(String(100))
    created_at: Mapped[datetime] = mapped_column(UtcTime, default=now)
