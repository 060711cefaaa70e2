"""A page of a list is found without sorting all objects of its type."""

import sqlalchemy as sa

from alembic import op

revision = "0011"
down_revision = "0010"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_index("resource_place", "resource", [sa.text("(type || '')"), sa.text("(fq_name || ':' || uuid)")])


def downgrade() -> None:
    raise NotImplementedError("a database goes forward only; restore a backup")
