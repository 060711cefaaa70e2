"""What a request changes of what objects concern (`scopes`), and the log of it by scope.

It follows at the end of each request, from the links it has changed: those objects are looked at whose rules read such
a link, and then those whose rules read the scopes of an object that got others. So it costs what the change touches,
in one statement for each type that is touched, and nothing where no such type is.

A request has at most one row for each scope and object: its outcome. An object that begins to concern a scope because
of a change of another one has a row, too, after those of the request's own changes.
"""

from collections.abc import Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass
from functools import cache
from typing import Literal, NamedTuple

import orjson
import sqlalchemy as sa

from api_server.store import events, scopes
from api_server.store.events import Operation
from api_server.store.objects import Object
from api_server.store.scopes import (
    ADDRESS,
    BALANCER,
    FLOATING,
    INTERFACE,
    LISTENER,
    MACHINE,
    MEMBER,
    MONITOR,
    NETWORK,
    POOL,
    ROUTER,
    RULES,
)  # fmt: skip
from api_server.store.session import Session, Statement, any_of
from api_server.store.tables import concern, reference, resource, scope_change
from api_server.store.view import View

_c, _s, _arg = concern.c, scope_change.c, sa.bindparam
_r, _f = resource.c, reference.c

_STORED = Statement(sa.select(_c.uuid, _c.scope).where(any_of(_c.uuid, "uuids")))
_other = concern.alias("other")
_OF_SCOPES = Statement(
    sa.select(_c.type, _c.uuid)
    .where(
        any_of(_c.scope, "scopes"),
        ~sa.exists().where(_other.c.uuid == _c.uuid, any_of(_other.c.scope, "others")).correlate(concern),
    )
    .distinct()
    .order_by(_c.type, _c.uuid)
)
INSERT_CONCERN = Statement(concern.insert(), concern.columns.keys())
DELETE_CONCERN = Statement(concern.delete().where(_c.uuid == _arg("of"), _c.scope == _arg("was")))
INSERT_SCOPE_CHANGE = Statement(scope_change.insert(), scope_change.columns.keys())
_OF_TYPE = Statement(sa.select(_c.uuid, _c.scope).where(_c.type == _arg("type")))
_CLEAR = Statement(concern.delete())
_FORGET = Statement(scope_change.delete().where(_s.revision <= _arg("upto")))

_INTERFACES_OF_MACHINES = Statement(
    sa.union_all(
        sa.select(sa.literal_column(f"'{INTERFACE}'"), _f.from_uuid).where(
            any_of(_f.to_uuid, "uuids"), _f.from_type == INTERFACE
        ),
        sa.select(_r.type, _r.uuid).where(any_of(_r.parent_uuid, "uuids"), _r.type == INTERFACE),
    )
)


def _referrers(*types: str) -> sa.Select[tuple[str, str]]:
    return sa.select(_f.from_type, _f.from_uuid).where(
        any_of(_f.to_uuid, "uuids"), sa.or_(*[_f.from_type == kind for kind in types])
    )


def _children(*types: str) -> sa.Select[tuple[str, str]]:
    return sa.select(_r.type, _r.uuid).where(
        any_of(_r.parent_uuid, "uuids"), sa.or_(*[_r.type == kind for kind in types])
    )


_NAMED = reference.alias("named")
_n = _NAMED.c

_READ_NETWORKS = {
    # An interface answers for floating-ips and may be a load balancer's; the instance-ip above such a floating-ip.
    INTERFACE: Statement(
        sa.union_all(
            _referrers(FLOATING, BALANCER),
            sa.select(_r.parent_type, _r.parent_uuid)
            .join_from(reference, resource, _r.uuid == _f.from_uuid)
            .where(any_of(_f.to_uuid, "uuids"), _f.from_type == FLOATING, _r.parent_type == ADDRESS),
        )
    ),
    ADDRESS: Statement(
        sa.union_all(
            _children(FLOATING),
            sa.select(_n.to_type, _n.to_uuid)
            .select_from(resource.join(_NAMED, _n.from_uuid == _r.uuid))
            .where(any_of(_r.parent_uuid, "uuids"), _r.type == FLOATING, _n.to_type == INTERFACE),
        )
    ),
}
"""(type, uuid) of those whose rules read to which networks objects of a type refer."""

_READ_SCOPES = {
    INTERFACE: Statement(
        sa.union_all(
            _referrers(ADDRESS),
            sa.select(_f.to_type, _f.to_uuid).where(any_of(_f.from_uuid, "uuids"), _f.to_type == MACHINE),
            sa.select(_r.parent_type, _r.parent_uuid).where(any_of(_r.uuid, "uuids"), _r.parent_type == MACHINE),
        )
    ),
    MACHINE: Statement(_referrers(ROUTER)),
    BALANCER: Statement(_referrers(LISTENER)),
    LISTENER: Statement(_referrers(POOL)),
    POOL: Statement(
        sa.union_all(
            _children(MEMBER),
            sa.select(_f.to_type, _f.to_uuid).where(any_of(_f.from_uuid, "uuids"), _f.to_type == MONITOR),
        )
    ),
}
"""(type, uuid) of those whose rules read the scopes of objects of a type."""


