"""What a request changes of what objects concern (`scopes`), and what becomes of it for each scope.

It follows at the end of each request, from the links it has changed: those objects are looked at whose rules read such
a link, and then those whose rules read the scopes of an object that got others. So it costs what the change touches,
in few statements for each type that is touched, and nothing where no such type is.

A request has at most one row for each scope and object: its outcome. An object that begins to concern a scope because
of a change of another one has a row, too, after those of the request's own changes.
"""

from collections import defaultdict
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cache
from typing import Any

import orjson
import sqlalchemy as sa

from api_server.store import events, scopes
from api_server.store.concerns import (
    DELETE_CONCERN,
    IMPLIED,
    INSERT_CONCERN,
    INSERT_SCOPE_CHANGE,
    Outcome,
    ScopeChange,
    stored,
)
from api_server.store.objects import Object
from api_server.store.scopes import (
    ADDRESS,
    BALANCER,
    FLOATING,
    FLOATING_POOL,
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
from api_server.store.session import Row, Session, Statement, any_of
from api_server.store.tables import reference, resource
from api_server.store.view import Known, View

_r, _f, _arg = resource.c, reference.c, sa.bindparam

_INTERFACES_OF_MACHINES = Statement(
    sa.union_all(
        sa.select(sa.literal_column(f"'{INTERFACE}'"), _f.from_uuid).where(
            any_of(_f.to_uuid, "uuids"), _f.from_type == INTERFACE
        ),
        sa.select(_r.type, _r.uuid).where(any_of(_r.parent_uuid, "uuids"), _r.type == INTERFACE),
    )
)


def _referrers(*types: str) -> sa.Select[Any]:
    return sa.select(_f.from_type, _f.from_uuid, _f.to_uuid).where(
        any_of(_f.to_uuid, "uuids"), sa.or_(*[_f.from_type == kind for kind in types])
    )


def _children(*types: str) -> sa.Select[Any]:
    return sa.select(_r.type, _r.uuid, _r.parent_uuid).where(
        any_of(_r.parent_uuid, "uuids"), sa.or_(*[_r.type == kind for kind in types])
    )


_NAMED = reference.alias("named")
_n = _NAMED.c

_READ_NETWORKS = {
    # An interface answers for floating-ips and may be a load balancer's; the instance-ip above such a floating-ip.
    INTERFACE: Statement(
        sa.union_all(
            _referrers(FLOATING, BALANCER),
            sa.select(_r.parent_type, _r.parent_uuid, _f.to_uuid)
            .join_from(reference, resource, _r.uuid == _f.from_uuid)
            .where(any_of(_f.to_uuid, "uuids"), _f.from_type == FLOATING, _r.parent_type == ADDRESS),
        )
    ),
    ADDRESS: Statement(
        sa.union_all(
            _children(FLOATING),
            sa.select(_n.to_type, _n.to_uuid, _r.parent_uuid)
            .select_from(resource.join(_NAMED, _n.from_uuid == _r.uuid))
            .where(any_of(_r.parent_uuid, "uuids"), _r.type == FLOATING, _n.to_type == INTERFACE),
        )
    ),
}
"""(type, uuid) of those whose rules read to which networks an object of a type refers, and that object."""

_READ_SCOPES = {
    INTERFACE: Statement(
        sa.union_all(
            _referrers(ADDRESS),
            sa.select(_f.to_type, _f.to_uuid, _f.from_uuid).where(any_of(_f.from_uuid, "uuids"), _f.to_type == MACHINE),
            sa.select(_r.parent_type, _r.parent_uuid, _r.uuid).where(
                any_of(_r.uuid, "uuids"), _r.parent_type == MACHINE
            ),
        )
    ),
    MACHINE: Statement(_referrers(ROUTER)),
    BALANCER: Statement(_referrers(LISTENER)),
    LISTENER: Statement(_referrers(POOL)),
    POOL: Statement(
        sa.union_all(
            _children(MEMBER),
            sa.select(_f.to_type, _f.to_uuid, _f.from_uuid).where(any_of(_f.from_uuid, "uuids"), _f.to_type == MONITOR),
        )
    ),
}
"""(type, uuid) of those whose rules read all scopes of an object of a type, and that object."""


_HOMES = Statement(
    sa.union_all(
        sa.select(_f.from_uuid, _f.to_uuid).where(any_of(_f.from_uuid, "uuids"), _f.to_type == NETWORK),
        sa.select(_r.uuid, _r.parent_uuid).where(any_of(_r.uuid, "uuids"), _r.type == FLOATING_POOL),
    )
)
"""(uuid, network) of interfaces, instance-ips and pools."""


_SOURCES: Mapping[str, Callable[[Object], Collection[str]]] = {
    LISTENER: lambda one: one.targets(BALANCER),
    POOL: lambda one: one.targets(LISTENER),
    MEMBER: lambda one: [one.parent_uuid] if one.parent_uuid else [],
}
"""Types that concern what some other objects concern, and nothing else: those objects. Such a rule is followed without
a statement where it is known what they concern. Objects of these types are looked at as a whole only if the request
has changed them."""


@cache
def _found(kind: str) -> Statement:
    return Statement(scopes.pairs(kind, lambda uuid: any_of(uuid, "uuids")))


@cache
def _witness(kind: str) -> Statement:
    """A row if an object has a scope, found without a look at all that give it."""
    ways = RULES[kind](lambda uuid: uuid == _arg("of"))
    return Statement(
        sa.union_all(*[way.where(list(way.selected_columns)[1] == _arg("scope")) for way in ways]).limit(1)
    )


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


def follow(session: Session, view: View, touched: Iterable[Touched], revision: int, followed: int) -> list[ScopeChange]:
    """Make what objects concern true again after a request, and log it. touched: by its events, in order. followed:
    how many rows the request has already."""
    work = _Work(session, view.known, _outcomes(touched))
    work.begin()
    for kind in RULES:
        work.look(kind)
    found = list(work.rows(view, revision, IMPLIED + followed))
    for row in found:
        text = row.object if row.implied and row.object else None
        session.later(INSERT_SCOPE_CHANGE, **row._asdict() | {"object": text})
    return found


def _outcomes(touched: Iterable[Touched]) -> dict[str, Touched]:
    """One for each object that was there before or is now, by uuid: from its first version to its last."""
    found: dict[str, Touched] = {}
    for one in touched:  # each of them has an object; what was made and is gone again, together, has none
        first = found.get(one.uuid, one)
        scopes = first.scopes if first.scopes is not None else one.scopes
        found[one.uuid] = Touched(first.before, one.after, one.sequence, one.text, scopes)
    return {uuid: one for uuid, one in found.items() if one.before or one.after}


@dataclass(slots=True)
class _Difference:
    """What an object may have gained or lost by changes of others: it has all that it gained, but of what it lost it
    may have something in another way."""

    gained: set[str] = field(default_factory=set)
    lost: set[str] = field(default_factory=set)


class _Work:
    """before, after: the scopes of all objects that were looked at.

    An object whose own links have changed is looked at as a whole. Of one that only others have changed, the
    difference is looked at: an interface may answer for ten thousand floating-ips, and a floating-ip have a thousand
    interfaces.
    """

    def __init__(self, session: Session, known: Known, touched: Mapping[str, Touched]) -> None:
        self._session = session
        self._known = known.scopes
        self._touched = touched
        self._dirty: defaultdict[str, set[str]] = defaultdict(set)
        self._differences: defaultdict[str, dict[str, _Difference]] = defaultdict(dict)
        self._stored: dict[str, set[str]] = {}
        self.types: dict[str, str] = {}
        self.before: dict[str, set[str]] = {}
        self.after: dict[str, set[str]] = {}

    def begin(self) -> None:
        """Mark whose rules read a link that has changed."""
        machines: set[str] = set()
        networks: dict[str, set[str]] = {kind: set() for kind in _READ_NETWORKS}
        still, floating = [], []
        for uuid, one in self._touched.items():
            kind = self.types[uuid] = one.type
            changed = _targets(one.before) ^ _targets(one.after)
            if kind == FLOATING and changed:
                floating.append(one)
            if one.after is None:
                self.before[uuid], self.after[uuid] = one.scopes or set(), set()
            elif one.before is None or one.scopes is not None or (changed and kind != FLOATING):
                self._dirty[kind].add(uuid)
            else:
                still.append(uuid)
            others = {target for of, target in changed if of == MACHINE}
            if kind == ROUTER:
                machines |= others
            if kind in (ROUTER, INTERFACE):
                self._mark((MACHINE, target) for target in others)
            elif kind == FLOATING_POOL:
                self._mark((of, target) for of, target in changed if of == NETWORK)
            elif kind == POOL:
                self._mark((of, target) for of, target in changed if of == MONITOR)
            if kind in networks and one.before and one.after and any(of == NETWORK for of, _ in changed):
                networks[kind].add(uuid)
        if machines:
            self._mark(self._ask(_INTERFACES_OF_MACHINES, machines))
        for kind, uuids in networks.items():
            if uuids:
                self._mark(self._ask(_READ_NETWORKS[kind], uuids))
        if floating:
            self._answer(floating)
        marked = (uuid for objects in (*self._dirty.values(), *self._differences.values()) for uuid in objects)
        self._fetch({*still, *marked})
        for uuid in still:
            self.before[uuid] = self.after[uuid] = self._stored[uuid]

    def _fetch(self, uuids: Iterable[str]) -> None:
        """What they concern so far, in one statement for all that is not known."""
        unknown = [uuid for uuid in uuids if uuid not in self._stored]
        asked = [uuid for uuid in unknown if uuid not in self._known and not self._new(uuid)]
        found = stored(self._session, asked)  # nothing that waits is of these
        self._known.update({uuid: frozenset(found.get(uuid, ())) for uuid in asked})
        self._stored |= {uuid: set() if self._new(uuid) else set(self._known[uuid]) for uuid in unknown}

    def _answer(self, floating: Collection[Touched]) -> None:
        """Interfaces have begun or ceased to answer for floating-ips: each side gets the networks of the other one."""
        ends = [(one, _targets(one.before), _targets(one.after)) for one in floating]
        uuids = {uuid for one, old, new in ends for kind, uuid in old ^ new if kind == INTERFACE}
        uuids |= {one.object.parent_uuid or "" for one in floating}
        homes: dict[str, set[str]] = {}
        for uuid, network, *_ in self._ask(_HOMES, uuids):
            homes.setdefault(uuid, set()).add(network)

        def home(uuid: str, *, before: bool) -> set[str]:
            known = self._touched.get(uuid)
            if known is None or not before:
                return homes.get(uuid, set())
            return set(known.before.targets(NETWORK)) if known.before else set()

        for one, old, new in ends:
            parent, kind = one.object.parent_uuid or "", one.object.parent_type
            for links, before in ((new - old, False), (old - new, True)):
                for of, interface in links:
                    if of != INTERFACE:
                        continue
                    self._note(INTERFACE, interface, home(parent, before=before), lost=before)
                    self._note(FLOATING, one.uuid, home(interface, before=before), lost=before)
                    if kind == ADDRESS:
                        self._note(ADDRESS, parent, home(interface, before=before), lost=before)

    def look(self, kind: str) -> None:
        """Apply the rules of a type to its marked objects, and mark whose rules read what came out different."""
        if kind not in self._dirty and kind not in self._differences:
            return
        whole = {uuid for uuid in self._dirty[kind] if not self._gone(uuid)}
        parts = {
            uuid: difference
            for uuid, difference in self._differences[kind].items()
            if uuid not in whole and not self._gone(uuid)
        }
        if not whole and not parts:
            return
        self._fetch((*whole, *parts))
        after = self._ruled(kind, whole)
        for uuid, difference in parts.items():
            old = self._stored[uuid]
            doubtful = (difference.lost & old) - difference.gained
            if doubtful:
                self._session.flush()
            gone = {scope for scope in doubtful if not self._session.all(_witness(kind), of=uuid, scope=scope)}
            after[uuid] = (old | difference.gained) - gone
        changed = set()
        for uuid in (*whole, *parts):
            self.types[uuid] = kind
            old, new = self._stored[uuid], after.get(uuid, set())
            self.before[uuid], self.after[uuid] = old, new
            self._known[uuid] = frozenset(new)
            for scope in old - new:
                self._session.execute(DELETE_CONCERN, of=uuid, was=scope)
            for scope in new - old:
                self._session.later(INSERT_CONCERN, uuid=uuid, scope=scope, type=kind)
            if old != new:
                changed.add(uuid)
        if changed and kind in _READ_SCOPES:
            for of, uuid, source in self._ask(_READ_SCOPES[kind], changed):
                old, new = self.before[source], self.after[source]
                self._note(of, uuid, new - old)
                self._note(of, uuid, old - new, lost=True)

    def _ruled(self, kind: str, uuids: Collection[str]) -> dict[str, set[str]]:
        """What the rules of a type say of some objects; those that concern nobody are left out."""
        after: dict[str, set[str]] = {}
        if kind in _SOURCES and uuids:
            sources = {uuid: _SOURCES[kind](self._touched[uuid].object) for uuid in uuids}
            self._fetch({source for of in sources.values() for source in of if source not in self.after})
            for uuid, of in sources.items():
                after[uuid] = set().union(
                    *[self.after[source] if source in self.after else self._stored[source] for source in of]
                )
        elif uuids:
            for uuid, scope, *_ in self._ask(_found(kind), uuids):
                after.setdefault(uuid, set()).add(scope)
        return after

    def rows(self, view: View, revision: int, sequence: int) -> Iterator[ScopeChange]:
        """What those see who watch a scope."""
        begin = [
            uuid for uuid, after in self.after.items() if uuid not in self._touched and not after <= self.before[uuid]
        ]
        texts = {one.uuid: events.encode(one, orjson.dumps(one.properties)) for one in view.get_many(begin)}
        for uuid, after in self.after.items():
            before, own = self.before[uuid], self._touched.get(uuid)
            if own is not None:
                before = before if own.scopes is None else own.scopes
                number, text = own.sequence, own.text
            elif before == after:
                continue
            else:
                number, text, sequence = sequence, texts.get(uuid, ""), sequence + 1
            stays: Outcome = "keep" if own is None else "update"
            for scope in sorted(before | after):
                operation: Outcome = "delete" if scope not in after else stays if scope in before else "create"
                shown = text if operation in ("create", "update") else ""
                yield ScopeChange(scope, revision, number, operation, self.types[uuid], uuid, shown)

    def _gone(self, uuid: str) -> bool:
        return uuid in self._touched and self._touched[uuid].after is None

    def _new(self, uuid: str) -> bool:
        return uuid in self._touched and self._touched[uuid].before is None

    def _mark(self, found: Iterable[Sequence[str]]) -> None:
        """(type, uuid) of objects to look at as a whole."""
        for kind, uuid, *_ in found:
            self._dirty[kind].add(uuid)

    def _note(self, kind: str, uuid: str, scopes: set[str], *, lost: bool = False) -> None:
        difference = self._differences[kind].setdefault(uuid, _Difference())
        if lost:
            difference.lost |= scopes
        else:
            difference.gained |= scopes

    def _ask(self, statement: Statement, uuids: Collection[str]) -> Sequence[Row]:
        self._session.flush()
        return self._session.all(statement, uuids=self._session.array(sorted(uuids)))


def _targets(found: Object | None) -> set[tuple[str, str]]:
    """(type, uuid) of all it refers to, and of its parent."""
    if found is None:
        return set()
    targets = {(link.type, link.uuid) for links in found.references.values() for link in links}
    if found.parent_type and found.parent_uuid:
        targets.add((found.parent_type, found.parent_uuid))
    return targets
