"""Reads outside a write transaction: lists, names, and whatever else takes more than one statement (see `Point`).

A list is one statement and one more per kind of link, all in one snapshot with the revision.
"""

from collections.abc import Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager
from functools import cache
from itertools import islice
from operator import itemgetter
from typing import Any

import sqlalchemy as sa

from api_server.store import changes, concerns, loading, names, nodes, statuses
from api_server.store.concerns import ScopeChange
from api_server.store.excerpts import excerpts
from api_server.store.objects import Object
from api_server.store.pools import taken
from api_server.store.records import Link, Links, Record, by_creation, by_target, extent, kinds
from api_server.store.session import Row, Session, Statement, any_of
from api_server.store.tables import counter, key_value, listed, place, reference, resource, search_key

_r, _f, _arg, _null = resource.c, reference.c, sa.bindparam, sa.null()

_REVISION = Statement(sa.select(counter.c.revision))
_BY_KEYS = Statement(sa.select(search_key.c.key, search_key.c.uuid).where(any_of(search_key.c.key, "keys")))
_VALUES = Statement(sa.select(key_value.c.key, key_value.c.value).where(any_of(key_value.c.key, "keys")))
_ALL_VALUES = Statement(sa.select(key_value.c.key, key_value.c.value))


@cache
def _links_of_many(kind: str, mode: str) -> Statement:
    """(owner, type, uuid, fq_name, attr, created)"""
    ((_, rows, owner),) = kinds(
        *(mode if kind == one else "none" for one in ("references", "back_references", "children"))
    )
    return Statement(rows.with_only_columns(owner, *rows.selected_columns).where(any_of(owner, "owners")))


@cache
def _listing(anchors: frozenset[str], shape: str, *, limited: bool, ordered: bool = True) -> Statement:
    """Objects of a type. anchors: those given (see `_anchors`), all must hold; the order is then left to who
    reads the rows, since PostgreSQL takes three times as long to sort text. shape: names, properties, or count."""
    head, tail = (_r.uuid, _r.type, _r.fq_name, _r.parent_type, _r.parent_uuid), (_r.modified, _r.created)
    match shape:
        case "count":
            found = sa.select(sa.func.count()).select_from(resource)
        case "names":
            found = sa.select(*head, _null, *tail)
        case _:
            found = sa.select(*head, _r.properties, *tail)
    placed = ordered and not anchors and shape != "count"
    # Few are expected of these anchors: look the uuids up, don't walk the whole type (SQLite would).
    kind = listed if placed else _r.type + "" if anchors & {"uuids", "back_refs"} else _r.type
    found = found.where(kind == _arg("type"))
    if "parent" in anchors:
        found = found.where(_r.parent_uuid == _arg("parent"))
    if "parents" in anchors:
        found = found.where(any_of(_r.parent_uuid, "parents"))
    if "back_refs" in anchors:
        referrers = sa.select(_f.from_uuid).where(any_of(_f.to_uuid, "back_refs"), _f.from_type == _arg("type"))
        found = found.where(_r.uuid.in_(referrers))
    if "uuids" in anchors:
        found = found.where(any_of(_r.uuid, "uuids"))
    if placed:
        found = found.order_by(place)
        if limited:
            found = found.where(place > _arg("after"))
    return Statement(found.limit(_arg("limit")) if limited else found)


