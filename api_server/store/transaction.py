"""One request's view of the store inside a write transaction, and its changes.

A request is one revision: all its events carry it. What is written waits in the session and goes out in groups; what
is read through the transaction already shows it. Nothing here commits: `writer` does, for a group of requests.
"""

from collections.abc import Collection, Iterator, Mapping, Sequence
from datetime import datetime, timedelta
from typing import Any

import orjson
import sqlalchemy as sa

from api_server.errors import BadRequest, Conflict, NotFound
from api_server.store import changes, concerns, events, leases, names, nodes, notices, pools, removal, statuses
from api_server.store.concerns import ScopeChange
from api_server.store.events import Event, Operation
from api_server.store.following import Touched, follow
from api_server.store.leases import Lease
from api_server.store.objects import Change, Create, Delete, Object, Reference, Update
from api_server.store.scopes import RULES
from api_server.store.session import Session, Statement, any_of
from api_server.store.tables import change as change_table
from api_server.store.tables import key_value, reference, relaxation, resource, search_key
from api_server.store.view import Known, View

_r, _f, _k, _arg = resource.c, reference.c, search_key.c, sa.bindparam

_INSERT_RESOURCE = Statement(resource.insert(), resource.columns.keys())
_UPDATE_RESOURCE = Statement(
    resource.update().where(_r.uuid == _arg("of")), ("properties", "positions", "revision", "modified", "owner")
)
_DELETE_RESOURCE = Statement(resource.delete().where(_r.uuid == _arg("uuid")))

_INSERT_REFERENCE = Statement(reference.insert(), reference.columns.keys())
_UPDATE_REFERENCE = Statement(
    reference.update().where(_f.from_uuid == _arg("source"), _f.to_uuid == _arg("target")), ("attr", "origin")
)
_DELETE_REFERENCE = Statement(reference.delete().where(_f.from_uuid == _arg("source"), _f.to_uuid == _arg("target")))
_DELETE_REFERENCES_TO = Statement(reference.delete().where(any_of(_f.to_uuid, "uuids")))

_KEYS = Statement(sa.select(_k.key).where(_k.uuid == _arg("uuid")))
_INSERT_KEY = Statement(search_key.insert(), search_key.columns.keys())
_DELETE_KEY = Statement(search_key.delete().where(_k.key == _arg("key"), _k.uuid == _arg("uuid")))

_INSERT_CHANGE = Statement(change_table.insert(), change_table.columns.keys())

_INSERT_RELAXATION = Statement(relaxation.insert(), relaxation.columns.keys())
_DELETE_RELAXATION = Statement(
    relaxation.delete().where(relaxation.c.from_uuid == _arg("source"), relaxation.c.to_uuid == _arg("target"))
)

_INSERT_VALUE = Statement(key_value.insert(), key_value.columns.keys())
_DELETE_VALUE = Statement(key_value.delete().where(key_value.c.key == _arg("key")))

WAITING = (
    _INSERT_RESOURCE, _UPDATE_RESOURCE, _INSERT_REFERENCE, _UPDATE_REFERENCE, _INSERT_KEY, _INSERT_CHANGE,
    concerns.INSERT_CONCERN, concerns.INSERT_SCOPE_CHANGE, notices.NOTIFY,
)  # fmt: skip
"""What may wait in a session, in the order in which it is sent."""


