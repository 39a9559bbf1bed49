"""Accounts of platforms, people and their roles, admissions, consents, votes, and what was delivered."""

import sqlalchemy as sa
from alembic import op

revision = "0003"
down_revision = "0002"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "accounts",
        sa.Column("id", sa.Integer(), nullable=False),
        sa.Column("name", sa.String(length=40), nullable=False),
        sa.Column("platform", sa.String(length=10), nullable=False),
        sa.Column("external_id", sa.String(length=40), nullable=False),
        sa.Column("username", sa.String(length=100), nullable=False),
        sa.Column("token", sa.LargeBinary(), nullable=False),
        sa.Column("api_base", sa.String(length=300), nullable=True),
        sa.Column("state", sa.String(length=10), nullable=False),
        sa.Column("trouble", sa.Text(), nullable=True),
        sa.Column("permission", sa.Text(), nullable=True),
        sa.Column("permission_by", sa.String(length=100), nullable=True),
        sa.Column("permission_at", sa.DateTime(), nullable=True),
        sa.Column("cursor", sa.JSON(), nullable=False),
        sa.Column("created_at", sa.DateTime(), nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_accounts")),
        sa.UniqueConstraint("name", name=op.f("uq_accounts_name")),
    )
    op.create_table(
        "consents",
        sa.Column("id", sa.Integer(), nullable=False),
        sa.Column("person", sa.String(length=120), nullable=False),
        sa.Column("chat", sa.String(length=200), nullable=False),
        sa.Column("state", sa.String(length=10), nullable=False),
        sa.Column("shown", sa.Text(), nullable=False),
        sa.Column("shown_at", sa.DateTime(), nullable=False),
        sa.Column("decided_at", sa.DateTime(), nullable=True),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_consents")),
        sa.UniqueConstraint("person", "chat", name=op.f("uq_consents_person_chat")),
    )
    op.create_index(op.f("ix_consents_chat"), "consents", ["chat"], unique=False)
    op.create_table(
        "people",
        sa.Column("id", sa.Integer(), nullable=False),
        sa.Column("key", sa.String(length=120), nullable=False),
        sa.Column("name", sa.LargeBinary(), nullable=False),
        sa.Column("seen_at", sa.DateTime(), nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_people")),
        sa.UniqueConstraint("key", name=op.f("uq_people_key")),
    )
    op.create_table(
        "admissions",
        sa.Column("id", sa.Integer(), nullable=False),
        sa.Column("assistant_id", sa.Integer(), nullable=False),
        sa.Column("subject", sa.String(length=200), nullable=False),
        sa.Column("title", sa.LargeBinary(), nullable=False),
        sa.Column("state", sa.String(length=10), nullable=False),
        sa.Column("code_digest", sa.String(length=64), nullable=True),
        sa.Column("expires_at", sa.DateTime(), nullable=True),
        sa.Column("decided_by", sa.String(length=120), nullable=True),
        sa.Column("decided_at", sa.DateTime(), nullable=True),
        sa.Column("created_at", sa.DateTime(), nullable=False),
        sa.ForeignKeyConstraint(
            ["assistant_id"], ["assistants.id"], name=op.f("fk_admissions_assistant_id"), ondelete="CASCADE"
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_admissions")),
        sa.UniqueConstraint("assistant_id", "subject", name=op.f("uq_admissions_assistant_id_subject")),
    )
    op.create_index(op.f("ix_admissions_code_digest"), "admissions", ["code_digest"], unique=False)
    op.create_table(
        "roles",
        sa.Column("id", sa.Integer(), nullable=False),
        sa.Column("subject", sa.String(length=120), nullable=False),
        sa.Column("assistant_id", sa.Integer(), nullable=True),
        sa.Column("role", sa.String(length=10), nullable=False),
        sa.Column("given_by", sa.String(length=120), nullable=False),
        sa.Column("created_at", sa.DateTime(), nullable=False),
        sa.ForeignKeyConstraint(
            ["assistant_id"], ["assistants.id"], name=op.f("fk_roles_assistant_id"), ondelete="CASCADE"
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_roles")),
        sa.UniqueConstraint("subject", "assistant_id", name=op.f("uq_roles_subject_assistant_id")),
    )
    op.create_table(
        "deliveries",
        sa.Column("id", sa.Integer(), nullable=False),
        sa.Column("channel_id", sa.Integer(), nullable=False),
        sa.Column("key", sa.String(length=100), nullable=False),
        sa.Column("external_id", sa.String(length=40), nullable=True),
        sa.Column("answer_id", sa.Integer(), nullable=True),
        sa.Column("created_at", sa.DateTime(), nullable=False),
        sa.ForeignKeyConstraint(
            ["answer_id"], ["messages.id"], name=op.f("fk_deliveries_answer_id"), ondelete="CASCADE"
        ),
        sa.ForeignKeyConstraint(
            ["channel_id"], ["channels.id"], name=op.f("fk_deliveries_channel_id"), ondelete="CASCADE"
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_deliveries")),
        sa.UniqueConstraint("channel_id", "key", name=op.f("uq_deliveries_channel_id_key")),
    )
    op.create_index("deliveries_by_external_id", "deliveries", ["channel_id", "external_id"], unique=False)
    op.create_index(op.f("ix_deliveries_answer_id"), "deliveries", ["answer_id"], unique=False)
    op.create_table(
        "votes",
        sa.Column("id", sa.Integer(), nullable=False),
        sa.Column("message_id", sa.Integer(), nullable=False),
        sa.Column("voter", sa.String(length=120), nullable=False),
        sa.Column("value", sa.Integer(), nullable=False),
        sa.Column("version", sa.String(length=60), nullable=True),
        sa.Column("created_at", sa.DateTime(), nullable=False),
        sa.Column("changed_at", sa.DateTime(), nullable=False),
        sa.ForeignKeyConstraint(["message_id"], ["messages.id"], name=op.f("fk_votes_message_id"), ondelete="CASCADE"),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_votes")),
        sa.UniqueConstraint("message_id", "voter", name=op.f("uq_votes_message_id_voter")),
    )
    op.create_index(op.f("ix_votes_voter"), "votes", ["voter"], unique=False)
    op.add_column("assistants", sa.Column("access", sa.String(length=10), server_default="open", nullable=False))
    op.add_column("assistants", sa.Column("on_forget", sa.String(length=10), server_default="mark", nullable=False))
    op.add_column("channels", sa.Column("title", sa.LargeBinary(), nullable=True))
    op.add_column("channels", sa.Column("answers", sa.String(length=10), server_default="mentions", nullable=False))
    op.add_column("channels", sa.Column("learning", sa.Boolean(), server_default=sa.true(), nullable=False))
    op.add_column("channels", sa.Column("present", sa.Boolean(), server_default=sa.true(), nullable=False))
    op.add_column("messages", sa.Column("author_key", sa.String(length=120), nullable=True))
    op.add_column("messages", sa.Column("edited_at", sa.DateTime(), nullable=True))
    op.add_column("messages", sa.Column("delivered_at", sa.DateTime(), nullable=True))
    op.create_index(op.f("ix_messages_author_key"), "messages", ["author_key"], unique=False)
    op.add_column("versions", sa.Column("forgotten_at", sa.DateTime(), nullable=True))


def downgrade() -> None:
    op.drop_column("versions", "forgotten_at")
    op.drop_index(op.f("ix_messages_author_key"), "messages")
    for name in ("delivered_at", "edited_at", "author_key"):
        op.drop_column("messages", name)
    for name in ("present", "learning", "answers", "title"):
        op.drop_column("channels", name)
    for name in ("on_forget", "access"):
        op.drop_column("assistants", name)
    for name in ("votes", "deliveries", "roles", "admissions", "people", "consents", "accounts"):
        op.drop_table(name)
