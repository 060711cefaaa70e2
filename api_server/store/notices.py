"""What is committed to a PostgreSQL database is announced to its other processes: notices, as a hint to read the log.

A notice may get lost with the connection; so the log is looked at whenever the connection is new.
"""

import asyncio
from collections.abc import Awaitable, Callable, Mapping

import sqlalchemy as sa

from api_server.errors import Unavailable
from api_server.store.engine import CONNECT_SECONDS, Database
from api_server.store.session import Session, Statement

RETRY_SECONDS = 1.0

NOTIFY = Statement(sa.select(sa.func.pg_notify(sa.bindparam("channel"), sa.bindparam("payload"))))


def announce(session: Session, channel: str, number: int) -> None:
    """With the commit. SQLite has one process, which knows."""
    if not session.sqlite:
        session.later(NOTIFY, channel=channel, payload=str(number))


async def listen(
    database: Database, announce: Mapping[str, Callable[[int], None]], catch_up: Callable[[], Awaitable[None]]
) -> None:
    """Announce the numbers of each channel until cancelled; connects again as long as it takes. catch_up: announces
    where all of them stand."""
    from psycopg import AsyncConnection, Error, sql  # noqa: PLC0415 - SQLite needs none of it

    url = database.engine.url.set(drivername="postgresql").render_as_string(hide_password=False)
    while True:
        try:
            connecting = AsyncConnection.connect(url, autocommit=True, connect_timeout=CONNECT_SECONDS)
            async with await connecting as connection:
                for channel in announce:
                    await connection.execute(sql.SQL("listen {}").format(sql.Identifier(channel)))
                await catch_up()
                async for notice in connection.notifies():
                    announce[notice.channel](int(notice.payload))
        except (Error, OSError, Unavailable):
            await asyncio.sleep(RETRY_SECONDS)
