"""What other processes have committed to the same PostgreSQL database: notices, as a hint to read the log.

A notice may get lost with the connection; so the log is looked at whenever the connection is new.
"""

import asyncio
from collections.abc import Awaitable, Callable, Mapping

from api_server.errors import Unavailable
from api_server.store.engine import CONNECT_SECONDS, Database

RETRY_SECONDS = 1.0


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
