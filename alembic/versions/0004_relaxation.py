"""References that do not block a delete, before they are there."""

import sqlalchemy as sa
from sqlalchemy.dialects import postgresql

from alembic import op

revision = "0004"
down_revision = "0003"
branch_labels = None
depends_on = None

TEXT = sa.Text().with_variant(postgresql.TEXT(collation="C"), "postgresql")


def upgrade() -> None:
    op.create_table(
        "relaxation",
        sa.Column(
            "to_uuid",
            TEXT,
            sa.ForeignKey("resource.uuid", name="relaxation_to", ondelete="CASCADE"),
            primary_key=True,
        ),
        sa.Column(
            "from_uuid",
            TEXT,
            sa.ForeignKey("resource.uuid", name="relaxation_from", ondelete="CASCADE"),
            primary_key=True,
        ),
        sa.Index("relaxation_from_uuid", "from_uuid"),
        sqlite_with_rowid=False,
    )


def downgrade() -> None:
    raise NotImplementedError("a database goes forward only; restore a backup")
