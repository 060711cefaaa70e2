"""What agents say of themselves, and since when a node is as far as it is."""

import sqlalchemy as sa
from sqlalchemy.dialects import postgresql

from alembic import op

revision = "0006"
down_revision = "0005"
branch_labels = None
depends_on = None

TEXT = sa.Text().with_variant(postgresql.TEXT(collation="C"), "postgresql")
BIG = sa.BigInteger().with_variant(sa.Integer(), "sqlite")


def upgrade() -> None:
    op.add_column("node", sa.Column("reached", BIG, nullable=False, server_default="0"))
    op.add_column("node", sa.Column("agent", TEXT, nullable=False, server_default="{}"))


def downgrade() -> None:
    raise NotImplementedError("a database goes forward only; restore a backup")
