"""Committed changes for watchers: one feed per process, encoded once for all who want the same, sent in chunks.

The first event after a quiet time goes out at once; then what comes is sent together after a pause that grows with the
number of watchers, because one send per event and watcher costs more than the writes: a few watchers hear of everything
at once, many are sent chunks. A watcher that comes back reads the log up to the present (`recent`: mostly from memory)
and then joins the live feed, in one step of the loop: nothing is missed, nothing comes twice. One whose queue overflows
is ended with the reason; it resumes from the log.

Those who watch scopes (`scopes`) are found by scope (`sight`), read the log by scope, and are sent nothing that others
see: no bookmark tells them of a revision that has nothing for them, but the keep-alive does.

The feed is in order because it refuses anything else: it takes the events of a revision only after those of the one
before. If it lacks some (another process wrote them) it reads them from the log.
"""

import asyncio
from collections import deque
from collections.abc import Awaitable, Callable, Collection
from dataclasses import dataclass
from itertools import chain

from api_server.errors import Gone, Unavailable
from api_server.store.changes import Bounds, Page, ScopedPage, require
from api_server.store.concerns import ScopeChange
from api_server.store.events import Chunk, Event, bookmark, chunk, keep_alive
from api_server.store.interest import Interest
from api_server.store.recent import Pages, Recent
from api_server.store.sight import Sight, Sights, events_of


@dataclass(frozen=True, slots=True)
class Pace:
    """Seconds, and sizes.

    pause: between two chunks, at most. share: of it for each watcher; sending to one takes 0.05 to 0.1 ms of the loop,
    so that sends take half of it at most (contract, store.md (g): without a pause 200 watchers cost 60 % of writes).
    bookmark: at most this long until a watcher knows of a revision that has nothing for it.
    keep_alive: without anything else to send. behind: bytes that may wait for a slow watcher, beside one chunk.
    recent: characters of objects in the newest events, which are kept in memory for those who come back.
    """

    pause: float = 0.04
    share: float = 0.000_2
    bookmark: float = 0.5
    keep_alive: float = 60.0
    behind: int = 16_000_000
    recent: int = 8_000_000


class Subscription:
    """An async iterator of chunks, of one reader. It ends when the feed or its reader closes it, or it is too slow:
    `reason` says which. May be cancelled while it waits, and asked again.

    revision: of the last chunk handed out; at first, the one after which it began. sight: of one that watches scopes.
    """

    def __init__(self, feed: "Feed", interest: Interest, after: int, scopes: frozenset[str] | None) -> None:
        self.revision = after
        self.reason = ""
        self.interest = interest
        self.sight = None if scopes is None else Sight(interest.types, scopes)
        self._feed = feed
        self._queue: deque[Chunk] = deque()
        self._waiting = 0
        self._wake = asyncio.Event()
        self._live = False
        self.queued = after  # revision of the last chunk put into the queue
        self.quiet_since = feed.time()

    def __aiter__(self) -> "Subscription":
        return self

    async def __anext__(self) -> Chunk:
        while not self._queue:
            if self.reason:
                raise StopAsyncIteration
            if not self._live:
                await self._catch_up()
                continue
            self._wake.clear()
            await self._wake.wait()
        found = self._queue.popleft()
        self._waiting -= len(found.data)
        self.revision = found.revision
        return found

    def close(self, reason: str = "closed") -> None:
        """What is queued is still handed out."""
        if not self.reason:
            self.reason = reason
        self._feed.leave(self)
        self._wake.set()

    def put(self, found: Chunk) -> None:
        """Called by the feed, with chunks in order."""
        self.queued = found.revision
        self.quiet_since = self._feed.time()
        self._waiting += len(found.data)
        if self._queue and self._waiting - len(self._queue[0].data) > self._feed.pace.behind:
            self._queue.clear()
            self.close("too slow: too many changes were waiting; resume after the last id")
            return
        self._queue.append(found)
        self._wake.set()

    async def _catch_up(self) -> None:
        """One page of the log, or join the live feed if there is no more to read."""
        feed = self._feed
        if feed.closed:  # nobody would answer a read
            self.close(feed.closed)
            return
        if self.queued >= feed.revision:
            self._live = True
            feed.join(self)
            return
        try:
            wanted, newest = await self._page()
        except (Gone, Unavailable) as error:
            self.reason = error.text
            return
        if newest <= self.queued:
            self.reason = f"the change log has nothing after revision {self.queued}; list again"
            return
        if wanted:
            self.put(chunk(wanted))
        if self.queued < newest:
            self.put(bookmark(newest))

    async def _page(self) -> tuple[tuple[Event, ...], int]:
        """What there is for it next, and the revision up to which that is all. Gone if it is compacted."""
        after = self.queued
        if self.sight is not None:
            scoped = await self._feed.read_scoped(self.sight.scopes, after)
            require(scoped.bounds, after)
            return events_of(scoped.changes, self.sight.types), scoped.upto
        events = self._feed.recent.page(after)
        if events is None:
            page = await self._feed.pages.page(after)
            require(page.bounds, after)
            events = [event for event in page.events if event.revision > after]
        return self.interest.of(events), events[-1].revision if events else after


