"""Objects, references, the change log, pools of numbers, search keys and key-values."""

import sqlalchemy as sa
from sqlalchemy.dialects import postgresql

from alembic import op

revision = "0001"
down_revision = None
branch_labels = None
depends_on = None

TEXT = sa.Text().with_variant(postgresql.TEXT(collation="C"), "postgresql")
BIG = sa.BigInteger().with_variant(sa.Integer(), "sqlite")


def upgrade() -> None:
    op.create_table(
        "resource",
        sa.Column("uuid", TEXT, primary_key=True),
        sa.Column("type", TEXT, nullable=False),
        sa.Column("fq_name", TEXT, nullable=False),
        sa.Column("parent_uuid", TEXT, sa.ForeignKey("resource.uuid", name="resource_parent", ondelete="RESTRICT")),
        sa.Column("parent_type", TEXT),
        sa.Column("properties", TEXT, nullable=False),
        sa.Column("positions", TEXT),
        sa.Column("revision", BIG, nullable=False),
        sa.Column("created", TEXT, nullable=False),
        sa.Column("modified", TEXT, nullable=False),
        sa.Column("owner", TEXT),
        sa.UniqueConstraint("type", "fq_name", name="resource_name"),
    )
    op.create_index("resource_children", "resource", ["parent_uuid", "type"])

    source = sa.ForeignKey("resource.uuid", name="reference_from", ondelete="CASCADE")
    target = sa.ForeignKey("resource.uuid", name="reference_to", ondelete="RESTRICT")
    op.create_table(
        "reference",
        sa.Column("from_uuid", TEXT, source, primary_key=True),
        sa.Column("to_uuid", TEXT, target, primary_key=True),
        sa.Column("from_type", TEXT, nullable=False),
        sa.Column("to_type", TEXT, nullable=False),
        sa.Column("attr", TEXT),
        sa.Column("origin", sa.Integer, nullable=False),
        sqlite_with_rowid=False,
    )
    op.create_index("reference_back", "reference", ["to_uuid", "from_type"])

    op.create_table(
        "change",
        sa.Column("revision", BIG, primary_key=True, autoincrement=False),
        sa.Column("sequence", sa.Integer, primary_key=True, autoincrement=False),
        sa.Column("operation", TEXT, nullable=False),
        sa.Column("type", TEXT, nullable=False),
        sa.Column("uuid", TEXT, nullable=False),
        sa.Column("fq_name", TEXT, nullable=False),
        sa.Column("object", TEXT, nullable=False),
        sa.Column("fields", TEXT),
        sa.Column("request_id", TEXT, nullable=False),
        sa.Column("user", TEXT, nullable=False),
        sa.Column("at", TEXT, nullable=False),
    )

    counter = op.create_table(
        "counter",
        sa.Column("id", sa.Integer, primary_key=True, autoincrement=False),
        sa.Column("revision", BIG, nullable=False),
        sa.Column("compacted", BIG, nullable=False),
    )
    op.bulk_insert(counter, [{"id": 1, "revision": 0, "compacted": 0}])

    op.create_table(
        "allocation",
        sa.Column("pool", TEXT, primary_key=True),
        sa.Column("number", TEXT, primary_key=True),
        sa.Column("holder", TEXT, nullable=False),
        sqlite_with_rowid=False,
    )
    op.create_index("allocation_holder", "allocation", ["holder"])

    op.create_table(
        "free_range",
        sa.Column("pool", TEXT, primary_key=True),
        sa.Column("first", TEXT, primary_key=True),
        sa.Column("last", TEXT, nullable=False),
        sqlite_with_rowid=False,
    )

    op.create_table(
        "search_key",
        sa.Column("key", TEXT, primary_key=True),
        sa.Column(
            "uuid", TEXT, sa.ForeignKey("resource.uuid", name="search_key_of", ondelete="CASCADE"), primary_key=True
        ),
        sqlite_with_rowid=False,
    )
    op.create_index("search_key_uuid", "search_key", ["uuid"])

    op.create_table(
        "key_value",
        sa.Column("key", TEXT, primary_key=True),
        sa.Column("value", TEXT, nullable=False),
    )


def downgrade() -> None:
    raise NotImplementedError("a database goes forward only; restore a backup")
