"""The publisher: works through the change log and sends each change to the broker, in order, at least once.

Of the processes on a database one publishes, the one that has the lease; it must be connected to a broker first, so a
process that cannot reach one leaves the work to others. The lease's cursor is the last revision of which the broker has
confirmed everything; who takes over goes on after it, so changes may be sent twice and are never left out.

A holder stops by its own monotonic clock before its lease ends by the database's: what it measures begins before the
lease does. If it is stopped in between (SIGSTOP) and wakes up late, it may still send what it had in hand: all of it
had been sent by its successor or still will be, in the same order, so that first arrivals stay in order.

What a broker held in memory dies with it: Contrail's queues are such. So after a broker was lost the last seconds are
sent again, and nothing is sent to the next one until somebody listens there again, or long enough has passed.

Nothing is queued: at most one read of the log (`changes.ENTRIES`) is in hand, however far the broker is behind.
"""

import asyncio
import os
import socket
from collections import deque
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass

import structlog

from api_server.errors import Unavailable
from api_server.notify.broker import Away, Link, Unheard, connect
from api_server.notify.messages import Message, message
from api_server.notify.progress import Progress
from api_server.store import Lease, Position, Store
from api_server.store.changes import ENTRIES

log = structlog.get_logger()

LEASE = "notify"


@dataclass(frozen=True, slots=True)
class Pace:
    """Seconds.

    lease: a lease lasts, and so the pause when a holder dies. margin: the holder stops before its end. ask: between two
    attempts to get it. store: the cursor is stored at most so often, and so what a successor sends again. rewind: what
    was confirmed in so long before a broker was lost is sent again. listener: after connecting wait so long for one.
    retry: pause after a failure, doubled until the last one.
    """

    lease: float = 6.0
    margin: float = 1.0
    ask: float = 1.0
    store: float = 0.25
    rewind: float = 5.0
    listener: float = 30.0
    retry: tuple[float, float] = (0.2, 10.0)


class Lost(Exception):
    """The lease is another's, or may be; the text is a reason for the log."""


