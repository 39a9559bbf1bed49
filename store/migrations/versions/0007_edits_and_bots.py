"""When a source's message was edited; one account for one bot."""

import sqlalchemy as sa
from alembic import op

revision = "0007"
down_revision = "0006"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.add_column("source_messages", sa.Column("edited_at", sa.BigInteger(), nullable=True))
    with op.batch_alter_table("accounts") as batch:
        batch.create_unique_constraint(batch.f("uq_accounts_platform_external_id"), ["platform", "external_id"])


def downgrade() -> None:
    with op.batch_alter_table("accounts") as batch:
        batch.drop_constraint(batch.f("uq_accounts_platform_external_id"), type_="unique")
    with op.batch_alter_table("source_messages") as batch:
        batch.drop_column("edited_at")
