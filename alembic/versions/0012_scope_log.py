"""The log by scope lies in the order of changes on SQLite, as it does on PostgreSQL; what is wanted of some scopes is
not looked up by revision alone."""

import sqlalchemy as sa

from alembic import op

revision = "0012"
down_revision = "0011"
branch_labels = None
depends_on = None


def upgrade() -> None:
    if op.get_context().dialect.name == "sqlite":
        op.rename_table("scope_change", "scope_change_by_scope")
        op.create_table(
            "scope_change",
            sa.Column("scope", sa.Text(), primary_key=True),
            sa.Column("revision", sa.Integer(), primary_key=True, autoincrement=False),
            sa.Column("sequence", sa.Integer(), primary_key=True, autoincrement=False),
            sa.Column("operation", sa.Text(), nullable=False),
            sa.Column("type", sa.Text(), nullable=False),
            sa.Column("uuid", sa.Text(), nullable=False),
            sa.Column("object", sa.Text()),
        )
        op.execute("insert into scope_change select * from scope_change_by_scope")
        op.drop_table("scope_change_by_scope")
    else:
        op.drop_index("scope_change_revision", "scope_change")
    op.create_index("scope_change_by_revision", "scope_change", [sa.text("(revision + 0)")])


def downgrade() -> None:
    raise NotImplementedError("a database goes forward only; restore a backup")
