"""Whose words versions learnt from sources that were removed."""

import sqlalchemy as sa
from alembic import op

revision = "0016"
down_revision = "0015"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "removed_authors",
        sa.Column("digest", sa.String(length=64), nullable=False),
        sa.Column("version_id", sa.Integer(), nullable=False),
        sa.ForeignKeyConstraint(
            ["version_id"], ["versions.id"], name="fk_removed_authors_version_id", ondelete="CASCADE"
        ),
        sa.PrimaryKeyConstraint("digest", "version_id", name="pk_removed_authors"),
    )


def downgrade() -> None:
    op.drop_table("removed_authors")
