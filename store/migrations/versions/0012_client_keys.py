"""Keys of programs that talk to assistants."""

import sqlalchemy as sa
from alembic import op

revision = "0012"
down_revision = "0011"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "client_keys",
        sa.Column("id", sa.Integer(), nullable=False),
        sa.Column("name", sa.String(length=40), nullable=False),
        sa.Column("prefix", sa.String(length=20), nullable=False),
        sa.Column("digest", sa.String(length=64), nullable=False),
        sa.Column("all_assistants", sa.Boolean(), nullable=False),
        sa.Column("a_minute", sa.Integer(), nullable=False),
        sa.Column("leads", sa.String(length=10), nullable=False),
        sa.Column("created_by", sa.String(length=100), nullable=False),
        sa.Column("created_at", sa.DateTime(), nullable=False),
        sa.Column("revoked_at", sa.DateTime(), nullable=True),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_client_keys")),
        sa.UniqueConstraint("prefix", name=op.f("uq_client_keys_prefix")),
    )
    in_use = sa.text("revoked_at IS NULL")
    op.create_index(
        "client_keys_in_use", "client_keys", ["name"], unique=True, sqlite_where=in_use, postgresql_where=in_use
    )
    op.create_table(
        "client_key_scopes",
        sa.Column("key_id", sa.Integer(), nullable=False),
        sa.Column("assistant_id", sa.Integer(), nullable=False),
        sa.ForeignKeyConstraint(
            ["assistant_id"], ["assistants.id"], name=op.f("fk_client_key_scopes_assistant_id"), ondelete="CASCADE"
        ),
        sa.ForeignKeyConstraint(
            ["key_id"], ["client_keys.id"], name=op.f("fk_client_key_scopes_key_id"), ondelete="CASCADE"
        ),
        sa.PrimaryKeyConstraint("key_id", "assistant_id", name=op.f("pk_client_key_scopes")),
    )


def downgrade() -> None:
    op.drop_table("client_key_scopes")
    op.drop_index("client_keys_in_use", "client_keys")
    op.drop_table("client_keys")
