"""The sources' tables: where training text came from, and the text."""

from __future__ import annotations

from datetime import datetime

from sqlalchemy import JSON, BigInteger, ForeignKey, Index, LargeBinary, String, Text, UniqueConstraint, false
from sqlalchemy.orm import Mapped, mapped_column

from store.columns import SealedText, UtcTime, now
from store.tables.base import Base


class Source(Base):
    """Where training text came from: one chat of one kind, with the operator's recorded word for its use."""

    __tablename__ = "sources"
    __table_args__ = (UniqueConstraint("assistant_id", "kind", "external_id"),)
    id: Mapped[int] = mapped_column(primary_key=True)
    assistant_id: Mapped[int] = mapped_column(ForeignKey("assistants.id", ondelete="CASCADE"))
    kind: Mapped[str] = mapped_column(String(20))
    external_id: Mapped[str] = mapped_column(String(100))
    title: Mapped[str] = mapped_column(SealedText("sources.title"))
    speakers: Mapped[list[str] | None] = mapped_column(JSON(none_as_null=True))
    """External ids of the authors whose answers are learnt, or "*" alone: everybody's."""
    paused: Mapped[bool] = mapped_column(default=False, server_default=false())
    """Kept, but not learnt from."""
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
    """One message of a source. `sent_at` and `edited_at` in Unix seconds, the latter None where it was not edited
    as far as is known; `reply_to` an external id; `digest` of its content."""

    __tablename__ = "source_messages"
    __table_args__ = (
        UniqueConstraint("source_id", "external_id"),
        Index("source_messages_by_time", "source_id", "sent_at", "id"),
        Index("source_messages_by_author", "author_id"),
    )
    id: Mapped[int] = mapped_column(primary_key=True)
    source_id: Mapped[int] = mapped_column(ForeignKey("sources.id", ondelete="CASCADE"))
    import_id: Mapped[int] = mapped_column(ForeignKey("imports.id", ondelete="CASCADE"))
    external_id: Mapped[str] = mapped_column(String(40))
    author_id: Mapped[int] = mapped_column(ForeignKey("source_authors.id", ondelete="CASCADE"))
    sent_at: Mapped[int] = mapped_column(BigInteger)
    edited_at: Mapped[int | None] = mapped_column(BigInteger)
    reply_to: Mapped[str | None] = mapped_column(String(40))
    forwarded: Mapped[bool] = mapped_column(default=False)
    text: Mapped[str] = mapped_column(SealedText("source_messages.text"))
    digest: Mapped[bytes] = mapped_column(LargeBinary(8))
