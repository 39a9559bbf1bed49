"""Two versions' answers side by side, and which was preferred."""

import sqlalchemy as sa
from alembic import op

revision = "0006"
down_revision = "0005"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "comparisons",
        sa.Column("id", sa.Integer(), nullable=False),
        sa.Column("channel_id", sa.Integer(), nullable=False),
        sa.Column("assistant_id", sa.Integer(), nullable=False),
        sa.Column("asked_by", sa.String(length=120), nullable=False),
        sa.Column("question", sa.LargeBinary(), nullable=False),
        sa.Column("first", sa.String(length=60), nullable=False),
        sa.Column("second", sa.String(length=60), nullable=False),
        sa.Column("first_answer", sa.LargeBinary(), nullable=False),
        sa.Column("second_answer", sa.LargeBinary(), nullable=False),
        sa.Column("choice", sa.String(length=10), nullable=True),
        sa.Column("chosen_by", sa.String(length=120), nullable=True),
        sa.Column("created_at", sa.DateTime(), nullable=False),
        sa.ForeignKeyConstraint(
            ["channel_id"], ["channels.id"], name=op.f("fk_comparisons_channel_id"), ondelete="CASCADE"
        ),
        sa.ForeignKeyConstraint(
            ["assistant_id"], ["assistants.id"], name=op.f("fk_comparisons_assistant_id"), ondelete="CASCADE"
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_comparisons")),
    )
    op.create_index(op.f("ix_comparisons_channel_id"), "comparisons", ["channel_id"], unique=False)
    op.create_index(op.f("ix_comparisons_assistant_id"), "comparisons", ["assistant_id"], unique=False)
    op.create_index(op.f("ix_comparisons_asked_by"), "comparisons", ["asked_by"], unique=False)


def downgrade() -> None:
    op.drop_table("comparisons")
