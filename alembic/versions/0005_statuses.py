"""What nodes report of objects, beside them."""

import sqlalchemy as sa
from sqlalchemy.dialects import postgresql

from alembic import op

revision = "0005"
down_revision = "0004"
branch_labels = None
depends_on = None

TEXT = sa.Text().with_variant(postgresql.TEXT(collation="C"), "postgresql")
BIG = sa.BigInteger().with_variant(sa.Integer(), "sqlite")


def upgrade() -> None:
    op.create_table(
        "node",
        sa.Column("name", TEXT, primary_key=True),
        sa.Column("revision", BIG, nullable=False),
        sa.Column("reported", BIG, nullable=False),
        sa.Column("stale", sa.Integer, nullable=False),
    )
    op.create_table(
        "status",
        sa.Column("uuid", TEXT, sa.ForeignKey("resource.uuid", name="status_of", ondelete="CASCADE"), primary_key=True),
        sa.Column("node", TEXT, sa.ForeignKey("node.name", name="status_node", ondelete="CASCADE"), primary_key=True),
        sa.Column("state", TEXT, nullable=False),
        sa.Column("provisioning", TEXT, nullable=False),
        sa.Column("reason", TEXT, nullable=False),
        sa.Column("since", BIG, nullable=False),
        sa.Column("revision", BIG, nullable=False),
        sa.Column("stamp", BIG, nullable=False),
        sa.Index("status_by_node", "node"),
        sa.Index("status_by_stamp", "stamp"),
        sqlite_with_rowid=False,
    )
    op.add_column("counter", sa.Column("statuses", BIG, nullable=False, server_default="0"))


def downgrade() -> None:
    raise NotImplementedError("a database goes forward only; restore a backup")