class Reader:
    """What `Store.read` gives to its call; not to be kept."""

    def __init__(self, session: Session) -> None:
        self._session = session
        self._revision: int | None = None
        self._within = False

    @property
    def revision(self) -> int:
        """All that is read through this reader is at least as new as this revision, and exactly this new if it is one
        read or happens in one `snapshot`."""
        if self._revision is None:
            self._revision = int(self._session.all(_REVISION)[0][0])
        return self._revision

    @contextmanager
    def snapshot(self) -> Iterator[int]:
        """All reads inside see one and the same revision, which it yields."""
        if self._within:
            yield self.revision
            return
        with self._session.transaction(self._session.database.begin_read, (_REVISION, {})) as (rows,):
            revision = int(rows[0][0])
            if self._revision is None:
                self._revision = revision
            self._within = True
            try:
                yield revision
            finally:
                self._within = False

    # --- one object

    def get(self, uuid: str) -> Object | None:
        """One object as a value, with positions and its own references."""
        return loading.one(self._session, uuid)

    def get_many(self, uuids: Sequence[str]) -> list[Object]:
        """In the order asked; missing ones left out."""
        found = {one.uuid: one for one in loading.many(self._session, uuids)} if uuids else {}
        return [found[uuid] for uuid in uuids if uuid in found]

    def find(self, type: str, fq_name: Sequence[str]) -> str | None:
        """uuid by name."""
        return loading.find(self._session, type, names.join(fq_name))

    def identify(self, uuid: str) -> tuple[str, tuple[str, ...]] | None:
        """(type, fq_name)."""
        return loading.identify(self._session, uuid)

    def taken(self, pools: Sequence[str]) -> Mapping[str, int]:
        """How many numbers of each pool are taken."""
        return taken(self._session, pools)

    # --- lists

    def by_name(self, type: str, fq_names: Sequence[str]) -> list[str]:
        """uuids of those that exist, in the order asked. fq_names: joined by colons."""
        rows = self._session.all(loading.UUIDS_OF, type=type, fq_names=self._array(fq_names))
        found = {name: str(uuid) for name, uuid in rows if uuid is not None}
        return [found[name] for name in fq_names if name in found]

    def by_keys(self, keys: Sequence[str]) -> list[str]:
        """uuids of the objects that declared one of these search keys, each once, in the order of keys, then uuid."""
        place = {key: index for index, key in enumerate(keys)}
        rows = self._session.all(_BY_KEYS, keys=self._array(keys))
        return list(dict.fromkeys(uuid for _, uuid in sorted((place[key], uuid) for key, uuid in rows)))

    def records(
        self,
        type: str,
        *,
        parents: Sequence[str] | None = None,
        back_refs: Sequence[str] | None = None,
        uuids: Sequence[str] | None = None,
        properties: bool = True,
        references: Links = False,
        back_references: Links = False,
        children: Links = False,
        after: str = "",
        limit: int | None = None,
    ) -> list[Record]:
        """Objects of a type for which all anchors given hold, in the order of contract 3.2.

        parents, back_refs: uuids of possible parents, of objects referred to. properties: else their text is "{}".
        limit: at most so many; with anchors any of them, without those that follow `after` (`fq:name:uuid` of the last
        of the page before).
        """
        given: dict[str, Any] = self._anchors(parents, back_refs, uuids)
        keys = frozenset(given)
        if limit is not None:
            given["limit"] = limit
            if not keys:
                given["after"] = after
        statement = _listing(keys, "properties" if properties else "names", limited=limit is not None)
        with self.snapshot():
            rows = self._session.all(statement, type=type, **given)
            if keys - {"uuids"}:
                rows.sort(key=_UUID)
            if parents is not None:
                rows.sort(key=_CREATED)
            found = {row[0]: _record(row) for row in rows}
            if found:
                self._link(found, "references", references, possible=True)
                self._link(found, "back_references", back_references, possible=names.has_back_references(type))
                self._link(found, "children", children, possible=names.has_children(type))
        if keys == {"uuids"}:
            return [found[uuid] for uuid in dict.fromkeys(uuids or ()) if uuid in found]
        return list(found.values())

    def slices(
        self,
        type: str,
        *,
        uuids: Collection[str] | None = None,
        properties: bool = True,
        references: Links = False,
        size: int = 500,
    ) -> Iterator[list[Record]]:
        """All objects of a type, or those with these uuids, `size` of them at a time and in no order; inside a
        `snapshot`."""
        given = {} if uuids is None else {"uuids": self._array(list(uuids))}
        shape = "properties" if properties else "names"
        statement = _listing(frozenset(given), shape, ordered=False, limited=False)
        rows = self._session.stream(statement, type=type, **given)
        while found := {row[0]: _record(row) for row in islice(rows, size)}:
            self._link(found, "references", references, possible=True)
            yield list(found.values())

    def excerpts(
        self,
        type: str,
        properties: Collection[str],
        references: Collection[str],
        *,
        names: bool = True,
        uuids: Collection[str] | None = None,
        size: int = 500,
    ) -> Iterator[list[str]]:
        """The same as JSON with some of their fields (see `excerpts`), as the database writes it."""
        given = {} if uuids is None else {"uuids": self._array(list(uuids))}
        fields = frozenset(properties), frozenset(references)
        statement = excerpts(type, *fields, names=names, chosen=uuids is not None)
        rows = self._session.stream(statement, type=type, **given)
        while found := [row[0] for row in islice(rows, size)]:
            yield found

    def count(
        self,
        type: str,
        *,
        parents: Sequence[str] | None = None,
        back_refs: Sequence[str] | None = None,
        uuids: Sequence[str] | None = None,
    ) -> int:
        """How many `records` would give."""
        given = self._anchors(parents, back_refs, uuids)
        statement = _listing(frozenset(given), "count", limited=False)
        with self.snapshot():
            return int(self._session.all(statement, type=type, **given)[0][0])

    # --- by scope

    def concerned(self, type: str, scopes: Collection[str], without: Collection[str] = ()) -> Sequence[str]:
        """uuids of the objects of a type that concern one of these scopes and none of the others, in order."""
        return concerns.of_scopes(self._session, type, scopes, without)

    def bounds(self) -> changes.Bounds:
        """Of the log."""
        return changes.bounds(self._session)

    def scoped_changes(self, scopes: Collection[str], after: int) -> Iterator[ScopeChange]:
        """The log after a revision as those see it who watch these scopes; inside a `snapshot`."""
        upto = after
        while upto < self.revision:
            page = changes.scoped_page(self._session, scopes, upto)
            yield from page.changes
            upto = page.upto

    def due(self, scopes: Collection[str], after: int, upto: int) -> int | None:
        """See `changes.due`."""
        return changes.due(self._session, scopes, after, upto)

    # --- strings by name (contract 4.3)

    def values(self, keys: Sequence[str] | None) -> Mapping[str, str]:
        """Those of `keys` that exist; None: all. By key."""
        session = self._session
        rows = session.all(_ALL_VALUES) if keys is None else session.all(_VALUES, keys=self._array(keys))
        return {row[0]: row[1] for row in sorted(rows, key=lambda row: row[0])}

    # --- what nodes report

    def status_rows(self, uuids: Sequence[str]) -> Mapping[str, Sequence[statuses.Row]]:
        """The rows of objects, by uuid; those without any are left out."""
        return statuses.of(self._session, uuids)

    def status_rows_of(self, node: str) -> Sequence[statuses.Row]:
        """All that a node has said."""
        return statuses.by_node(self._session, node)

    def status_changes(self, stamp: int) -> statuses.Changed:
        """See `statuses.changed`."""
        return statuses.changed(self._session, stamp)

    def nodes(self, arrived: Collection[str] = ()) -> Sequence[nodes.Node]:
        """Who there is, and how far: see `nodes.everyone`."""
        return nodes.everyone(self._session, arrived)

    def least_applied(self) -> int:
        """See `nodes.least`."""
        return nodes.least(self._session)

    def revisions(self, uuids: Sequence[str]) -> Mapping[str, int]:
        """Of objects, by uuid."""
        return statuses.revisions(self._session, uuids)

    def _anchors(
        self, parents: Sequence[str] | None, back_refs: Sequence[str] | None, uuids: Sequence[str] | None
    ) -> dict[str, str]:
        """Those given, as parameters. One parent is asked for as one: for an array PostgreSQL, while there are few
        objects, plans to look through those of the type."""
        anchors = {"parents": parents, "back_refs": back_refs, "uuids": uuids}
        given = {name: self._array(values) for name, values in anchors.items() if values is not None}
        if parents is not None and len(parents) == 1 and names.storable(parents[0]):
            del given["parents"]
            given["parent"] = parents[0]
        return given

    def _array(self, values: Sequence[str]) -> str:
        return self._session.array([value for value in values if names.storable(value)])

    def _link(self, found: dict[str, Record], kind: str, links: Links, *, possible: bool) -> None:
        mode = extent(links, possible)
        if mode == "none":
            return
        values = {"owners": self._session.array(list(found))}
        if mode == "some" and not isinstance(links, bool):
            values[kind] = self._session.array(list(links))
        rows = self._session.all(_links_of_many(kind, mode), **values)
        rows.sort(key=by_creation if kind == "children" else by_target)
        linked: dict[str, list[Link]] = {}
        for owner, *link, _ in rows:
            linked.setdefault(owner, []).append(Link(*link))
        for owner, each in linked.items():
            setattr(found[owner], kind, each)


_UUID, _CREATED = itemgetter(0), itemgetter(7)
"""Of a listing's row. Sorted by the one and then by the other: many have one time of creation, a transaction's."""


def _record(row: Row) -> Record:
    """Of a listing."""
    return Record(row[0], row[1], row[2], row[3], row[4], row[5] or "{}", row[6])