class Transaction(View):
    """One request.

    now: naive UTC, ISO 8601 with microseconds; the time of this request, later than that of any before it.
    base_url: of the request, without trailing slash, for hrefs in refusals. revision: what its changes get.
    events: its changes so far, in order; none: it needs no revision. fields: what each of them changed; None for a
    create or delete. touched: the object of each, where its type has scopes. scope_changes: what `finish` has made of
    them for those who watch a scope.
    """

    def __init__(
        self,
        session: Session,
        known: Known,
        *,
        revision: int,
        now: str,
        request_id: str = "",
        user: str = "",
        base_url: str = "",
    ) -> None:
        super().__init__(session, known)
        self.revision = revision
        self.now = now
        self.request_id = request_id
        self.user = user
        self.base_url = base_url
        self.events: list[Event] = []
        self.fields: list[list[str] | None] = []
        self.scope_changes: list[ScopeChange] = []
        self.touched: list[Touched | None] = []
        self._followed = 0  # of the events

    def finish(self) -> None:
        """The request has made all its changes: what follows from them for those who watch a scope."""
        touched = [one for one in self.touched[self._followed :] if one is not None]
        self._followed = len(self.touched)
        if touched:
            self.scope_changes += follow(self._session, self, touched, self.revision, len(self.scope_changes))

    # --- objects

    def apply(self, change: Change, keys: Sequence[str] | None = None) -> None:
        """Store the change and log it as an event of this request's revision.

        keys: the object's search keys from now on (None: unchanged). Sets revision, modified and id_perms.last_modified
        (strictly growing per object; on create also created) in the object given. A same-type reference is stored on
        both sides. A delete takes derived and default-named children along, and removes references that do not block
        it from those who hold them; each is an event of its own.

        Raises Conflict on a taken fq_name or uuid, or if a deleted object has children or is still referred to (texts
        of contract 2.9 and 2.11); NotFound if what is updated or deleted does not exist; RuntimeError if an update's
        `before` is not the present version (a caller's mistake: it would undo another change of the same request).
        """
        match change:
            case Create(after):
                self._create(after)
                for key in dict.fromkeys(keys or ()):
                    self._session.later(_INSERT_KEY, key=key, uuid=after.uuid)
            case Update(before, after):
                self._update(before, after)
                if keys is not None:
                    self._declare(after.uuid, keys)
            case Delete(before):
                self._delete(before)

    def _create(self, after: Object) -> None:
        fq_name = names.join(after.fq_name)
        if not names.storable(fq_name + after.uuid):
            raise BadRequest("A name or uuid must not contain NUL")
        if taken := self.find(after.type, after.fq_name):
            raise Conflict(f"{list(after.fq_name)} already exists with uuid: {taken}")
        if other := self.identify(after.uuid):
            raise Conflict(f"{after.uuid} already exists with fq_name: {list(other[1])}")
        after.created = self.now
        self._stamp(after, self.now)
        properties = orjson.dumps(after.properties)
        self._insert(after, fq_name, properties)
        self.known.uuids[after.type, fq_name] = after.uuid
        self._log("create", None, after, events.encode(after, properties))
        self._relink(after, {}, _links(after))

    def _insert(self, after: Object, fq_name: str, properties: bytes) -> None:
        self._session.later(
            _INSERT_RESOURCE,
            uuid=after.uuid,
            type=after.type,
            fq_name=fq_name,
            parent_uuid=after.parent_uuid,
            parent_type=after.parent_type,
            created=after.created,
            **self._row(after, properties),
        )

    def _update(self, before: Object, after: Object) -> None:
        current = self._current(after.uuid)
        if current is None:
            raise NotFound(f"Unknown id: {after.uuid}")
        if current.modified != before.modified:
            raise RuntimeError(f"{after.type} {after.uuid} was changed since it was read by this request")
        self._save(after, current)
        self._relink(after, _links(current), _links(after))

    def _delete(self, before: Object) -> None:
        if self._current(before.uuid) is None:
            raise NotFound(f"ID {before.uuid} does not exist")
        plan = removal.plan(self._session, before.type, before.uuid, self.base_url)
        gone = set(plan.gone)
        self.get_many(plan.gone + plan.bereft)
        scopes = self._scopes(plan.gone)
        self._session.execute(_DELETE_REFERENCES_TO, uuids=self._session.array(plan.gone))
        for uuid in plan.bereft:
            current = self._current(uuid)
            assert current is not None
            after = current.copy()
            for name, references in current.references.items():
                after.references[name] = [one for one in references if one.uuid not in gone]
                if not after.references[name]:
                    del after.references[name]
            lost = [name for name in current.references if after.references.get(name) != current.references[name]]
            self._save(after, current, implicit=lost == [names.field(current.type)])
        for uuid in reversed(plan.gone):
            current = self._current(uuid)
            assert current is not None
            pools.release_all(self._session, uuid)
            self._session.execute(_DELETE_RESOURCE, uuid=uuid)
            text = events.encode(current, orjson.dumps(current.properties))
            self._log("delete", current, current, text, scopes=scopes.get(uuid))
            self.known.objects[uuid] = None
            self.known.scopes[uuid] = frozenset()
            self.known.uuids[current.type, names.join(current.fq_name)] = None

    def _save(self, after: Object, current: Object, *, implicit: bool = False) -> None:
        """Write and log an object that exists; its reference rows are the caller's business.

        implicit: nothing has changed but its side of same-type references.
        """
        after.created = current.created
        self._stamp(after, max(self.now, _later(current.modified)))
        properties = orjson.dumps(after.properties)
        self._session.later(_UPDATE_RESOURCE, of=after.uuid, **self._row(after, properties))
        fields = list(changed_fields(current, after))
        self._log("update", current, after, events.encode(after, properties), fields, implicit=implicit)

    def _stamp(self, after: Object, modified: str) -> None:
        after.modified = modified
        after.revision = self.revision
        if isinstance(id_perms := after.properties.get("id_perms"), dict):
            times = {"created": after.created, "last_modified": modified}
            after.properties["id_perms"] = {**id_perms, **times}

    def _row(self, after: Object, properties: bytes) -> dict[str, Any]:
        self._session.loaded += len(properties)
        return {
            "properties": properties.decode(),
            "positions": orjson.dumps(after.positions).decode() if after.positions else None,
            "revision": after.revision,
            "modified": after.modified,
            "owner": (after.properties.get("perms2") or {}).get("owner"),
        }

    def _log(
        self,
        operation: Operation,
        before: Object | None,
        object: Object,
        text: str,
        fields: list[str] | None = None,
        *,
        implicit: bool = False,
        scopes: set[str] | None = None,
    ) -> None:
        joined = None if fields is None else ",".join(fields)
        event = Event(self.revision, len(self.events), operation, object.type, object.uuid, text, joined)
        self.events.append(event)
        self.fields.append(fields)
        self._session.later(
            _INSERT_CHANGE,
            **event._asdict(),
            fq_name=names.join(object.fq_name),
            request_id=self.request_id,
            user=self.user,
            at=self.now,
            implicit=int(implicit),
        )
        after = None if operation == "delete" else _as_read(object)
        if after is not None:
            self.known.objects[object.uuid] = after
        scoped = object.type in RULES
        self.touched.append(Touched(before, after, event.sequence, text, scopes) if scoped else None)

    def _scopes(self, uuids: Sequence[str]) -> dict[str, set[str]]:
        """What objects concern that are about to go, by uuid; those of types without scopes are left out."""
        found = {uuid: one for uuid in uuids if (one := self._current(uuid)) is not None and one.type in RULES}
        standing = concerns.stored(self._session, found)
        return {uuid: standing.get(uuid, set()) for uuid in found}

    # --- objects as they were, from an export: no event, nothing looked up, nothing remembered

    def restore(self, object: Object, keys: Sequence[str]) -> None:
        """Store an object with its times and its revision, but without its references: their targets come later."""
        self._insert(object, names.join(object.fq_name), orjson.dumps(object.properties))
        for key in keys:
            self._session.later(_INSERT_KEY, key=key, uuid=object.uuid)

    def restore_references(self, object: Object) -> None:
        """Its own side of them."""
        for link in _links(object).values():
            self._session.later(_INSERT_REFERENCE, **_reference_row(object.uuid, object.type, link))

    # --- references

    def _relink(self, source: Object, old: dict[str, Reference], new: dict[str, Reference]) -> None:
        """Make the reference rows of an object those of its new version, on both sides where the types are the same."""
        for uuid, link in old.items():
            if uuid not in new:
                self._session.execute(_DELETE_REFERENCE, source=source.uuid, target=uuid)
                self._mirror(source, link, None)
        for uuid, link in new.items():
            present = old.get(uuid)
            if present is None:
                self._session.later(_INSERT_REFERENCE, **_reference_row(source.uuid, source.type, link))
            elif (present.attr, present.origin) != (link.attr, link.origin):
                row = _reference_row(source.uuid, source.type, link)
                self._session.later(
                    _UPDATE_REFERENCE, source=source.uuid, target=uuid, attr=row["attr"], origin=row["origin"]
                )
            else:
                continue
            self._mirror(source, present, link)

    def _mirror(self, source: Object, old: Reference | None, new: Reference | None) -> None:
        """The other side of a same-type reference: its row, its version, its event."""
        link = new or old
        assert link is not None
        if link.type != source.type or link.uuid == source.uuid:
            return
        current = self._current(link.uuid)
        if current is None:
            raise Conflict(f"{link.type} {link.uuid} does not exist")
        field = names.field(source.type)
        others = [one for one in current.references.get(field, ()) if one.uuid != source.uuid]
        here = Reference(source.type, source.uuid, source.fq_name, link.attr, link.origin)
        after = current.copy()
        after.references[field] = [*others, here] if new else others
        if not after.references[field]:
            del after.references[field]
        if new is None:
            self._session.execute(_DELETE_REFERENCE, source=link.uuid, target=source.uuid)
        elif old is None:
            self._session.later(_INSERT_REFERENCE, **_reference_row(link.uuid, link.type, here))
        else:
            row = _reference_row(link.uuid, link.type, here)
            self._session.later(
                _UPDATE_REFERENCE, source=link.uuid, target=source.uuid, attr=row["attr"], origin=row["origin"]
            )
        self._save(after, current, implicit=True)

    def _declare(self, uuid: str, keys: Sequence[str]) -> None:
        self._session.flush()
        present = {row[0] for row in self._session.all(_KEYS, uuid=uuid)}
        for key in present.difference(keys):
            self._session.execute(_DELETE_KEY, key=key, uuid=uuid)
        for key in dict.fromkeys(keys):
            if key not in present:
                self._session.later(_INSERT_KEY, key=key, uuid=uuid)

    # --- numbers (docs/design/pools.md). ranges: inclusive (first, last); a pool is made from them at its first use

    def take(
        self,
        pool: str,
        ranges: Sequence[tuple[int, int]],
        holder: str,
        *,
        wanted: int | None = None,
        highest: bool = False,
    ) -> int | None:
        """Take `wanted`, or the lowest (highest) free number. None: exhausted, or `wanted` is taken or not in the pool.

        holder: a uuid, with whose delete the number becomes free again, or any other text.
        """
        return pools.take(self._session, pool, ranges, holder, wanted=wanted, highest=highest)

    def take_many(
        self, pool: str, ranges: Sequence[tuple[int, int]], holder: str, count: int, *, highest: bool = False
    ) -> list[int]:
        """Up to so many of the lowest (highest) free numbers, in order; fewer if the pool is exhausted."""
        return pools.take_many(self._session, pool, ranges, holder, count, highest=highest)

    def release(self, pool: str, number: int) -> None:
        """A number that is not taken is left alone."""
        pools.release(self._session, pool, number)

    def release_all(self, holder: str) -> None:
        """Whatever this holder has; `apply` does it for a deleted object."""
        pools.release_all(self._session, holder)

    def divide(self, before: Collection[str], after: Mapping[str, Sequence[tuple[int, int]]]) -> tuple[str, int] | None:
        """Some pools become others, by name; what is taken is so in the pool that has the number now.

        after: disjoint. Returns the lowest taken (pool, number) that is in none of them (nothing is changed then),
        else None.
        """
        return pools.divide(self._session, before, after)

    def drop_pool(self, pool: str) -> None:
        """Forget the pool with all that is taken."""
        pools.drop(self._session, pool)

    # --- strings by name (contract 4.3); no event, no revision

    def store_value(self, key: str, value: str) -> None:
        """Keep or overwrite."""
        if not names.storable(key + value):
            raise BadRequest("A key or value must not contain NUL")
        if not names.fits(key):
            raise BadRequest(f"A key must not be longer than {names.LONGEST} bytes")
        self._session.execute(_DELETE_VALUE, key=key)
        self._session.execute(_INSERT_VALUE, key=key, value=value)

    def delete_value(self, key: str) -> None:
        if names.storable(key):
            self._session.execute(_DELETE_VALUE, key=key)

    def relax(self, source: str, target: str) -> None:
        """A reference from one object to another, once there is one, does not block the delete of its target. No event:
        neither object changes."""
        self._session.execute(_DELETE_RELAXATION, source=source, target=target)
        self._session.execute(_INSERT_RELAXATION, from_uuid=source, to_uuid=target)

    # --- work that one process does at a time; no event, no revision

    def begin_lease(self, name: str) -> int:
        """There is such work from now on: its cursor, which is the present revision if it has not begun before."""
        return leases.begin(self._session, name, self.revision - 1)

    def take_lease(self, name: str, owner: str, seconds: float) -> Lease | None:
        """See `leases.take`."""
        return leases.take(self._session, name, owner, seconds, alone=self._session.sqlite)

    def keep_lease(self, lease: Lease, done: int, seconds: float) -> bool:
        """See `leases.keep`."""
        return leases.keep(self._session, lease, done, seconds)

    def end_lease(self, lease: Lease, done: int) -> bool:
        """See `leases.end`."""
        return leases.end(self._session, lease, done)

    # --- what nodes report; no event, no revision

    def report(self, report: statuses.Report) -> statuses.Reported:
        """See `statuses.report`."""
        return statuses.report(self._session, report)

    def sweep(self) -> int:
        """See `statuses.sweep`."""
        return statuses.sweep(self._session)

    def forget_node(self, name: str) -> bool:
        """See `nodes.forget`."""
        return nodes.forget(self._session, name)

    # --- the log

    def compact(self, keep: int, before: str, slice: int, held: tuple[str, int] | None = None) -> int:
        """See `changes.compact`; for the store itself.

        held: a lease, and how many revisions are kept at most for its holder to read.
        """
        self._session.flush()
        if held and (cursor := leases.cursor(self._session, held[0])) is not None:
            keep = max(keep, min(self.revision - 1 - cursor, held[1]))
        return changes.compact(self._session, self.revision - 1, keep, before, slice)


