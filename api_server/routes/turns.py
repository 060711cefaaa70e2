"""Whose turn it is: a fair queue in front of the handlers.

All requests are worked on by one event loop. Were each handled as it arrives, one that comes beside 200 busy
connections would wait for 200 others. So only a few are at work at a time, and when one is done the next is that of
the connection that was served least recently. One who asks seldom is next, and those who ask all the time take turns.

A new connection counts as served when the last new one of its address was: to connect anew for each request is no way
past those who keep their connection, and one who does it seldom is still next.

Nobody waits much longer than `patience`: a late answer is worth less than the time it takes from others. How many wait
is bounded by the number of connections, since each has one request under way.
"""

import asyncio
from heapq import heapify, heappop, heappush
from typing import NamedTuple

from api_server.errors import Busy

Client = tuple[str, int]
"""A connection, by its other end."""

UNKNOWN: Client = ("", 0)

READS_SQLITE, READS_POSTGRESQL = 4, 8
"""At work at a time. SQLite answers within the loop, so each more is one that others wait for; PostgreSQL answers those
that come together at once. Sixteen would cost it a tenth less for each, and others half as much again."""
WRITES = 12
"""As many share a commit. Who asks seldom waits for one commit and shares the next: 2.3 times what it waits alone, with
sixteen three times. Sixteen could write some hundredths more, eight a sixth less."""

REMEMBERED = 10_000
"""Connections and addresses of which it is known when they were served: more than there are at a time."""


class Waiting(NamedTuple):
    """served: when its connection was, counted. number: in order of arrival. due: monotonic seconds."""

    served: int
    number: int
    due: float
    client: Client
    turn: asyncio.Future[None]


class Turns:
    """most: requests at work at a time. patience: seconds.

    A place is given on two turns of the loop after it was left: by then those whose bytes have arrived meanwhile are
    known, and may be next. A handler that never waits would else be followed by whoever came first.
    """

    def __init__(self, most: int, patience: float) -> None:
        self.patience = patience
        self._free = most  # above 0 only if nobody waits
        self._left = 0  # places that are given on soon
        self._waiting: list[Waiting] = []  # a heap, the next one first; with some who wait no more
        self._served: dict[Client | str, int] = {}  # connection or address -> when; the least recent first
        self._count = 0
        self._alarm: asyncio.TimerHandle | None = None  # while somebody waits

    async def enter(self, client: Client | None) -> None:
        """Until it is this connection's turn; `leave` gives the turn back. Busy if that takes too long."""
        if self._free:
            self._free -= 1
        else:
            await self._turn(client or UNKNOWN)

    def leave(self) -> None:
        if not self._left:
            loop = asyncio.get_running_loop()
            loop.call_soon(loop.call_soon, self._give)
        self._left += 1

    def _give(self) -> None:
        self._free += self._left
        self._left = 0
        while self._free and self._waiting:
            one = heappop(self._waiting)
            if not one.turn.done():
                self._free -= 1
                one.turn.set_result(None)
                if one.client not in self._served:
                    self._stamp(one.client[0])
                self._stamp(one.client)

    async def _turn(self, client: Client) -> None:
        loop = asyncio.get_running_loop()
        served = self._served.get(client) or self._served.get(client[0], 0)
        self._count += 1
        turn = loop.create_future()
        heappush(self._waiting, Waiting(served, self._count, loop.time() + self.patience, client, turn))
        if self._alarm is None:
            self._alarm = loop.call_later(self.patience, self._refuse)
        try:
            await turn
        except asyncio.CancelledError:
            if turn.done() and not turn.cancelled():
                self.leave()
            raise

    def _stamp(self, who: Client | str) -> None:
        self._count += 1
        self._served.pop(who, None)
        self._served[who] = self._count
        if len(self._served) > REMEMBERED:
            del self._served[next(iter(self._served))]

    def _refuse(self) -> None:
        """Those who have waited too long; looked for at times, so that to wait costs no timer."""
        loop = asyncio.get_running_loop()
        now, text = loop.time(), f"The server is busy: this request waited {self.patience:g} s for its turn"
        waiting = [one for one in self._waiting if not one.turn.done()]
        for one in waiting:
            if one.due <= now:
                one.turn.set_exception(Busy(text))
        self._waiting = [one for one in waiting if one.due > now]
        heapify(self._waiting)
        self._alarm = loop.call_later(self.patience / 4, self._refuse) if self._waiting else None
