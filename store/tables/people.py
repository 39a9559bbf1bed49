"""The people's tables: who has written, what each may do and has allowed, and who was forgotten."""

from __future__ import annotations

from datetime import datetime

from sqlalchemy import ForeignKey, String, Text, UniqueConstraint
from sqlalchemy.orm import Mapped, mapped_column

from store.columns import SealedText, UtcTime, now
from store.tables.base import Base


class Person(Base):
    """Somebody who has written, as a platform knows them: `key` is `PLATFORM:ID`."""

    __tablename__ = "people"
    id: Mapped[int] = mapped_column(primary_key=True)
    key: Mapped[str] = mapped_column(String(120), unique=True)
    name: Mapped[str] = mapped_column(SealedText("people.name"))
    username: Mapped[str | None] = mapped_column(SealedText("people.username"))
    """What they are mentioned by, where that is not the name that others see."""
    seen_at: Mapped[datetime] = mapped_column(UtcTime, default=now)


class RoleGiven(Base):
    """Who looks after what: `subject` is a person's key or `discord-role:ID`, `role` operator or owner. Without an
    assistant it holds for all of them."""

    __tablename__ = "roles"
    __table_args__ = (UniqueConstraint("subject", "assistant_id"),)
    id: Mapped[int] = mapped_column(primary_key=True)
    subject: Mapped[str] = mapped_column(String(120))
    assistant_id: Mapped[int | None] = mapped_column(ForeignKey("assistants.id", ondelete="CASCADE"))
    role: Mapped[str] = mapped_column(String(10))
    given_by: Mapped[str] = mapped_column(String(120))
    created_at: Mapped[datetime] = mapped_column(UtcTime, default=now)


class Admission(Base):
    """Somebody who may talk with an assistant that asks for pairing, or waits to. `subject` is a person's key or, in
    groups, the channel's. `state`: waiting, admitted, refused. A waiting one's code is kept as a digest only."""

    __tablename__ = "admissions"
    __table_args__ = (UniqueConstraint("assistant_id", "subject"),)
    id: Mapped[int] = mapped_column(primary_key=True)
    assistant_id: Mapped[int] = mapped_column(ForeignKey("assistants.id", ondelete="CASCADE"))
    subject: Mapped[str] = mapped_column(String(200))
    title: Mapped[str] = mapped_column(SealedText("admissions.title"))
    state: Mapped[str] = mapped_column(String(10), default="waiting")
    code_digest: Mapped[str | None] = mapped_column(String(64), index=True)
    expires_at: Mapped[datetime | None] = mapped_column(UtcTime)
    decided_by: Mapped[str | None] = mapped_column(String(120))
    decided_at: Mapped[datetime | None] = mapped_column(UtcTime)
    created_at: Mapped[datetime] = mapped_column(UtcTime, default=now)


class Consent(Base):
    """What a person said to being learnt from in one chat. `chat` is a channel's key, of topics and threads their
    parent's. `state`: asked, in, out. `shown` is the notice they were given."""

    __tablename__ = "consents"
    __table_args__ = (UniqueConstraint("person", "chat"),)
    id: Mapped[int] = mapped_column(primary_key=True)
    person: Mapped[str] = mapped_column(String(120))
    chat: Mapped[str] = mapped_column(String(200), index=True)
    state: Mapped[str] = mapped_column(String(10))
    shown: Mapped[str] = mapped_column(Text)
    shown_at: Mapped[datetime] = mapped_column(UtcTime, default=now)
    decided_at: Mapped[datetime | None] = mapped_column(UtcTime)


class Speaker(Base):
    """Somebody whose words to others an assistant learns from its own channels, because an operator named them. They
    must consent like everybody. `person` is their key."""

    __tablename__ = "speakers"
    __table_args__ = (UniqueConstraint("assistant_id", "person"),)
    id: Mapped[int] = mapped_column(primary_key=True)
    assistant_id: Mapped[int] = mapped_column(ForeignKey("assistants.id", ondelete="CASCADE"))
    person: Mapped[str] = mapped_column(String(120))
    named_by: Mapped[str] = mapped_column(String(120))
    created_at: Mapped[datetime] = mapped_column(UtcTime, default=now)


class ForgottenPerson(Base):
    """Somebody who was forgotten, as a keyed digest of their key: what they wrote before that is not imported again."""

    __tablename__ = "forgotten_people"
    id: Mapped[int] = mapped_column(primary_key=True)
    digest: Mapped[str] = mapped_column(String(64), unique=True)
    forgotten_at: Mapped[datetime] = mapped_column(UtcTime, default=now)
