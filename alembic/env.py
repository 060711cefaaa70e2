"""Run migrations on the connection the server gives, or on `-x url=...` from the command line."""

import sqlalchemy as sa

from alembic import context
from api_server.store.tables import metadata


def run(connection: sa.Connection) -> None:
    context.configure(connection=connection, target_metadata=metadata)
    with context.begin_transaction():
        context.run_migrations()


given = context.config.attributes.get("connection")
if given is not None:
    run(given)
else:
    url = context.get_x_argument(as_dictionary=True).get("url")
    if url is None:
        raise SystemExit("Which database? alembic -x url=sqlite:///vaportrail.db ...")
    with sa.create_engine(url).begin() as opened:
        run(opened)
