"""Create, update and delete of any type: Contrail's order of checks (contract 2.2), then the type's hooks, then the
store.

Everything here runs inside a write transaction and is pure over it: a group of writes can be rolled back and run
again.
"""

import uuid as uuids
from collections.abc import Sequence
from typing import Any

from api_server.errors import BadRequest, Conflict, NotFound
from api_server.resources import standard
from api_server.resources.body import ROOT, Body, Link
from api_server.resources.hooks import Registry, perform
from api_server.resources.quotas import Quotas
from api_server.resources.standard import NOBODY, Caller
from api_server.resources.tags import check_tags
from api_server.store.objects import Change, Create, Delete, Object, Origin, Reference, Update
from api_server.store.transaction import Transaction
from schema.model import ObjectModel, ReferenceField, ResourceType
from schema.quoting import quote

# What a client decides of id_perms (contract 2.4 and 2.8).
ID_PERMS_CREATE = ("enable", "description", "user_visible", "creator")
ID_PERMS_UPDATE = ("enable", "description")


class Operations:
    """The generic part of every type. model: the types there are. registry: what is special about some of them.
    quotas: what projects may hold."""

    def __init__(self, model: ObjectModel, registry: Registry, quotas: Quotas | None = None) -> None:
        self.model = model
        self.registry = registry
        self.quotas = quotas or Quotas()

    def apply(self, tx: Transaction, change: Change) -> None:
        """One change with all that belongs to it. ApiError if a quota, a hook or the store refuses it."""
        self.quotas.check(tx, change)
        if not isinstance(change, Delete):
            check_tags(change.after)
        perform(tx, self.registry, change)

    # --- create

    def create(self, tx: Transaction, body: Body, caller: Caller = NOBODY) -> Object:
        """The new object. caller: its project owns what has no owning parent; its user and role are noted."""
        kind = body.type
        for hook in self.registry.get(kind.name, ()):
            hook.receive(body)
        if taken := tx.find(kind.name, body.fq_name):
            raise Conflict(f"{list(body.fq_name)} already exists with uuid: {taken}")
        parent_type = self.parent_type(body)
        parent_uuid = self.parent_uuid(tx, body, parent_type) if parent_type else None
        uuid = self.new_uuid(tx, body.uuid)
        after = Object(kind.name, uuid, body.fq_name, parent_type, parent_uuid, created=tx.now, modified=tx.now)
        after.properties = {name: value for name, value in body.properties.items() if value is not None}
        after.properties.setdefault("display_name", body.fq_name[-1])
        after.properties["id_perms"] = merge(
            standard.id_perms(uuid, tx.now, caller if parent_uuid else NOBODY), body.properties.get("id_perms"),
            only=ID_PERMS_CREATE,
        )  # fmt: skip
        owner = caller.project or standard.DEFAULT_OWNER
        if kind.name == "project" and body.uuid:
            owner = uuid.replace("-", "")  # Keystone's id of it: the project owns itself
        after.properties["perms2"] = self.perms2(tx, after, body.properties.get("perms2"), owner)
        for field, links in body.references.items():
            if references := self.resolve(tx, after, kind.references[field], links, "create"):
                after.references[field] = references
        self.apply(tx, Create(after))
        return after

    def parent_type(self, body: Body) -> str | None:
        """The hyphenated type of the parent, None for an object that stands alone (contract 2.3)."""
        kind, given = body.type, body.parent_type
        allowed = [ROOT, *kind.parents] if kind.is_root else list(kind.parents)
        if given and given not in allowed:
            raise BadRequest(f"Invalid parent type: {quote(given)}. Allowed types: {allowed}")
        if not given and len(allowed) > 1 and not kind.is_root:
            raise BadRequest(f"Missing parent type: {quote(given)}. Allowed types: {allowed}")
        parent = str(given or allowed[0])
        if parent == ROOT:
            if len(body.fq_name) > 1:
                raise BadRequest(f"Invalid fq-name of an object with no parent: {list(body.fq_name)}")
            return None
        if len(body.fq_name) == 1:
            raise BadRequest(f"Invalid fq-name for object with parent_type {parent}: {list(body.fq_name)}")
        return parent

    def parent_uuid(self, tx: Transaction, body: Body, parent_type: str) -> str:
        """By name, whatever uuid the client gives; but one that nothing has is told, where the owner would be looked
        up by it (contract 2.3)."""
        name, given = body.fq_name[:-1], body.parent_uuid
        owned = (body.properties.get("perms2") or {}).get("owner")
        if given is not None and not owned and parent_type != "domain":
            known = tx.identify(given) if isinstance(given, str) else None
            if known is None or known[0] != parent_type:
                raise NotFound(f"Parent {parent_type.replace('-', '_')} cannot be found: Unknown id: {quote(given)}")
        if found := tx.named(parent_type, name):
            return found.uuid
        if owned:
            raise BadRequest(f"Parent {list(name)} type {parent_type} does not exist")
        raise NotFound(f"Name {list(name)} not found")

    def new_uuid(self, tx: Transaction, given: Any) -> str:
        """The client's, if it is canonical and free; any version is good (kube-manager brings those of Kubernetes)."""
        if not given:
            return tx.new_uuid()
        try:
            canonical = isinstance(given, str) and str(uuids.UUID(given)) == given
        except ValueError:
            canonical = False
        if not canonical:
            raise BadRequest(f"Invalid UUID format: {quote(given)}")
        if found := tx.identify(given):
            raise Conflict(f"{given} already exists with fq_name: {list(found[1])}")
        return str(given)

    def perms2(self, tx: Transaction, after: Object, given: dict[str, Any] | None, owner: str) -> dict[str, Any]:
        """The client's own members, else the owner of the parent object; below a domain, and of what stands alone,
        the owner given (contract 2.4)."""
        if not (given or {}).get("owner"):
            owner = standard.inherited_owner(tx, after, owner)
        return merge(standard.perms2(owner), given)

    # --- references

    def resolve(
        self, tx: Transaction, source: Object, reference: ReferenceField, links: Sequence[Link], operation: str
    ) -> list[Reference]:
        """References to objects that exist; the last entry of several for one target wins.

        On create the name counts, on update the uuid (contract 2.6).
        """
        found: dict[str, Reference] = {}
        for link in links:
            target = self.target(tx, reference.to, link, by_name=operation == "create")
            if target is None:
                asked = {reference.field: [{"to": list(link.to)} if link.to else {"uuid": link.uuid}]}
                where = operation if operation == "create" else f"{operation} {self.model.types[source.type].ident}"
                raise BadRequest(f"Unknown reference in resource {where} {asked}.")
            uuid, fq_name = target
            if uuid == source.uuid:
                raise BadRequest(f"Bad reference in {operation}: {reference.field} refers to the object itself")
            origin = Origin.DERIVED if reference.derived else Origin.CLIENT
            found[uuid] = Reference(reference.to, uuid, fq_name, link.attr, origin)
        return list(found.values())

    @staticmethod
    def target(tx: Transaction, kind: str, link: Link, *, by_name: bool) -> tuple[str, tuple[str, ...]] | None:
        if link.to and (by_name or not link.uuid):
            uuid = tx.find(kind, link.to)
            return (uuid, link.to) if uuid else None
        found = tx.identify(link.uuid) if link.uuid else None
        return (link.uuid, found[1]) if link.uuid and found and found[0] == kind else None

    # --- update

    def update(self, tx: Transaction, kind: ResourceType, uuid: str, body: Body) -> Object:
        """The object after the update; unchanged, and nothing written, if the body is empty (contract 2.8)."""
        before = tx.get(uuid)
        if before is None or before.type != kind.name:
            raise NotFound(f"Unknown id: {uuid}")
        if body.empty:
            return before
        after = before.copy()
        for name, value in body.properties.items():
            after.positions.pop(name, None)
            if name == "id_perms":
                after.properties[name] = merge(before.properties.get(name), value, only=ID_PERMS_UPDATE)
            elif name == "perms2":
                after.properties[name] = merge(before.properties.get(name), value)
            elif value is None and (name in before.properties or kind.properties[name].kind != "plain"):
                after.properties.pop(name, None)
            else:
                after.properties[name] = value
        for field, links in body.references.items():
            self.replace(after, field, self.resolve(tx, after, kind.references[field], links, "update"))
        self.apply(tx, Update(before, after))
        return after

    @staticmethod
    def replace(after: Object, field: str, references: list[Reference]) -> None:
        """All references of a kind. One that stood there stays whose it was: who reads an object and sends it back
        does not take over what the driver made."""
        origins = {reference.uuid: reference.origin for reference in after.references.get(field, ())}
        for reference in references:
            reference.origin = origins.get(reference.uuid, reference.origin)
        if references:
            after.references[field] = references
        else:
            after.references.pop(field, None)

    # --- delete

    def delete(self, tx: Transaction, kind: ResourceType, uuid: str) -> Object:
        """The object as it was. Conflict while something refers to it or is below it (contract 2.9)."""
        before = tx.get(uuid)
        if before is None:
            raise NotFound(f"ID {uuid} does not exist")
        if before.type != kind.name:
            raise NotFound(f"No {kind.name} object found for id {uuid}")
        self.apply(tx, Delete(before))
        return before


def merge(stored: Any, given: Any, only: Sequence[str] | None = None) -> dict[str, Any]:
    """Members of `given` that are set lie over the stored ones."""
    kept = {
        name: value for name, value in (given or {}).items() if value is not None and (only is None or name in only)
    }
    return {**(stored or {}), **kept}
