"""What is left out of an assistant's sources before it learns."""

import sqlalchemy as sa
from alembic import op

revision = "0011"
down_revision = "0010"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.add_column("assistants", sa.Column("cleaning", sa.JSON(), nullable=False, server_default="{}"))


def downgrade() -> None:
    op.drop_column("assistants", "cleaning")
