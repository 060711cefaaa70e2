"""What other processes have committed to the same PostgreSQL database: notices, as a hint to read the log.

A notice may get lost with the connection; so the log is looked at whenever the connection is new.
"""

import asyncio
from collections.abc import Awaitable, Callable

from api_server.errors import Unavailable
from api_server.store.changes import Bounds
from api_server.store.engine import CONNECT_SECONDS, Database
from api_server.store.writer import CHANNEL

RETRY_SECONDS = 1.0


async def listen(database: Database, announce: Callable[[int], None], bounds: Callable[[], Awaitable[Bounds]]) -> None:
    """Announce revisions until cancelled; connects again as long as it takes."""
    from psycopg import AsyncConnection, Error, sql  # noqa: PLC0415 - SQLite needs none of it

    url = database.engine.url.set(drivername="postgresql").render_as_string(hide_password=False)
    while True:
        try:
            connecting = AsyncConnection.connect(url, autocommit=True, connect_timeout=CONNECT_SECONDS)
            async with await connecting as connection:
                await connection.execute(sql.SQL("listen {}").format(sql.Identifier(CHANNEL)))
                announce((await bounds()).newest)
                async for notice in connection.notifies():
                    announce(int(notice.payload))
        except (Error, OSError, Unavailable):
            await asyncio.sleep(RETRY_SECONDS)
