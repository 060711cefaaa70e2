"""A long read: one state of everything, part by part, between which others get on with their work.

It has a session of its own, whose transaction lasts as long as the reading and not as long as its consumer takes: what
is read waits here, little of it in memory.
"""

import asyncio
from collections.abc import AsyncIterator, Callable, Generator, Iterator
from functools import partial
from typing import Any

from api_server.errors import Unavailable, one_line
from api_server.store.engine import Database
from api_server.store.lane import Lane
from api_server.store.reader import Reader
from api_server.store.session import Session
from api_server.store.spool import Spool

Call = Callable[[Reader], Iterator[bytes]]
"""Reads; gives a part every few milliseconds, an empty one if there is nothing to send yet."""


class Snapshot:
    """Made by `Store.snapshot`. revision: that of all parts. reading: goes on until all is read."""

    revision: int
    reading: asyncio.Task[None]

    def __init__(self, database: Database, lane: Lane[Callable[[], Any]], call: Call) -> None:
        self._lane = lane
        self._source = _source(database, call)
        self._parts = Spool()
        self._come = asyncio.Event()
        self._ended = False
        self._error: Exception | None = None

    async def begin(self) -> None:
        """Unavailable if the database is away."""
        self.revision = int(await self._lane(partial(next, self._source)))
        self.reading = asyncio.create_task(self._read(), name="snapshot")

    def close(self) -> None:
        """Nobody wants what is left of it."""
        self.reading.cancel()
        self._ended = True
        self._parts.close()

    async def _read(self) -> None:
        try:
            while (part := await self._lane(partial(next, self._source, None))) is not None:
                if part:
                    self._parts.put(part)
                    self._come.set()
        except OSError as error:
            self._error = Unavailable(f"There is no room for what waits: {one_line(error)}")
        except Exception as error:  # noqa: BLE001 - the consumer's
            self._error = error
        finally:
            self._lane(self._source.close)  # its transaction, if it was left in the middle
            self._ended = True
            self._come.set()

    async def parts(self) -> AsyncIterator[bytes]:
        """In order. Raises what reading raised; Unavailable if the database went away."""
        while True:
            part = self._parts.get()
            if part is not None:
                yield part
            elif self._ended:
                break
            else:
                self._come.clear()
                await self._come.wait()
        self._parts.close()
        if self._error is not None:
            raise self._error


def _source(database: Database, call: Call) -> Generator[Any, None, None]:
    """The revision, then the parts."""
    session = Session(database)
    try:
        reader = Reader(session)
        with reader.snapshot() as revision:
            yield revision
            yield from call(reader)
    except database.driver.Error as error:
        raise Unavailable(f"The database could not do it: {one_line(error)}") from error
    finally:
        session.close()
