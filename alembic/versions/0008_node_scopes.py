"""What a node watches."""

import sqlalchemy as sa
from sqlalchemy.dialects import postgresql

from alembic import op

revision = "0008"
down_revision = "0007"
branch_labels = None
depends_on = None

TEXT = sa.Text().with_variant(postgresql.TEXT(collation="C"), "postgresql")


def upgrade() -> None:
    op.add_column("node", sa.Column("scopes", TEXT, nullable=False, server_default="null"))


def downgrade() -> None:
    raise NotImplementedError("a database goes forward only; restore a backup")