class Feed:
    """read: a page of the log after a revision; read_scoped: of those who watch some scopes. bounds: of the log.
    revision: the feed begins after it. closed: why it is, else empty."""

    def __init__(
        self,
        read: Callable[[int], Awaitable[Page]],
        read_scoped: Callable[[Collection[str], int], Awaitable[ScopedPage]],
        bounds: Callable[[], Awaitable[Bounds]],
        revision: int,
        pace: Pace,
    ) -> None:
        self.read = read
        self.read_scoped = read_scoped
        self.recent = Recent(revision, pace.recent)
        self.pages = Pages(read)
        self.pace = pace
        self.revision = revision
        self._bounds = bounds
        self._moved = asyncio.Event()
        self._announced = revision  # the newest revision it has heard of
        self._loop = asyncio.get_running_loop()
        self._live: dict[Interest, set[Subscription]] = {}
        self._sights: Sights[Subscription] = Sights()
        self._pending: list[Event] = []
        self._pending_scoped: list[ScopeChange] = []
        self._sent_at = 0.0
        self._flush: asyncio.TimerHandle | None = None
        self._tail: asyncio.Task[None] | None = None
        self.closed = ""
        self._sweep = self._loop.call_later(pace.bookmark, self._swept)

    def time(self) -> float:
        return self._loop.time()

    @property
    def watchers(self) -> int:
        return sum(map(len, self._live.values())) + len(self._sights)

    async def subscribe(
        self,
        types: Collection[str] | None = None,
        after: int | None = None,
        *,
        parents: Collection[str] | None = None,
        scopes: Collection[str] | None = None,
    ) -> Subscription:
        """Events of these types after a revision (None: from now on), of objects below one of these parents or of those
        that concern one of these scopes. None: all.

        Gone, with the oldest id to resume from, if the log does not reach back so far, or not forward.
        """
        if self.closed:
            raise Unavailable(self.closed)
        if after is None:
            after = self.revision
        if scopes is None and after < self.recent.after:
            require((await self.pages.page(after)).bounds, after)  # which it needs next
        else:
            await self.require(after)
        chosen, below, seen = (None if some is None else frozenset(some) for some in (types, parents, scopes))
        return Subscription(self, Interest(chosen, below), after, seen)

    async def require(self, after: int) -> None:
        """Gone, with the oldest id to resume from, if the log does not reach back to a revision, or not forward."""
        if not self.recent.after <= after <= self.revision:
            require(await self._bounds(), after)

    async def beyond(self, revision: int) -> None:
        """Until this process knows of a later one, or the end."""
        while self.revision <= revision and not self.closed:
            self._moved.clear()
            await self._moved.wait()

    def close(self, reason: str = "the server is stopping") -> None:
        """End all subscriptions, after what they have not sent yet."""
        self.closed = reason
        self._moved.set()
        self._send()
        for subscription in self._everybody():
            subscription.close(reason)
        self._sweep.cancel()
        if self._flush:
            self._flush.cancel()
        if self._tail:
            self._tail.cancel()

    # --- from the store

    def publish(self, events: list[Event], scope_changes: list[ScopeChange]) -> None:
        """Events of committed revisions, in order, and what became of them for each scope. What does not follow at once
        is left to the log."""
        fresh = [event for event in events if event.revision > self.revision]
        if fresh and fresh[0].revision == self.revision + 1:
            known = self.revision
            self._pending += fresh
            self.recent.add(fresh)
            self._pending_scoped += [change for change in scope_changes if change.revision > known]
            self.revision = fresh[-1].revision
            self._moved.set()
            self._schedule()
        elif fresh:
            self.announce(fresh[-1].revision)

    def announce(self, revision: int) -> None:
        """There is a revision that this process may not know; called with a guess as well."""
        self._announced = max(self._announced, revision)
        if self._announced > self.revision and self._tail is None and not self.closed:
            self._tail = self._loop.create_task(self._read_on(), name="feed tail")

    async def _read_on(self) -> None:
        """Read the log until nothing that was announced is missing."""
        try:
            while self._announced > self.revision:
                at = self.revision
                try:
                    page = await self.read(at)
                except Unavailable:
                    await asyncio.sleep(self.pace.bookmark)
                    continue
                if page.bounds.compacted > at:
                    self._skip(page.bounds.compacted)
                    continue
                self.publish(page.events, page.scope_changes)
                if self.revision == at:
                    return
        finally:
            self._tail = None

    def _skip(self, compacted: int) -> None:
        """Compacted before this process had read it: its watchers must list again."""
        self._send()
        for subscription in self._everybody():
            subscription.close(f"changes up to revision {compacted} are compacted; list again")
        self.revision = max(self.revision, compacted)
        self.recent = Recent(self.revision, self.pace.recent)
        self._moved.set()

    # --- to the subscriptions

    def join(self, subscription: Subscription) -> None:
        if self.closed:
            subscription.close(self.closed)
        elif subscription.sight is not None:
            self._sights.join(subscription.sight, subscription)
        else:
            self._live.setdefault(subscription.interest, set()).add(subscription)

    def leave(self, subscription: Subscription) -> None:
        if subscription.sight is not None:
            self._sights.leave(subscription.sight, subscription)
            return
        group = self._live.get(subscription.interest)
        if group:
            group.discard(subscription)
            if not group:
                del self._live[subscription.interest]

    def _schedule(self) -> None:
        if self._flush is None:
            pause = min(self.pace.pause, self.pace.share * self.watchers)
            wait = self._sent_at + pause - self.time()
            if wait <= 0:
                self._send()
            else:
                self._flush = self._loop.call_later(wait, self._send)

    def _send(self) -> None:
        if self._flush:
            self._flush.cancel()
            self._flush = None
        if not self._pending:
            return
        events, self._pending, self._sent_at = self._pending, [], self.time()
        scoped, self._pending_scoped = self._pending_scoped, []
        for interest, group in list(self._live.items()):
            if wanted := interest.of(events):
                _put(list(group), wanted)
        for watchers, seen in list(self._sights.of(scoped)):
            _put(watchers, seen)

    def _swept(self) -> None:
        """Bookmarks and keep-alives."""
        now = self.time()
        if not self._pending:
            marked, alive = bookmark(self.revision), keep_alive(self.revision)
            for subscription in self._everybody():
                due = now - subscription.quiet_since >= self.pace.keep_alive
                if subscription.queued < self.revision and (due or subscription.sight is None):
                    subscription.put(marked)
                elif due:
                    subscription.put(alive)
        self._sweep = self._loop.call_later(self.pace.bookmark, self._swept)

    def _everybody(self) -> list[Subscription]:
        return [*chain.from_iterable(self._live.values()), *self._sights]


def _put(watchers: list[Subscription], wanted: tuple[Event, ...]) -> None:
    whole: Chunk | None = None
    for subscription in watchers:
        if subscription.queued < wanted[0].revision:
            whole = whole or chunk(wanted)
            subscription.put(whole)
        # One that joined with a list newer than what this process had heard of has seen some of these.
        elif rest := tuple(event for event in wanted if event.revision > subscription.queued):
            subscription.put(chunk(rest))
