"""Speakers that operators name, people who were forgotten, and the ways to everything that somebody wrote."""

import sqlalchemy as sa
from alembic import op

revision = "0005"
down_revision = "0004"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "speakers",
        sa.Column("id", sa.Integer(), nullable=False),
        sa.Column("assistant_id", sa.Integer(), nullable=False),
        sa.Column("person", sa.String(length=120), nullable=False),
        sa.Column("named_by", sa.String(length=120), nullable=False),
        sa.Column("created_at", sa.DateTime(), nullable=False),
        sa.ForeignKeyConstraint(
            ["assistant_id"], ["assistants.id"], name=op.f("fk_speakers_assistant_id"), ondelete="CASCADE"
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_speakers")),
        sa.UniqueConstraint("assistant_id", "person", name=op.f("uq_speakers_assistant_id_person")),
    )
    op.create_table(
        "forgotten_people",
        sa.Column("id", sa.Integer(), nullable=False),
        sa.Column("digest", sa.String(length=64), nullable=False),
        sa.Column("forgotten_at", sa.DateTime(), nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_forgotten_people")),
        sa.UniqueConstraint("digest", name=op.f("uq_forgotten_people_digest")),
    )
    op.create_index("source_messages_by_author", "source_messages", ["author_id"])
    op.create_index("messages_by_question", "messages", ["answers"])


def downgrade() -> None:
    op.drop_index("messages_by_question", "messages")
    op.drop_index("source_messages_by_author", "source_messages")
    op.drop_table("forgotten_people")
    op.drop_table("speakers")
