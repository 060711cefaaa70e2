"""What each writer has committed last."""

import sqlalchemy as sa
from sqlalchemy.dialects import postgresql

from alembic import op

revision = "0009"
down_revision = "0008"
branch_labels = None
depends_on = None

TEXT = sa.Text().with_variant(postgresql.TEXT(collation="C"), "postgresql")
BIG = sa.BigInteger().with_variant(sa.Integer(), "sqlite")


def upgrade() -> None:
    op.create_table(
        "writer",
        sa.Column("name", TEXT, primary_key=True),
        sa.Column("attempt", BIG, nullable=False),
        sa.Column("at", BIG, nullable=False),
    )


def downgrade() -> None:
    raise NotImplementedError("a database goes forward only; restore a backup")
