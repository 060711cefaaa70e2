"""The change log, read: what watchers that come back have missed, and where the log begins.

Revisions have no gaps, so a range of revisions is a page, and a page never cuts one in two. Who needs to know more of
each change reads entries, a limited number at a time.
"""

from typing import NamedTuple

import sqlalchemy as sa

from api_server.store.events import Event, Operation
from api_server.store.session import Session, Statement
from api_server.store.tables import change, counter

PAGE = 500
"""Revisions per read of the log: a few milliseconds of one connection's time."""

ENTRIES = 200
"""Changes per read of entries: an object may have a megabyte."""

_c, _arg = change.c, sa.bindparam
_BOUNDS = Statement(sa.select(counter.c.revision, counter.c.compacted))
_PAGE = Statement(
    sa.select(_c.revision, _c.sequence, _c.operation, _c.type, _c.uuid, _c.object)
    .where(_c.revision > _arg("after"), _c.revision <= _arg("upto"))
    .order_by(_c.revision, _c.sequence)
)
_ENTRIES = Statement(
    sa.select(
        _c.revision, _c.sequence, _c.operation, _c.type, _c.uuid, _c.fq_name, _c.object, _c.request_id, _c.implicit
    )
    .where(sa.tuple_(_c.revision, _c.sequence) > sa.tuple_(_arg("revision"), _arg("sequence")))
    .order_by(_c.revision, _c.sequence)
    .limit(ENTRIES)
)
_AT = Statement(sa.select(sa.func.max(_c.at)).where(_c.revision > _arg("after"), _c.revision <= _arg("upto")))
_FORGET = Statement(change.delete().where(_c.revision <= _arg("upto")))
_COMPACTED = Statement(counter.update().where(counter.c.id == 1), ("compacted",))


class Bounds(NamedTuple):
    """newest: the revision of the last write. compacted: changes up to it are no longer in the log."""

    newest: int
    compacted: int


def bounds(session: Session) -> Bounds:
    return Bounds(*session.all(_BOUNDS)[0])


class Page(NamedTuple):
    """Events after some revision, in order, whole revisions; and the log's bounds when they had been read."""

    events: list[Event]
    bounds: Bounds


def page(session: Session, after: int) -> Page:
    """The bounds are read last: whoever sees `compacted` beyond `after` knows that events may be missing."""
    events = [Event(*row) for row in session.all(_PAGE, after=after, upto=after + PAGE)]
    return Page(events, bounds(session))


class Position(NamedTuple):
    """Of a change in the log; `after(revision)` is behind all of a revision."""

    revision: int
    sequence: int

    @classmethod
    def after(cls, revision: int) -> "Position":
        return cls(revision + 1, -1)


class Entry(NamedTuple):
    """A change as the log has it. fq_name: joined by colons. object: as in an `Event`. implicit: see the table."""

    revision: int
    sequence: int
    operation: Operation
    type: str
    uuid: str
    fq_name: str
    object: str
    request_id: str
    implicit: int


class Entries(NamedTuple):
    """Changes after a position, in order, at most `ENTRIES`, so that the last revision may be there in part; and the
    log's bounds when they had been read."""

    entries: list[Entry]
    bounds: Bounds


def entries(session: Session, position: Position) -> Entries:
    """The bounds are read last, as in `page`."""
    found = [Entry(*row) for row in session.all(_ENTRIES, revision=position.revision, sequence=position.sequence)]
    return Entries(found, bounds(session))


def compact(session: Session, newest: int, keep: int, before: str, slice: int) -> int:
    """Forget a slice of the oldest changes if they are beyond the last `keep` revisions or older than `before`.

    Runs in a write transaction, where the counter is ahead of `newest`, the last revision there is. Returns how many
    revisions went; 0: nothing is left to forget.
    """
    compacted = bounds(session).compacted
    upto = min(compacted + slice, newest)
    if upto > newest - keep:
        oldest = session.all(_AT, after=compacted, upto=upto)[0][0]
        if oldest is None or oldest >= before:
            upto = newest - keep
    if upto <= compacted:
        return 0
    session.execute(_FORGET, upto=upto)
    session.execute(_COMPACTED, compacted=upto)
    return upto - compacted
