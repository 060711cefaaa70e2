"""A long read: one state of everything, part by part, between which others get on with their work.

It has a session of its own, whose transaction lasts as long as the reading and not as long as its consumer takes: what
is read waits here.
"""

import asyncio
from collections import deque
from collections.abc import AsyncIterator, Callable, Generator, Iterator
from functools import partial
from typing import Any

from api_server.errors import Unavailable, one_line
from api_server.store.engine import Database
from api_server.store.lane import Lane
from api_server.store.reader import Reader
from api_server.store.session import Session

Call = Callable[[Reader], Iterator[bytes]]
"""Reads; gives a part every few milliseconds."""


class Snapshot:
    """Made by `Store.snapshot`. revision: that of all parts. reading: goes on until all is read."""

    revision: int
    reading: asyncio.Task[None]

    def __init__(self, database: Database, lane: Lane[Callable[[], Any]], call: Call) -> None:
        self._lane = lane
        self._source = _source(database, call)
        self._parts: deque[bytes | None] = deque()  # None: there are no more
        self._come = asyncio.Event()
        self._error: Exception | None = None

    async def begin(self) -> None:
        """Unavailable if the database is away."""
        self.revision = int(await self._lane(partial(next, self._source)))
        self.reading = asyncio.create_task(self._read(), name="snapshot")

    def close(self) -> None:
        """Nobody wants what is not read yet."""
        self.reading.cancel()

    async def _read(self) -> None:
        try:
            while (part := await self._lane(partial(next, self._source, None))) is not None:
                self._put(part)
        except Exception as error:  # noqa: BLE001 - the consumer's
            self._error = error
        finally:
            self._lane(self._source.close)  # its transaction, if it was left in the middle
            self._put(None)

    async def parts(self) -> AsyncIterator[bytes]:
        """In order. Raises what reading raised; Unavailable if the database went away."""
        while True:
            while not self._parts:
                self._come.clear()
                await self._come.wait()
            part = self._parts.popleft()
            if part is None:
                break
            yield part
        if self._error is not None:
            raise self._error

    def _put(self, part: bytes | None) -> None:
        self._parts.append(part)
        self._come.set()


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