@cache
def _all(kind: str) -> Statement:
    return Statement(scopes.pairs(kind, lambda uuid: sa.true()))


@cache
def _fill(kind: str) -> Statement:
    found = scopes.pairs(kind, lambda uuid: sa.true()).subquery().c
    rows = sa.select(*found, sa.literal_column(f"'{kind}'"))
    return Statement(concern.insert().from_select(["uuid", "scope", "type"], rows))


IMPLIED = 1 << 30
"""The first sequence of rows that are no event of the request: of other objects, which got other scopes by it."""


@cache
def _found(kind: str) -> Statement:
    return Statement(scopes.pairs(kind, lambda uuid: any_of(uuid, "uuids")))


class ScopeChange(NamedTuple):
    """operation: create and delete also for an object that begins or ceases to concern the scope; keep for one that has
    not changed and goes on concerning this scope, but no longer the same others. object: JSON as `events.encode` makes
    it; empty for a delete."""

    scope: str
    revision: int
    sequence: int
    operation: Operation | Literal["keep"]
    type: str
    uuid: str
    object: str


@dataclass(slots=True)
class Touched:
    """What an event, or all of a request, did to an object. before: None if it was made, after: None if it is gone.
    sequence, text: of the last event. scopes: that it had when it was deleted."""

    before: Object | None
    after: Object | None
    sequence: int
    text: str
    scopes: set[str] | None = None

    @property
    def object(self) -> Object:
        found = self.after or self.before
        assert found is not None
        return found

    @property
    def type(self) -> str:
        return self.object.type

    @property
    def uuid(self) -> str:
        return self.object.uuid


def stored(session: Session, uuids: Collection[str]) -> dict[str, set[str]]:
    """What objects concern, by the database alone; those that concern nobody are left out."""
    found: dict[str, set[str]] = {}
    for uuid, scope in session.all(_STORED, uuids=session.array(list(uuids))) if uuids else ():
        found.setdefault(uuid, set()).add(scope)
    return found


def of_scopes(session: Session, scopes: Collection[str], without: Collection[str] = ()) -> dict[str, list[str]]:
    """uuids of the objects that concern one of these scopes and none of the others, by type, in order."""
    found: dict[str, list[str]] = {}
    values = {"scopes": session.array(sorted(scopes)), "others": session.array(sorted(without))}
    for kind, uuid in session.all(_OF_SCOPES, **values):
        found.setdefault(kind, []).append(uuid)
    return found


def follow(session: Session, view: View, touched: Iterable[Touched], revision: int, followed: int) -> list[ScopeChange]:
    """Make what objects concern true again after a request, and log it. touched: by its events, in order. followed:
    how many rows the request has already."""
    session.flush()
    work = _Work(session, _outcomes(touched))
    work.begin()
    for kind in RULES:
        work.look(kind)
    found = list(work.rows(view, revision, IMPLIED + followed))
    for row in found:
        logged = row.sequence < IMPLIED
        session.later(INSERT_SCOPE_CHANGE, **row._asdict() | ({"object": None} if logged else {}))
    return found


def _outcomes(touched: Iterable[Touched]) -> dict[str, Touched]:
    """One for each object that was there before or is now, by uuid: from its first version to its last."""
    found: dict[str, Touched] = {}
    for one in touched:  # each of them has an object; what was made and is gone again, together, has none
        first = found.get(one.uuid, one)
        scopes = first.scopes if first.scopes is not None else one.scopes
        found[one.uuid] = Touched(first.before, one.after, one.sequence, one.text, scopes)
    return {uuid: one for uuid, one in found.items() if one.before or one.after}


def rebuild(session: Session) -> None:
    """Make what all objects concern from nothing; nobody hears of it."""
    session.flush()
    session.execute(_CLEAR)
    for kind in RULES:
        session.execute(_fill(kind))


def differing(session: Session) -> Iterator[tuple[str, str, str, bool]]:
    """(type, uuid, scope, whether it is stored) where what is stored is not what the rules say. An object whose rules
    read the scopes of another one follows what is stored of that."""
    for kind in RULES:
        ruled = {(row[0], row[1]) for row in session.all(_all(kind))}
        standing = {(row[0], row[1]) for row in session.all(_OF_TYPE, type=kind)}
        for uuid, scope in sorted(ruled ^ standing):
            yield kind, uuid, scope, (uuid, scope) in standing


def forget(session: Session, upto: int) -> None:
    """Rows of revisions up to this one."""
    session.execute(_FORGET, upto=upto)


