"""What a message replies to, and whether it was forwarded."""

import sqlalchemy as sa
from alembic import op

revision = "0010"
down_revision = "0009"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.add_column("messages", sa.Column("reply_to", sa.String(length=100), nullable=True))
    op.add_column("messages", sa.Column("forwarded", sa.Boolean(), server_default=sa.false(), nullable=False))


def downgrade() -> None:
    op.drop_column("messages", "forwarded")
    op.drop_column("messages", "reply_to")
