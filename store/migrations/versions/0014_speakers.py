"""Several speakers of a source, or everybody."""

import sqlalchemy as sa
from alembic import op

revision = "0014"
down_revision = "0013"
branch_labels = None
depends_on = None

SOURCES = sa.table("sources", sa.column("speaker", sa.String), sa.column("speakers", sa.JSON(none_as_null=True)))


def upgrade() -> None:
    op.add_column("sources", sa.Column("speakers", sa.JSON(none_as_null=True), nullable=True))
    connection = op.get_bind()
    for (speaker,) in connection.execute(sa.select(SOURCES.c.speaker).where(SOURCES.c.speaker.is_not(None)).distinct()):
        connection.execute(SOURCES.update().where(SOURCES.c.speaker == speaker).values(speakers=[speaker]))
    op.drop_column("sources", "speaker")


def downgrade() -> None:
    op.add_column("sources", sa.Column("speaker", sa.String(length=100), nullable=True))
    connection = op.get_bind()
    for (speakers,) in connection.execute(
        sa.select(SOURCES.c.speakers).where(SOURCES.c.speakers.is_not(None)).distinct()
    ):
        one = SOURCES.c.speakers == sa.type_coerce(speakers, sa.JSON)
        connection.execute(SOURCES.update().where(one).values(speaker=speakers[0]))
    op.drop_column("sources", "speakers")
