"""The change log as history: who changed what, when, and what it was before.

It is read in steps, each a few milliseconds of one connection's time: at most `ROWS` changes, of a range of `SPAN`
revisions if it has to be searched. Of one object the changes are found by an index.
"""

from collections.abc import Mapping
from functools import cache
from typing import NamedTuple

import sqlalchemy as sa

from api_server.store.changes import Bounds, Position, bounds
from api_server.store.events import Operation
from api_server.store.session import Session, Statement
from api_server.store.tables import change

ROWS = 50
"""Changes per step: an object may have a megabyte."""
SPAN = 5_000
"""Revisions per step."""

Wanted = Mapping[str, str]
"""What changes must have, by column: type, uuid, fq_name (joined by colons), user, request_id."""


class Past(NamedTuple):
    """A change. fq_name: joined by colons. fields: what an update changed, joined by commas. at: naive UTC, ISO 8601.

    object: JSON as `events.encode` makes it, after the change (before it, for a delete). before: what an update found;
    None if the log no longer has it.
    """

    revision: int
    sequence: int
    operation: Operation
    type: str
    uuid: str
    fq_name: str
    fields: str | None
    request_id: str
    user: str
    at: str
    object: str
    before: str | None

    @property
    def position(self) -> Position:
        return Position(self.revision, self.sequence)


class Step(NamedTuple):
    """reached: all that is wanted between where the step began and there is in `found`. bounds: of the log, read last:
    who sees `compacted` beyond where he began knows that changes may be missing."""

    found: list[Past]
    reached: Position
    bounds: Bounds


_c, _arg = change.c, sa.bindparam
_b = change.alias("earlier").c
_PLACE = sa.tuple_(_c.revision, _c.sequence)
_BEFORE = (
    sa.select(_b.object)
    .where(_b.uuid == _c.uuid, sa.tuple_(_b.revision, _b.sequence) < _PLACE)
    .order_by(_b.revision.desc(), _b.sequence.desc())
    .limit(1)
    .correlate(change)
    .scalar_subquery()
)


@cache
def _statement(filters: frozenset[str], *, backward: bool) -> Statement:
    place = sa.tuple_(_arg("revision"), _arg("sequence"))
    found = sa.select(
        _c.revision, _c.sequence, _c.operation, _c.type, _c.uuid, _c.fq_name, _c.fields, _c.request_id, _c.user, _c.at,
        _c.object, sa.case((_c.operation == "update", _BEFORE)),
    ).where(*[_c[name] == _arg(name) for name in sorted(filters)]).limit(ROWS)  # fmt: skip
    if backward:
        found = found.where(place > _PLACE, _c.revision > _arg("bound"))
        return Statement(found.order_by(_c.revision.desc(), _c.sequence.desc()))
    return Statement(found.where(place < _PLACE, _c.revision <= _arg("bound")).order_by(_c.revision, _c.sequence))


def step(session: Session, wanted: Wanted, place: Position, bound: int, *, backward: bool = False) -> Step:
    """The first of those after a place and up to a revision (`bound`), in order; backward: the last of those before
    a place and after a revision, the newest first."""
    if "uuid" not in wanted:
        bound = max(bound, place.revision - SPAN) if backward else min(bound, place.revision + SPAN)
    rows = session.all(
        _statement(frozenset(wanted), backward=backward),
        revision=place.revision, sequence=place.sequence, bound=bound, **wanted,
    )  # fmt: skip
    found = [Past(*row) for row in rows]
    reached = found[-1].position if len(found) == ROWS else Position.after(bound)
    return Step(found, reached, bounds(session))