class Publisher:
    """One per process. Runs until it is cancelled, whatever becomes of brokers and database."""

    def __init__(self, store: Store, addresses: Sequence[str], pace: Pace, progress: Progress) -> None:
        self._store = store
        self._addresses = addresses
        self._pace = pace
        self._now = progress
        self._owner = f"{socket.gethostname()}:{os.getpid()}"
        self._time = asyncio.get_running_loop().time
        self._further = asyncio.Event()  # the broker has confirmed more
        self._marks: deque[tuple[float, int]] = deque()  # when it had confirmed what, the last `rewind` seconds
        self._until = 0.0  # by the loop's clock: no message is sent later, unless the lease is renewed

    async def begin(self) -> None:
        """The first time on this database: with the present revision."""
        self._now.confirmed, _ = await self._store.write(lambda tx: tx.begin_lease(LEASE))
        self._store.hold(LEASE)

    async def run(self) -> None:
        first, most = self._pace.retry
        pause, told = first, ""
        while True:
            began = self._time()
            try:
                async with connect(self._addresses) as link:
                    self._now.connected = True
                    log.info("notify connected", broker=link.name)
                    told = ""
                    await self._work(link)
            except (Away, Lost, Unavailable) as error:
                if self._time() - began > most:
                    pause, told = first, ""
                if str(error) != told:  # a broker that is away for a night fills no log
                    told = str(error)
                    log.warning("notify interrupted", reason=told, lag=self._lag())
            except Exception:
                log.exception("notify failed")
            finally:
                self._now.connected = False
            await asyncio.sleep(pause)
            pause = min(2 * pause, most)

    async def _work(self, link: Link) -> None:
        """Publish while the lease lasts, once it is ours. Away, Lost or Unavailable say why it ends."""
        while (lease := await self._take()) is None:
            await link.lost(within=self._pace.ask)
        self._now.publishing = True
        log.info("notify publishes", broker=link.name, after=lease.cursor, lag=self._lag(), term=lease.term)
        try:
            async with asyncio.TaskGroup() as group:
                group.create_task(link.lost())
                group.create_task(self._keep(lease))
                group.create_task(self._publish(link, Position.after(lease.cursor)))
        except ExceptionGroup as failed:
            error = failed.exceptions[0]
            if isinstance(error, Away) and self._marks:
                self._now.confirmed = self._marks[0][1]
            raise error from None
        finally:
            self._now.publishing = False
            self._marks.clear()
            with suppress(Unavailable, TimeoutError):
                async with asyncio.timeout(self._pace.margin):
                    await self._store.write(lambda tx: tx.end_lease(lease, self._now.confirmed))

    async def _take(self) -> Lease | None:
        """None while another process has it; its progress is known then."""
        started, seconds = self._time(), self._pace.lease
        (lease, cursor), _ = await self._store.write(
            lambda tx: (tx.take_lease(LEASE, self._owner, seconds), tx.begin_lease(LEASE))
        )
        self._now.confirmed = cursor
        self._until = started + seconds - self._pace.margin
        return lease

    async def _keep(self, lease: Lease) -> None:
        """Renew the lease and store the cursor, whenever the broker has confirmed more, and often enough anyway."""
        while True:
            with suppress(TimeoutError):
                async with asyncio.timeout(self._pace.lease / 3):
                    await self._further.wait()
            self._further.clear()
            await self._renew(lease, self._now.confirmed)
            await asyncio.sleep(self._pace.store)

    async def _renew(self, lease: Lease, done: int) -> None:
        started, seconds = self._time(), self._pace.lease
        try:
            async with asyncio.timeout(self._until - started):
                kept, _ = await self._store.write(lambda tx: tx.keep_lease(lease, done, seconds))
        except TimeoutError:
            raise Lost("the lease could not be renewed in time") from None
        if not kept:
            raise Lost("another process has taken the lease")
        self._until = started + seconds - self._pace.margin

    async def _publish(self, link: Link, position: Position) -> None:
        """Changes after a position, as they come."""
        heard = False
        while True:
            await self._store.feed.beyond(self._now.confirmed)
            entries, bounds = await self._store.entries(position)
            expected = position.revision + (position.sequence >= 0)
            begins = entries[0].revision if entries else max(bounds.compacted + 1, expected)
            if begins > expected:
                self._now.skipped += begins - expected
                log.error("notify skips changes that are compacted", first=expected, last=begins - 1)
            if not entries:
                position = Position.after(begins - 1)
                self._now.confirmed = begins - 1
                self._further.set()
                await asyncio.sleep(self._pace.store)  # never twice, unless the log has less than was heard of
                continue
            messages = [message(entry) for entry in entries]
            if not heard:
                await self._reach(link, messages[0])
                heard = True
                del messages[0]
            self._check()
            await link.publish(messages)
            self._now.published += len(entries)
            last = entries[-1]
            whole = len(entries) < ENTRIES  # else the rest of its last revision may be still to come
            position = Position.after(last.revision) if whole else Position(last.revision, last.sequence)
            self._mark()
            self._now.confirmed = last.revision if whole else last.revision - 1
            self._further.set()

    async def _reach(self, link: Link, first: Message) -> None:
        """Send a message until a queue takes it, or nobody has bound one for long."""
        while True:
            self._check()
            patient = self._time() < link.since + self._pace.listener
            try:
                await link.publish([first], heard=patient)
            except Unheard:
                await asyncio.sleep(self._pace.store)
            else:
                return

    def _check(self) -> None:
        if self._time() >= self._until:
            raise Lost("the lease was not renewed in time")

    def _mark(self) -> None:
        """What is confirmed now, before there is more."""
        now = self._time()
        self._marks.append((now, self._now.confirmed))
        while self._marks[0][0] < now - self._pace.rewind:
            self._marks.popleft()

    def _lag(self) -> int:
        return max(0, self._store.feed.revision - self._now.confirmed)


@asynccontextmanager
async def publishing(store: Store, addresses: Sequence[str], pace: Pace | None = None) -> AsyncIterator[Progress]:
    """A publisher, as long as the block lasts. What is written from its beginning on is published, now or later."""
    progress = Progress(confirmed=store.feed.revision)
    publisher = Publisher(store, addresses, pace or Pace(), progress)
    await publisher.begin()
    task = asyncio.create_task(publisher.run(), name="notify")
    try:
        yield progress
    finally:
        task.cancel()
        with suppress(asyncio.CancelledError):
            await task
