"""Statuses: what nodes report of objects, one row for each node and object, beside the objects.

A row is no part of its object: reporting one takes no revision, changes no `last_modified` and is no event of the log.
It goes through the writer all the same, so a report is atomic and cannot meet an object that is about to go; with its
object, a row goes by its foreign key. Each report that changes something gets a *stamp* from the counter row, which the
writer holds, so stamps commit in order: who has seen stamp 7 asks for the rows beyond it, and gets of each row only
what it says now. A row that is taken back stays for a while without a state, so that those who follow hear of it.

A node that is silent for too long is marked stale (`nodes`), and its rows get a new stamp with that: whether a row may
be believed is stored, and nobody who reads needs a clock.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

import sqlalchemy as sa

from api_server.store import names, nodes
from api_server.store.notices import announce
from api_server.store.session import Session, Statement, any_of
from api_server.store.tables import counter, node, resource, status

KEPT = 3600.0
"""Seconds for which a row that is gone is kept for those who follow."""

PAGE = 500
"""Rows that somebody who follows gets at once."""

CHANNEL = "vaportrail_status"
"""On PostgreSQL each new stamp is announced here."""

_s, _n, _r, _arg = status.c, node.c, resource.c, sa.bindparam

_PRESENT = Statement(sa.select(_r.uuid).where(any_of(_r.uuid, "uuids")))
_STAMP = Statement(
    counter.update()
    .where(counter.c.id == 1)
    .values(statuses=counter.c.statuses + 1)
    .returning(counter.c.statuses)
)  # fmt: skip
_PUT = Statement(
    sa.text(
        "INSERT INTO status (uuid, node, state, provisioning, reason, since, revision, stamp) "
        "VALUES (:uuid, :node, :state, :provisioning, :reason, :since, :revision, :stamp) "
        "ON CONFLICT (uuid, node) DO UPDATE SET state = excluded.state, provisioning = excluded.provisioning, "
        "reason = excluded.reason, since = excluded.since, revision = excluded.revision, stamp = excluded.stamp "
        "WHERE (status.state, status.provisioning, status.reason, status.since, status.revision) "
        "<> (excluded.state, excluded.provisioning, excluded.reason, excluded.since, excluded.revision)"
    )
)
_GONE = Statement(
    status.update()
    .where(_s.node == _arg("of"), any_of(_s.uuid, "uuids"), _s.state != "")
    .values(state="", since=_arg("now"), stamp=_arg("number"))
)
_AGAIN = Statement(status.update().where(_s.node == _arg("of")).values(stamp=_arg("number")))

_LEAVE = Statement(
    status.update()
    .where(_s.node == _arg("of"), _s.state != "")
    .values(state="", since=_arg("now"), stamp=_arg("number"))
)  # fmt: skip
_OLD = Statement(sa.select(_s.uuid).where(_s.state == "", _s.since < _arg("before")).limit(1))
_FORGET = Statement(status.delete().where(_s.state == "", _s.since < _arg("before")))

_ROWS = sa.select(
    _s.uuid, _r.type, _s.node, _s.state, _s.provisioning, _s.reason, _s.since, _s.revision, _n.revision, _n.reported,
    _n.stale,
).join_from(status, resource, _r.uuid == _s.uuid).join(node, _n.name == _s.node)  # fmt: skip
_OF = Statement(_ROWS.where(any_of(_s.uuid, "uuids"), _s.state != "").order_by(_s.uuid, _s.node))
_BY_NODE = Statement(_ROWS.where(_s.node == _arg("of"), _s.state != "").order_by(_s.uuid))
_CHANGED = Statement(
    sa.select(_s.stamp, _s.uuid, _r.type)
    .join_from(status, resource, _r.uuid == _s.uuid)
    .where(_s.stamp > _arg("after"))
    .order_by(_s.stamp)
    .limit(PAGE)
)
_ALSO = Statement(
    sa.select(_s.stamp, _s.uuid, _r.type)
    .join_from(status, resource, _r.uuid == _s.uuid)
    .where(_s.stamp == _arg("number"))
)
_NEWEST = Statement(sa.select(counter.c.statuses))
_REVISIONS = Statement(sa.select(_r.uuid, _r.revision).where(any_of(_r.uuid, "uuids")))


class NewStatus(NamedTuple):
    """What a node reports of an object. state: None takes back what it has said. since, in milliseconds since 1970."""

    uuid: str
    state: str | None
    provisioning: str
    reason: str
    since: int
    revision: int


@dataclass(frozen=True, slots=True)
class Report:
    """revision: that the node has applied. Each uuid at most once. agent: JSON, what its agent says of itself.
    scopes: JSON, a list of what it watches, or null: everything. Both None if that is as it was."""

    node: str
    revision: int
    rows: Sequence[NewStatus] = ()
    agent: str | None = None
    scopes: str | None = None


class Reported(NamedTuple):
    """stamp: 0 if no row can have changed. moved: the node has come further, or back. unknown: uuids of which there is
    no object; they are left out."""

    stamp: int
    moved: bool
    unknown: Sequence[str] = ()


class Row(NamedTuple):
    """As stored. applied: the revision that the node had applied at its last report, which was at `reported`. stale:
    not 0 if it is silent."""

    uuid: str
    type: str
    node: str
    state: str
    provisioning: str
    reason: str
    since: int
    revision: int
    applied: int
    reported: int
    stale: int


class Changed(NamedTuple):
    """stamp: all up to it is in here. objects: uuid -> type."""

    stamp: int
    objects: dict[str, str]


# --- in a write transaction


def report(session: Session, report: Report) -> Reported:
    """Take what a node says. A report without rows tells that the node is there, and how far."""
    at = nodes.now()
    returned, moved = nodes.hear(session, report.node, report.revision, report.agent, report.scopes, at)
    if not report.rows and not returned:
        return Reported(0, moved)
    uuids = [row.uuid for row in report.rows]
    session.flush()
    wanted = session.array([uuid for uuid in uuids if names.storable(uuid)])
    present = {row[0] for row in session.all(_PRESENT, uuids=wanted)}
    stamp = _stamp(session)
    if returned:
        session.execute(_AGAIN, of=report.node, number=stamp)
    said = [row for row in report.rows if row.state is not None and row.uuid in present]
    session.execute_many(_PUT, [{"node": report.node, "stamp": stamp, **row._asdict()} for row in said])
    if gone := [row.uuid for row in report.rows if row.state is None and row.uuid in present]:
        session.execute(_GONE, of=report.node, uuids=session.array(gone), now=at, number=stamp)
    return Reported(stamp, moved, [uuid for uuid in uuids if uuid not in present])


def sweep(session: Session) -> int:
    """Mark nodes that are silent, forget those that have been so for long; the stamp of it, 0 if nobody changed."""
    at = nodes.now()
    quiet = nodes.quiet(session, at)
    stamp = _stamp(session) if quiet else 0
    for name, stale in quiet:
        if stale == nodes.SILENT:
            session.execute(_LEAVE, of=name, now=at, number=stamp)
        else:
            session.execute(_AGAIN, of=name, number=stamp)
        nodes.mark(session, name, stale + 1)
    if quiet:
        announce(session, nodes.CHANNEL, nodes.STEP)
    session.execute(_FORGET, before=nodes.before(at, KEPT))
    nodes.dismiss(session)
    return stamp


def _stamp(session: Session) -> int:
    stamp = int(session.all(_STAMP)[0][0])
    session.sent += 1
    announce(session, CHANNEL, stamp)
    return stamp


# --- reads


def sweepable(session: Session) -> bool:
    """Whether `sweep` has anything to do."""
    at = nodes.now()
    return bool(nodes.quiet(session, at) or session.all(_OLD, before=nodes.before(at, KEPT)))


def of(session: Session, uuids: Sequence[str]) -> dict[str, list[Row]]:
    """The rows of objects, by node; those without any are left out."""
    found: dict[str, list[Row]] = {}
    for row in session.all(_OF, uuids=session.array([uuid for uuid in uuids if names.storable(uuid)])):
        found.setdefault(row[0], []).append(Row(*row))
    return found


def by_node(session: Session, name: str) -> list[Row]:
    return [Row(*row) for row in session.all(_BY_NODE, of=name)] if names.storable(name) else []


def newest(session: Session) -> int:
    """The last stamp."""
    return int(session.all(_NEWEST)[0][0])


def changed(session: Session, after: int) -> Changed:
    """The objects of which something was reported after a stamp: some of the next ones, whole stamps."""
    # The newest is read first: what is committed in between has a later stamp and comes with the next page.
    stamp = newest(session)
    rows = session.all(_CHANGED, after=after)
    if len(rows) == PAGE:  # the last stamp may be there in part
        stamp = int(rows[-1][0])
        rows += session.all(_ALSO, number=stamp)
    return Changed(max(stamp, after), {uuid: kind for number, uuid, kind in rows if number <= stamp})


def revisions(session: Session, uuids: Sequence[str]) -> dict[str, int]:
    """Of objects."""
    return {uuid: int(revision) for uuid, revision in session.all(_REVISIONS, uuids=session.array(list(uuids)))}
