"""The schema of a database, beside the tables as they are described."""

import warnings
from typing import Any

import sqlalchemy as sa
from alembic.autogenerate import compare_metadata
from alembic.runtime.migration import MigrationContext

from api_server.store.migration import HEAD
from api_server.store.tables import metadata

OF_EXPRESSIONS = {
    str(index.name)
    for table in metadata.tables.values()
    for index in table.indexes
    if not all(isinstance(part, sa.Column) for part in index.expressions)
}
"""Indexes whose text each database gives back in its own way: only that they are there can be compared."""


def differences(connection: sa.Connection) -> list[Any]:
    """What Alembic would change, which indexes of expressions are missing, and which tables have row ids on
    SQLite though they should not, or the other way."""

    def comparable(_: object, name: str | None, type: str, *__: object) -> bool:
        return type != "index" or name not in OF_EXPRESSIONS

    names = {
        "sqlite": "select name from sqlite_master where type = 'index'",
        "postgresql": "select indexname from pg_indexes where schemaname = current_schema()",
    }
    there = set(connection.scalars(sa.text(names[connection.dialect.name])))
    bare = found = {
        table.name for table in metadata.tables.values() if not table.dialect_options["sqlite"]["with_rowid"]
    }
    if connection.dialect.name == "sqlite":
        found = set(connection.scalars(sa.text("select name from pragma_table_list where wr")))
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", ".*expression-based index")
        context = MigrationContext.configure(connection, opts={"include_object": comparable})
        return [*compare_metadata(context, metadata), *sorted(OF_EXPRESSIONS - there), *sorted(bare ^ found)]


UNDONE = {
    "0012": ("drop index scope_change_by_revision", "create index scope_change_revision on scope_change (revision)"),
    "0011": ("drop index resource_place",),
    "0010": ("drop index change_of_object",),
    "0009": ("drop table writer",),
    "0008": ("alter table node drop column scopes",),
    "0007": ("drop table concern", "drop table scope_change"),
    "0006": ("alter table node drop column reached", "alter table node drop column agent"),
    "0005": ("drop table status", "drop table node", "alter table counter drop column statuses"),
    "0004": ("drop table relaxation",),
    "0003": (),
}
"""What each migration has made, the newest first."""


def take_back(connection: sa.Connection, version: str) -> None:
    """Make of a database of this program one of an earlier version, but for what that had and is no more."""
    assert next(iter(UNDONE)) == HEAD
    for newer, statements in UNDONE.items():
        if newer > version:
            for statement in statements:
                connection.execute(sa.text(statement))
    connection.execute(sa.text("update alembic_version set version_num = :version"), {"version": version})