class _Work:
    """before, after: the scopes of all objects that were looked at."""

    def __init__(self, session: Session, touched: Mapping[str, Touched]) -> None:
        self._session = session
        self._touched = touched
        self._dirty: dict[str, set[str]] = {kind: set() for kind in RULES}
        self.types: dict[str, str] = {}
        self.before: dict[str, set[str]] = {}
        self.after: dict[str, set[str]] = {}

    def begin(self) -> None:
        """Mark whose rules read a link that has changed."""
        machines: set[str] = set()
        networks: dict[str, set[str]] = {kind: set() for kind in _READ_NETWORKS}
        still = []
        for uuid, one in self._touched.items():
            kind = self.types[uuid] = one.type
            old, new = _targets(one.before), _targets(one.after)
            changed = old ^ new
            if one.after is None:
                self.before[uuid], self.after[uuid] = one.scopes or set(), set()
            elif one.before is None or changed or one.scopes is not None:
                self._dirty[kind].add(uuid)
            else:
                still.append(uuid)
            others = {target for of, target in changed if of == MACHINE}
            if kind == ROUTER:
                machines |= others
            if kind in (ROUTER, INTERFACE):
                self._mark((MACHINE, target) for target in others)
            elif kind == FLOATING:
                self._mark((of, target) for of, target in changed if of in (INTERFACE, ADDRESS))
            elif kind == POOL:
                self._mark((of, target) for of, target in changed if of == MONITOR)
            if kind in networks and one.before and one.after and any(of == NETWORK for of, _ in changed):
                networks[kind].add(uuid)
        if machines:
            self._mark(self._ask(_INTERFACES_OF_MACHINES, machines))
        for kind, uuids in networks.items():
            if uuids:
                self._mark(self._ask(_READ_NETWORKS[kind], uuids))
        if still:
            found = stored(self._session, still)
            for uuid in still:
                self.before[uuid] = self.after[uuid] = found.get(uuid, set())

    def look(self, kind: str) -> None:
        """Apply the rules of a type to its marked objects, and mark whose rules read what came out different."""
        uuids = [uuid for uuid in self._dirty[kind] if not self._gone(uuid)]
        if not uuids:
            return
        before = stored(self._session, [uuid for uuid in uuids if not self._new(uuid)])
        after: dict[str, set[str]] = {}
        for uuid, scope in self._ask(_found(kind), uuids):
            after.setdefault(uuid, set()).add(scope)
        changed = set()
        for uuid in uuids:
            self.types[uuid] = kind
            old, new = before.get(uuid, set()), after.get(uuid, set())
            self.before[uuid], self.after[uuid] = old, new
            for scope in old - new:
                self._session.execute(DELETE_CONCERN, of=uuid, was=scope)
            for scope in new - old:
                self._session.later(INSERT_CONCERN, uuid=uuid, scope=scope, type=kind)
            if old != new:
                changed.add(uuid)
        if changed and kind in _READ_SCOPES:
            self._session.flush()
            self._mark(self._ask(_READ_SCOPES[kind], changed))

    def rows(self, view: View, revision: int, sequence: int) -> Iterator[ScopeChange]:
        """What those see who watch a scope."""
        others = [
            uuid for uuid, after in self.after.items() if uuid not in self._touched and after != self.before[uuid]
        ]
        texts = {one.uuid: events.encode(one, orjson.dumps(one.properties)) for one in view.get_many(others)}
        for uuid, after in self.after.items():
            before, own = self.before[uuid], self._touched.get(uuid)
            if own is not None:
                before = before if own.scopes is None else own.scopes
                number, text = own.sequence, own.text
            elif before == after:
                continue
            else:
                number, text, sequence = sequence, texts.get(uuid, ""), sequence + 1
            stays: Literal["update", "keep"] = "keep" if own is None else "update"
            for scope in sorted(before | after):
                operation = stays if scope in before else "create"
                if scope in after:
                    yield ScopeChange(scope, revision, number, operation, self.types[uuid], uuid, text)
                else:
                    yield ScopeChange(scope, revision, number, "delete", self.types[uuid], uuid, "")

    def _gone(self, uuid: str) -> bool:
        return uuid in self._touched and self._touched[uuid].after is None

    def _new(self, uuid: str) -> bool:
        return uuid in self._touched and self._touched[uuid].before is None

    def _mark(self, found: Iterable[tuple[str, str]]) -> None:
        for kind, uuid in found:
            self._dirty[kind].add(uuid)

    def _ask(self, statement: Statement, uuids: Collection[str]) -> Iterable[tuple[str, str]]:
        return [(row[0], row[1]) for row in self._session.all(statement, uuids=self._session.array(list(uuids)))]


def _targets(found: Object | None) -> set[tuple[str, str]]:
    """(type, uuid) of all it refers to, and of its parent."""
    if found is None:
        return set()
    targets = {(link.type, link.uuid) for links in found.references.values() for link in links}
    if found.parent_type and found.parent_uuid:
        targets.add((found.parent_type, found.parent_uuid))
    return targets
