"""What is committed to a PostgreSQL database is announced to its other processes: notices, as a hint to read the log.

A notice may get lost: with its connection, behind a pooler that passes none on, in a database that has none. So where
things stand is also looked at every few seconds, and whenever the connection is new.
"""

import asyncio
import contextlib
from collections.abc import Awaitable, Callable, Mapping

import sqlalchemy as sa

from api_server.errors import Unavailable
from api_server.store.engine import Database
from api_server.store.session import Session, Statement

POLL_SECONDS = 2.0
"""Between two looks, and after a failure: how late other processes' changes are at most, if no notice comes."""

NOTIFY = Statement(sa.select(sa.func.pg_notify(sa.bindparam("channel"), sa.bindparam("payload"))))


def announce(session: Session, channel: str, number: int) -> None:
    """With the commit. SQLite has one process, which knows."""
    if not session.sqlite:
        session.later(NOTIFY, channel=channel, payload=str(number))


async def listen(
    database: Database,
    announce: Mapping[str, Callable[[int, int], None]],
    catch_up: Callable[[], Awaitable[None]],
) -> None:
    """Announce the numbers of each channel, and the process of PostgreSQL that each comes from, until cancelled;
    connects again as long as it takes. catch_up: announces where all of them stand."""
    from psycopg import AsyncConnection, Error, sql  # noqa: PLC0415 - SQLite needs none of it

    while True:
        try:
            async with await AsyncConnection.connect(autocommit=True, **database.conninfo) as connection:
                for channel in announce:
                    await connection.execute(sql.SQL("listen {}").format(sql.Identifier(channel)))
                while True:
                    await catch_up()
                    async for notice in connection.notifies(timeout=POLL_SECONDS):
                        announce[notice.channel](int(notice.payload), notice.pid)
        except (Error, OSError):
            with contextlib.suppress(Unavailable):
                await catch_up()
        except Unavailable:
            pass
        await asyncio.sleep(POLL_SECONDS)
