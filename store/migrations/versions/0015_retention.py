"""How long versions and messages are kept."""

import sqlalchemy as sa
from alembic import op

revision = "0015"
down_revision = "0014"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "retentions",
        sa.Column("id", sa.Integer(), nullable=False),
        sa.Column("assistant_id", sa.Integer(), nullable=True),
        sa.Column("keep_versions", sa.Integer(), nullable=True),
        sa.Column("message_days", sa.Integer(), nullable=True),
        sa.Column("set_by", sa.String(length=100), nullable=False),
        sa.Column("created_at", sa.DateTime(), nullable=False),
        sa.ForeignKeyConstraint(
            ["assistant_id"], ["assistants.id"], name="fk_retentions_assistant_id", ondelete="CASCADE"
        ),
        sa.PrimaryKeyConstraint("id", name="pk_retentions"),
        sa.UniqueConstraint("assistant_id", name="uq_retentions_assistant_id"),
    )


def downgrade() -> None:
    op.drop_table("retentions")
