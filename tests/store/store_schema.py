"""The schema of a database, beside the tables as they are described."""

import warnings
from typing import Any

import sqlalchemy as sa
from alembic.autogenerate import compare_metadata
from alembic.runtime.migration import MigrationContext

from api_server.store.tables import metadata

OF_EXPRESSIONS = {
    str(index.name)
    for table in metadata.tables.values()
    for index in table.indexes
    if not all(isinstance(part, sa.Column) for part in index.expressions)
}
"""Indexes whose text each database gives back in its own way: only that they are there can be compared."""


def differences(connection: sa.Connection) -> list[Any]:
    """What Alembic would change, and which indexes of expressions are missing."""

    def comparable(_: object, name: str | None, type: str, *__: object) -> bool:
        return type != "index" or name not in OF_EXPRESSIONS

    names = {
        "sqlite": "select name from sqlite_master where type = 'index'",
        "postgresql": "select indexname from pg_indexes where schemaname = current_schema()",
    }
    there = set(connection.scalars(sa.text(names[connection.dialect.name])))
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", ".*expression-based index")
        context = MigrationContext.configure(connection, opts={"include_object": comparable})
        return [*compare_metadata(context, metadata), *sorted(OF_EXPRESSIONS - there)]