def _as_read(object: Object) -> Object:
    """A copy with its references in the order in which they would be read."""
    found = object.copy()
    if object.references:
        ordered = sorted(found.references.values(), key=lambda links: links[0].type)
        found.references = {
            names.field(links[0].type): sorted(links, key=lambda link: link.uuid) for links in ordered
        }  # fmt: skip
    return found


def _links(object: Object) -> dict[str, Reference]:
    """By target."""
    return {link.uuid: link for links in object.references.values() for link in links}


def _reference_row(source: str, source_type: str, link: Reference) -> dict[str, Any]:
    return {
        "from_uuid": source,
        "to_uuid": link.uuid,
        "from_type": source_type,
        "to_type": link.type,
        "attr": None if link.attr is None else orjson.dumps(link.attr).decode(),
        "origin": int(link.origin),
    }


def changed_fields(before: Object, after: Object) -> Iterator[str]:
    """Fields that differ, without the times that always do."""
    for name in sorted(before.properties.keys() | after.properties.keys()):
        old, new = before.properties.get(name), after.properties.get(name)
        if name == "id_perms" and isinstance(old, dict) and isinstance(new, dict):
            old = {**old, "last_modified": new.get("last_modified"), "created": new.get("created")}
        if old != new:
            yield name
    for name in sorted(before.references.keys() | after.references.keys()):
        links = [{link.uuid: link for link in side.references.get(name, ())} for side in (before, after)]
        if links[0] != links[1]:
            yield name


def _later(modified: str) -> str:
    """One microsecond later."""
    return (datetime.fromisoformat(modified) + timedelta(microseconds=1)).isoformat(timespec="microseconds")
