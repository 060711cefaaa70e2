"""The change log, read: what watchers that come back have missed, and where the log begins.

Revisions have no gaps, so a range of revisions is a page, and a page never cuts one in two. Who needs to know more of
each change reads entries, a limited number at a time.
"""

from collections.abc import Collection
from typing import Any, NamedTuple

import sqlalchemy as sa

from api_server.errors import Gone
from api_server.store import concerns
from api_server.store.concerns import ScopeChange
from api_server.store.events import Event, Operation
from api_server.store.session import Session, Statement, any_of, each_of
from api_server.store.tables import change, counter, revision_of_all, scope_change

PAGE = 500
"""Revisions per read of the log: a few milliseconds of one connection's time."""

ENTRIES = 200
"""Changes per read of entries: an object may have a megabyte."""

_c, _arg = change.c, sa.bindparam
_BOUNDS = Statement(sa.select(counter.c.revision, counter.c.compacted))
_PAGE = Statement(
    sa.select(_c.revision, _c.sequence, _c.operation, _c.type, _c.uuid, _c.object, _c.fields)
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
_s = scope_change.c
_LOGGED = sa.select(_c.object).where(_c.revision == _s.revision, _c.sequence == _s.sequence).scalar_subquery()
"""Row by row: for a join PostgreSQL may read the whole log up to them."""
_SCOPED = sa.select(
    _s.scope, _s.revision, _s.sequence, _s.operation, _s.type, _s.uuid, sa.func.coalesce(_s.object, _LOGGED, "")
)
_ALL_SCOPES = Statement(
    _SCOPED.where(revision_of_all > _arg("after"), revision_of_all <= _arg("upto")).order_by(
        revision_of_all, _s.sequence
    )
)
_OF_SCOPES = _SCOPED.where(
    any_of(_s.scope, "scopes"), _s.revision > _arg("after"), _s.revision <= _arg("upto")
).order_by(_s.revision, _s.sequence)
_SOME_SCOPES = Statement(_OF_SCOPES)
_SOME_OF_SOME_SCOPES = Statement(_OF_SCOPES.limit(PAGE))
_scope = each_of("scopes").table_valued("value", name="value")
_LATER = (
    sa.select(_s.revision)
    .where(_s.scope == _scope.c.value, _s.revision > _arg("after"))
    .order_by(_s.revision)
    .correlate(_scope)
)


def _least(of_a_scope: sa.Select[Any]) -> Statement:
    """What is found of each of some scopes by itself, no further than that; the least of it."""
    return Statement(sa.select(sa.func.min(of_a_scope.scalar_subquery())).select_from(_scope))


_REACH = _least(_LATER.limit(1).offset(PAGE - 1))
"""Where the first of them has a page."""
_DUE = _least(_LATER.where(_s.revision <= _arg("upto"), _s.operation != "keep").limit(1))
_AT = Statement(
    sa.select(_c.at)
    .where(_c.revision > _arg("after"), _c.revision <= _arg("upto"))
    .order_by(_c.revision.desc(), _c.sequence.desc())
    .limit(1)
)
_BEHIND = Statement(
    sa.select(_c.revision)
    .where(_c.revision > _arg("after"))
    .order_by(_c.revision, _c.sequence)
    .limit(1)
    .offset(_arg("number"))
)
_FORGET = Statement(change.delete().where(_c.revision <= _arg("upto")))
_COMPACTED = Statement(counter.update().where(counter.c.id == 1), ("compacted",))


class Bounds(NamedTuple):
    """newest: the revision of the last write. compacted: changes up to it are no longer in the log."""

    newest: int
    compacted: int


def bounds(session: Session) -> Bounds:
    return Bounds(*session.all(_BOUNDS)[0])


def require(bounds: Bounds, after: int) -> None:
    """Gone, with the oldest id to resume from, if the log does not reach back to a revision, or not forward."""
    if after < bounds.compacted:
        raise Gone(
            f"Changes after revision {after} are compacted; the oldest id is {bounds.compacted}", bounds.compacted
        )
    if after > bounds.newest:
        raise Gone(f"Revision {after} is unknown here, the newest is {bounds.newest}; list again", bounds.compacted)


class Page(NamedTuple):
    """Events after some revision, in order, whole revisions, and what became of them for each scope; and the log's
    bounds when they had been read."""

    events: list[Event]
    scope_changes: list[ScopeChange]
    bounds: Bounds


def page(session: Session, after: int) -> Page:
    """The bounds are read last: whoever sees `compacted` beyond `after` knows that events may be missing."""
    events = [Event(*row) for row in session.all(_PAGE, after=after, upto=after + PAGE)]
    newest = events[-1].revision if events else after
    rows = [ScopeChange(*row) for row in session.all(_ALL_SCOPES, after=after, upto=newest)] if events else []
    return Page(events, rows, bounds(session))


class ScopedPage(NamedTuple):
    """What those see who watch some scopes, after some revision and up to `upto`, in order, whole revisions; and the
    log's bounds when it had been read."""

    changes: list[ScopeChange]
    upto: int
    bounds: Bounds


def scoped_page(session: Session, scopes: Collection[str], after: int) -> ScopedPage:
    """At most `PAGE` rows, or one revision; up to the newest revision if there are fewer. However many follow, of none
    of the scopes more than a page is looked at."""
    wanted = session.array(sorted(scopes))
    ((newest, _),), ((reach,),) = session.together([(_BOUNDS, {}), (_REACH, {"scopes": wanted, "after": after})])
    if reach is not None:
        newest = min(newest, reach)
    rows = session.all(_SOME_OF_SOME_SCOPES, scopes=wanted, after=after, upto=newest)
    if len(rows) == PAGE:
        last, newest = rows[-1][1], rows[-1][1] - 1
        rows = [row for row in rows if row[1] != last]
        if not rows:
            newest = last
            rows = session.all(_SOME_SCOPES, scopes=wanted, after=last - 1, upto=last)
    return ScopedPage([ScopeChange(*row) for row in rows], newest, bounds(session))


def due(session: Session, scopes: Collection[str], after: int, upto: int) -> int | None:
    """The first revision after one and up to another that has anything for those who watch these scopes; the one after
    it if the log does not reach back so far, and nobody knows. None: they have all there is."""
    if upto <= after:
        return None
    if bounds(session).compacted > after:
        return after + 1
    found = session.all(_DUE, scopes=session.array(sorted(scopes)), after=after, upto=upto)[0][0]
    return None if found is None else int(found)


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
    """Forget a slice of the oldest changes (so many, or one revision) if they are beyond the last `keep` revisions or
    older than `before`.

    Runs in a write transaction, where the counter is ahead of `newest`, the last revision there is. Returns how many
    revisions went; 0: nothing is left to forget.
    """
    compacted = bounds(session).compacted
    behind = session.all(_BEHIND, after=compacted, number=slice)
    upto = max(behind[0][0] - 1, compacted + 1) if behind else newest
    if upto > newest - keep:
        last = session.all(_AT, after=compacted, upto=upto)
        if not last or last[0][0] >= before:
            upto = newest - keep
    if upto <= compacted:
        return 0
    session.execute(_FORGET, upto=upto)
    concerns.forget(session, upto)
    session.execute(_COMPACTED, compacted=upto)
    return upto - compacted
