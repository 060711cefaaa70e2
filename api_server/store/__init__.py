"""The object store: one SQL database, SQLite or PostgreSQL, behind one facade.

    store = await Store.open(url, limits)       migrates the database first; UnusableDatabase if it cannot serve
    result, revision = await store.write(call, request_id=, user=, base_url=)    call(tx: Transaction) -> result
    result = await store.read(call)                                              call(reader: Reader) -> result
    record, revision = await store.record(Point(type, uuid, ...))               one object as its rows
    subscription = await store.feed.subscribe(types, after)     async iterator of Chunk; Gone if the log is compacted;
                                                                with scopes: of what concerns these (`scopes`) only
    unknown, revision = await store.report(report)              what a node says of objects, beside them
    entries, bounds = await store.entries(Position.after(revision))              the log, for one who works through it
    store.feed.revision, store.feed.close(reason), store.counts, await store.compact(), await store.close()

What it promises, on both databases alike:

* `write` returns after the commit and is atomic; a refusal (`ApiError`) or any other exception of `call` leaves
  nothing. `call` is synchronous, does no input or output of its own, and may be run a second time from the start.
* A write that changed something has a revision of its own; revisions have no gaps and commit in order. No event without
  its write, no write without its event.
* `read` sees committed data, at least as new as every write that has returned.
"""

from api_server.store.changes import Entry, Position
from api_server.store.engine import UnusableDatabase
from api_server.store.events import Chunk, Event
from api_server.store.feed import Feed, Pace, Subscription
from api_server.store.leases import Lease
from api_server.store.migration import script, upgrade
from api_server.store.names import split
from api_server.store.nodes import Due, Node
from api_server.store.objects import Change, Create, Delete, Object, Origin, Reference, Update
from api_server.store.point import Point
from api_server.store.reader import Reader
from api_server.store.records import Link, Record
from api_server.store.statuses import NewStatus, Report
from api_server.store.store import Limits, Store
from api_server.store.transaction import Transaction
from api_server.store.writer import Counts

__all__ = [
    "Change",
    "Chunk",
    "Counts",
    "Create",
    "Delete",
    "Due",
    "Entry",
    "Event",
    "Feed",
    "Lease",
    "Limits",
    "Link",
    "NewStatus",
    "Node",
    "Object",
    "Origin",
    "Pace",
    "Point",
    "Position",
    "Reader",
    "Record",
    "Reference",
    "Report",
    "Store",
    "Subscription",
    "Transaction",
    "UnusableDatabase",
    "Update",
    "script",
    "split",
    "upgrade",
]
