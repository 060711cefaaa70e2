"""The store as the rest of the server sees it: open, write, read, feed, close (see the package)."""

import asyncio
import contextlib
import os
from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any, Self, TypeVar

import sqlalchemy as sa

from api_server.errors import Unavailable, one_line
from api_server.store import changes, history, nodes, statuses
from api_server.store.concerns import ScopeChange
from api_server.store.engine import Database
from api_server.store.events import Event
from api_server.store.feed import Feed, Pace
from api_server.store.lane import Lane, each
from api_server.store.migration import migrate
from api_server.store.notices import listen
from api_server.store.point import Point
from api_server.store.reader import Reader
from api_server.store.records import Record
from api_server.store.session import Lost, Session
from api_server.store.snapshot import Call, Snapshot
from api_server.store.stamps import Stamps
from api_server.store.transaction import Transaction
from api_server.store.writer import CHANNEL, Counts, Write, Writer

Result = TypeVar("Result")

READERS = 2  # threads on PostgreSQL: more wait for the interpreter, not for the database
TOGETHER = 16  # reads that one of them takes at a time
SNAPSHOTS = 4  # read at a time: those who come later wait, and then see what is new by then
SLICE = 1000  # changes forgotten per transaction: about 10 ms of the writer's time
COMPACT_SECONDS = 60.0
SWEEP_SECONDS = 15.0


@dataclass(frozen=True, slots=True)
class Limits:
    """batch: writes in one commit. keep_changes: revisions, and keep_hours: age of the log that watchers can resume
    from; whichever is less. hold_changes: revisions kept, within the same age, for a reader that lags. pace: of the
    feed."""

    batch: int = 64
    keep_changes: int = 100_000
    keep_hours: float = 72.0
    hold_changes: int = 1_000_000
    pace: Pace = field(default_factory=Pace)


