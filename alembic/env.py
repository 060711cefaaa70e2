"""Run migrations on the connection the server gives, print them for a dialect, or run them on `-x url=...` from the
command line."""

import sqlalchemy as sa

from alembic import context
from api_server.store.migration import LOCK
from api_server.store.tables import metadata


def run(connection: sa.Connection) -> None:
    context.configure(connection=connection, target_metadata=metadata)
    with context.begin_transaction():
        context.run_migrations()


def show(dialect: str) -> None:
    context.configure(
        dialect_name=dialect, target_metadata=metadata, literal_binds=True, transactional_ddl=True,
        output_buffer=context.config.output_buffer,
    )  # fmt: skip
    with context.begin_transaction():
        if dialect == "postgresql":
            context.execute(f"SELECT pg_advisory_xact_lock({LOCK})")  # as servers do that start meanwhile
        context.run_migrations()


given = context.config.attributes.get("connection")
if context.is_offline_mode():
    show(context.config.attributes["dialect"])
elif given is not None:
    run(given)
else:
    url = context.get_x_argument(as_dictionary=True).get("url")
    if url is None:
        raise SystemExit("Which database? alembic -x url=sqlite:///vaportrail.db ...")
    with sa.create_engine(url).begin() as opened:
        run(opened)
