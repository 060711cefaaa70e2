"""What watchers that come back have missed, without a read of the database for each of them.

A server that drops two hundred watchers, or a network that does, has them all back at once. Most of what they lack is
the newest, which is in memory; of older pages of the log each is read once for all who come within a moment.
"""

import asyncio
from collections import OrderedDict, deque
from collections.abc import Awaitable, Callable, Sequence
from functools import partial
from itertools import islice

from api_server.store.changes import PAGE, Page
from api_server.store.events import Event

PAGES = 8
"""Of the log that are in memory for those who come back."""
KEPT = 2.0
"""Seconds."""


def size(events: Sequence[Event]) -> int:
    return sum([len(event.object) for event in events])


class Recent:
    """The newest events. after: all there are after this revision. most: characters of objects that are kept."""

    def __init__(self, after: int, most: int) -> None:
        self.after = after
        self._most = most
        self._size = 0
        self._revisions: deque[list[Event]] = deque()  # without gaps

    def add(self, events: Sequence[Event]) -> None:
        """Those of whole revisions that follow at once."""
        newest = self.after + len(self._revisions)
        for event in events:
            if event.revision > newest:
                newest = event.revision
                self._revisions.append([])
            self._revisions[-1].append(event)
        self._size += size(events)
        while self._size > self._most:
            self._forget_one()

    def forget(self, upto: int) -> None:
        """Up to a revision: they are compacted."""
        while self.after < upto and self._revisions:
            self._forget_one()

    def _forget_one(self) -> None:
        self._size -= size(self._revisions.popleft())
        self.after += 1

    def page(self, after: int) -> list[Event] | None:
        """Of at most `PAGE` revisions, in order; None if that is not known here."""
        begin = after - self.after
        if not 0 <= begin < len(self._revisions):
            return None
        return [event for events in islice(self._revisions, begin, begin + PAGE) for event in events]


class Pages:
    """Pages of the log, each read once for all who want it within a moment."""

    def __init__(self, read: Callable[[int], Awaitable[Page]]) -> None:
        self._read = read
        self._pages: OrderedDict[int, asyncio.Future[Page]] = OrderedDict()

    async def page(self, after: int) -> Page:
        """The page that has what follows a revision, and maybe some of what is before. What `read` raises."""
        begin = after - after % PAGE
        while True:
            reading = self._pages.get(begin)
            own = reading is None
            if reading is None:
                reading = self._pages[begin] = asyncio.ensure_future(self._read(begin))
                reading.add_done_callback(partial(self._has_read, begin))
                if len(self._pages) > PAGES:
                    self._pages.popitem(last=False)
            page = await asyncio.shield(reading)
            if own or (page.events and page.events[-1].revision > after):
                return page
            self._drop(begin, reading)  # read before there was more

    def _has_read(self, begin: int, reading: "asyncio.Future[Page]") -> None:
        if reading.cancelled() or reading.exception() is not None:
            self._drop(begin, reading)
        else:
            reading.get_loop().call_later(KEPT, self._drop, begin, reading)

    def _drop(self, begin: int, reading: "asyncio.Future[Page]") -> None:
        if self._pages.get(begin) is reading:
            del self._pages[begin]
