"""Leases, and in the change log which updates are only the other side of a reference."""

import sqlalchemy as sa
from sqlalchemy.dialects import postgresql

from alembic import op

revision = "0002"
down_revision = "0001"
branch_labels = None
depends_on = None

TEXT = sa.Text().with_variant(postgresql.TEXT(collation="C"), "postgresql")
BIG = sa.BigInteger().with_variant(sa.Integer(), "sqlite")


def upgrade() -> None:
    op.create_table(
        "lease",
        sa.Column("name", TEXT, primary_key=True),
        sa.Column("owner", TEXT, nullable=False),
        sa.Column("term", BIG, nullable=False),
        sa.Column("expires", BIG, nullable=False),
        sa.Column("cursor", BIG, nullable=False),
    )
    op.add_column("change", sa.Column("implicit", sa.Integer, nullable=False, server_default="0"))


def downgrade() -> None:
    raise NotImplementedError("a database goes forward only; restore a backup")
