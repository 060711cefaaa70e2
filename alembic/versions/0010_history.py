"""The changes of one object, found without reading the whole log."""

from alembic import op

revision = "0010"
down_revision = "0009"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_index("change_of_object", "change", ["uuid", "revision", "sequence"])


def downgrade() -> None:
    raise NotImplementedError("a database goes forward only; restore a backup")