class Store:
    """Made by `open`. counts: what it has done so far. feed: the committed changes. stamps: of what nodes report.
    steps: one more whenever a node has come further, fallen silent or come back."""

    def __init__(self, database: Database, limits: Limits, claim: int | None, newest: int, stamp: int) -> None:
        self.counts = Counts()
        self.feed = Feed(self._page, self._scoped_page, self.bounds, newest, limits.pace)
        self.stamps = Stamps(stamp)
        self.steps = Stamps(0)
        self.sqlite = database.sqlite
        self._database = database
        self._limits = limits
        self._claim = claim
        self._loop = asyncio.get_running_loop()
        self._sessions: list[Session] = []
        self._writer = Writer(database, self.counts, self._publish)
        threads = (0, 0) if database.sqlite else (1, READERS)
        self._write: Lane[Write] = Lane("writer", lambda: self._writer.run, threads=threads[0], most=limits.batch)
        self._inline = self._session() if database.sqlite else None
        self._read: Lane[Callable[[Session], Any]] | None = None
        if not database.sqlite:
            self._read = Lane("reader", self._start_reader, threads=threads[1], most=TOGETHER)
        self._long: Lane[Callable[[], Any]] = Lane(
            "snapshot", lambda: each, threads=0 if database.sqlite else 1, most=1
        )
        self._room = asyncio.Semaphore(SNAPSHOTS)
        self._snapshots: set[asyncio.Task[None]] = set()
        self._tasks: list[asyncio.Task[None]] = []
        self._held: tuple[str, int] | None = None

    @classmethod
    async def open(cls, url: str, limits: Limits | None = None) -> Self:
        """Migrate the database if it needs it, and be ready. UnusableDatabase says why not."""
        database = Database.at(url)
        claim = database.claim()
        try:
            newest, stamp = prepare(database) if database.sqlite else await asyncio.to_thread(prepare, database)
        except BaseException:
            if claim is not None:
                os.close(claim)
            raise
        self = cls(database, limits or Limits(), claim, newest, stamp)
        if not self.sqlite:
            channels = {
                CHANNEL: self._announced,
                statuses.CHANNEL: lambda stamp, _: self.stamps.announce(stamp),
                nodes.CHANNEL: lambda *_: self.steps.ring(),
            }  # fmt: skip
            listening = listen(database, channels, self._catch_up)
            self._tasks.append(self._loop.create_task(listening, name="listen"))
        self._tasks.append(self._loop.create_task(self._compact_regularly(), name="compact"))
        self._tasks.append(self._loop.create_task(self._sweep_regularly(), name="sweep"))
        return self

    async def write(
        self,
        call: Callable[[Transaction], Result],
        *,
        request_id: str = "",
        user: str = "",
        base_url: str = "",
        rehearsal: bool = False,
        seeks: Collection[tuple[str, str]] = (),
    ) -> tuple[Result, int]:
        """Run a request in a write transaction: its result and its revision, after the commit.

        The revision is the newest one there was if the request changed nothing. call: synchronous, pure over the
        transaction, since it can be run again. rehearsal: all is done and then undone, so that no change, number or
        revision is left of it. seeks: (type, joined fq_name) of objects that `call` is going to look for. Raises what
        `call` raises, nothing of it having been written; Unavailable if the database is away, or if it went during the
        commit and the outcome is unknown.
        """
        answer: tuple[Result, int] = await self._write(Write(call, request_id, user, base_url, rehearsal, seeks))
        return answer

    async def report(self, report: statuses.Report, request_id: str = "") -> tuple[Sequence[str], int]:
        """Take what a node says of objects: the uuids of which there is none, and the newest revision. Unavailable if
        the database is away."""
        reported, revision = await self.write(lambda tx: tx.report(report), request_id=request_id)
        self.stamps.announce(reported.stamp)
        if reported.moved:
            self.steps.ring()
        return reported.unknown, revision

    async def forget_node(self, name: str, request_id: str = "") -> bool:
        """Until it reports again; whether there was anything to forget. Unavailable if the database is away."""
        known, _ = await self.write(lambda tx: tx.forget_node(name), request_id=request_id)
        if known:
            self.steps.ring()
        return known

    async def sweep(self) -> None:
        """Notice nodes that have become silent (`statuses.sweep`)."""
        if await self._with_session(statuses.sweepable):
            stamp, _ = await self.write(lambda tx: tx.sweep())
            self.stamps.announce(stamp)
            self.steps.ring()

    async def read(self, call: Callable[[Reader], Result]) -> Result:
        """Run a request that only reads. Raises what `call` raises; Unavailable if the database is away."""
        return await self._with_session(lambda session: call(Reader(session)))

    async def record(self, point: Point) -> tuple[Record | None, int]:
        """One object, and the revision; those that are asked for at once are one round trip on PostgreSQL. Unavailable
        if the database is away."""
        return await self._with_session(point)

    async def snapshot(self, call: Call) -> Snapshot:
        """Begin to read much, of one state, while others go on with their work. Unavailable if the database is away."""
        await self._room.acquire()
        found = Snapshot(self._database, self._long, call)
        try:
            await found.begin()
        except BaseException:
            self._room.release()
            raise
        self.counts.reads += 1
        self._snapshots.add(found.reading)
        found.reading.add_done_callback(self._has_read)
        return found

    async def entries(self, position: changes.Position) -> changes.Entries:
        """The log after a position. Unavailable if the database is away."""
        return await self._with_session(lambda session: changes.entries(session, position))

    async def bounds(self) -> changes.Bounds:
        """Of the log. Unavailable if the database is away."""
        return await self._with_session(changes.bounds)

    async def history(
        self, wanted: history.Wanted, place: changes.Position, bound: int, *, backward: bool = False
    ) -> history.Step:
        """See `history.step`. Unavailable if the database is away."""
        return await self._with_session(lambda session: history.step(session, wanted, place, bound, backward=backward))

    def hold(self, lease: str) -> None:
        """From now on keep more of the log for the holder of this lease, if its cursor lags."""
        self._held = (lease, self._limits.hold_changes)

    async def compact(self) -> int:
        """Forget what the limits no longer keep of the change log, in slices; returns how many revisions went."""
        before = (datetime.now(UTC) - timedelta(hours=self._limits.keep_hours)).replace(tzinfo=None)
        text = before.isoformat(timespec="microseconds")
        total = 0
        while True:
            gone, _ = await self.write(lambda tx: tx.compact(self._limits.keep_changes, text, SLICE, self._held))
            total += gone
            if not gone:
                self.feed.recent.forget((await self.bounds()).compacted)
                return total
            await asyncio.sleep(0)

    async def close(self) -> None:
        """End the feed, finish what is queued, let go of the database."""
        ending = [*self._tasks, *self._snapshots]
        for task in ending:
            task.cancel()
        await asyncio.gather(*ending, return_exceptions=True)
        self.feed.close()
        self.stamps.close("the server is stopping")
        self.steps.close("the server is stopping")
        await self._write.close()
        await self._long.close()
        if self._read is not None:
            await self._read.close()
        self._writer.close()
        for session in self._sessions:
            session.close()
        if self._claim is not None:
            os.close(self._claim)
            self._claim = None

    # --- inside

    def _has_read(self, reading: asyncio.Task[None]) -> None:
        self._snapshots.discard(reading)
        self._room.release()

    def _session(self) -> Session:
        session = Session(self._database)
        self._sessions.append(session)
        return session

    def _start_reader(self) -> Callable[[Sequence[Callable[[Session], Any]]], list[Any]]:
        session = self._session()
        return lambda calls: self._answers(session, calls)

    async def _with_session(self, call: Callable[[Session], Result]) -> Result:
        answer: Any
        if self._inline is not None:
            answer = self._answer(self._inline, call)
            if isinstance(answer, BaseException):
                raise answer
        else:
            assert self._read is not None
            answer = await self._read(call)
        found: Result = answer
        return found

    def _answers(self, session: Session, calls: Sequence[Callable[[Session], Any]]) -> list[Any]:
        """Points together; if they fail, each on its own."""
        points = [call for call in calls if isinstance(call, Point)]
        found: dict[Callable[[Session], Any], Any] = {}
        if len(points) > 1:
            with contextlib.suppress(Lost, self._database.driver.Error):
                session.connect()
                all_rows = session.together([point.statement(session) for point in points])
                found = {point: point.answer(rows) for point, rows in zip(points, all_rows, strict=True)}
                self.counts.reads += len(points)
        return [found[call] if call in found else self._answer(session, call) for call in calls]

    def _answer(self, session: Session, call: Callable[[Session], Any]) -> Any:
        """A read changes nothing, so one that met a stale connection is done again."""
        self.counts.reads += 1
        for last in (False, True):
            try:
                session.connect()
                return call(session)
            except Lost as error:
                if last:
                    return error
            except self._database.driver.Error as error:
                if session.usable():
                    return Unavailable(f"The database could not do it: {one_line(error)}")
                if last:
                    return Unavailable("The database is away", one_line(error))
            except Exception as error:  # noqa: BLE001 - the caller's own
                return error
        raise AssertionError

    def _publish(self, events: list[Event], scope_changes: list[ScopeChange]) -> None:
        """Called by the writer after a commit, on its own thread on PostgreSQL."""
        if self.sqlite:
            self.feed.publish(events, scope_changes)
        else:
            with contextlib.suppress(RuntimeError):  # the loop has been closed
                self._loop.call_soon_threadsafe(self.feed.publish, events, scope_changes)

    def _announced(self, revision: int, pid: int) -> None:
        """Committed by a writer that this process of PostgreSQL serves; what our own has, `_publish` brings."""
        if not self._writer.wrote(pid):
            self.feed.announce(revision)

    async def _page(self, after: int) -> changes.Page:
        return await self._with_session(lambda session: changes.page(session, after))

    async def _scoped_page(self, scopes: Collection[str], after: int) -> changes.ScopedPage:
        return await self._with_session(lambda session: changes.scoped_page(session, scopes, after))

    async def _catch_up(self) -> None:
        """Another process may have committed while nobody listened."""
        self.feed.announce((await self.bounds()).newest)
        self.stamps.announce(await self._with_session(statuses.newest))
        self.steps.ring()

    async def _sweep_regularly(self) -> None:
        """The first time after all nodes have had the time to say that they are there."""
        await asyncio.sleep(nodes.STALE)
        while True:
            with contextlib.suppress(Unavailable):
                await self.sweep()
            await asyncio.sleep(SWEEP_SECONDS)

    async def _compact_regularly(self) -> None:
        while True:
            await asyncio.sleep(COMPACT_SECONDS)
            with contextlib.suppress(Unavailable):
                await self.compact()


def prepare(database: Database) -> tuple[int, int]:
    """Migrate; the revision of the last write and the last stamp. UnusableDatabase says why not."""
    session = Session(database)
    try:
        database.check_sessions()
        migrate(database)
        session.connect()
        return changes.bounds(session).newest, statuses.newest(session)
    except (Unavailable, sa.exc.DBAPIError, database.driver.Error) as error:
        raise database.explain(error) from error
    finally:
        session.close()
