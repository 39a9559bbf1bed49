"""Browsers with their role, and whether a channel is private."""

import sqlalchemy as sa
from alembic import op

revision = "0002"
down_revision = "0001"
branch_labels = None
depends_on = None


def upgrade() -> None:
    # Not in a batch: SQLite would make the table anew, and dropping the old one would take its messages along.
    op.add_column("channels", sa.Column("private", sa.Boolean(), nullable=False, server_default=sa.true()))
    op.create_table(
        "web_sessions",
        sa.Column("id", sa.Integer(), nullable=False),
        sa.Column("token_digest", sa.String(length=64), nullable=False),
        sa.Column("public_id", sa.String(length=32), nullable=False),
        sa.Column("role", sa.String(length=10), nullable=False),
        sa.Column("created_at", sa.DateTime(), nullable=False),
        sa.Column("seen_at", sa.DateTime(), nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_web_sessions")),
        sa.UniqueConstraint("token_digest", name=op.f("uq_web_sessions_token_digest")),
        sa.UniqueConstraint("public_id", name=op.f("uq_web_sessions_public_id")),
    )


def downgrade() -> None:
    op.drop_table("web_sessions")
    op.drop_column("channels", "private")
