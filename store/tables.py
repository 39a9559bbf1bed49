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
    false,
    text,
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
    access: Mapped[str] = mapped_column(String(10), default="open", server_default="open")
    """Who may talk with it: open, pairing, closed."""
    on_forget: Mapped[str] = mapped_column(String(10), default="mark", server_default="mark")
    """What becomes of versions that learnt from text deleted since: mark, withdraw, retrain."""
    cleaning: Mapped[dict[str, Any]] = mapped_column(JSON, default=dict, server_default="{}")
    """Steps of cleaning that are off, and the language that is learnt alone: {"off": [...], "language": "en"}."""
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
    """Whether somebody who looks after its assistant was told."""
    created_at: Mapped[datetime] = mapped_column(UtcTime, default=now)


class Lineage(Base):
    """Which messages of which source a version learnt from: ascending ids as differences, deflated."""

    __tablename__ = "lineage"
    version_id: Mapped[int] = mapped_column(ForeignKey("versions.id", ondelete="CASCADE"), primary_key=True)
    source_id: Mapped[int] = mapped_column(ForeignKey("sources.id", ondelete="CASCADE"), primary_key=True)
    message_ids: Mapped[bytes] = mapped_column(LargeBinary)


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
    """When it was set, or last let a retrain begin; from then on is counted."""
    set_by: Mapped[str] = mapped_column(String(100))


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
