"""Versions that the engine could not load, and whether an operator was told."""

import sqlalchemy as sa
from alembic import op

revision = "0013"
down_revision = "0012"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.add_column("versions", sa.Column("trouble", sa.Text(), nullable=True))
    op.add_column("versions", sa.Column("trouble_told", sa.Boolean(), nullable=False, server_default=sa.false()))


def downgrade() -> None:
    op.drop_column("versions", "trouble_told")
    op.drop_column("versions", "trouble")
