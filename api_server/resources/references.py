"""One reference at a time: `POST /ref-update` and `/ref-relax-for-delete` (contract 4.4, 4.5)."""

from dataclasses import dataclass
from typing import Any

from api_server.errors import BadRequest, NotFound
from api_server.resources.body import Link, names, read_attr
from api_server.resources.operations import Operations
from api_server.store.objects import Origin, Reference, Update
from api_server.store.transaction import Transaction
from schema.model import ObjectModel, ReferenceField, ResourceType
from schema.quoting import quote


@dataclass(frozen=True, slots=True)
class RefUpdate:
    """A checked request. add: else delete. relaxed: the reference shall not keep its target from being deleted."""

    kind: ResourceType
    uuid: str
    reference: ReferenceField
    link: Link
    add: bool
    relaxed: bool


def find_type(model: ObjectModel, name: Any) -> ResourceType:
    """By hyphenated or underscored name."""
    found = model.find(name) if isinstance(name, str) else None
    if found is None:
        raise NotFound(f"Resource type '{quote(name)}' not found")
    return found


def read_ref_update(model: ObjectModel, document: Any) -> RefUpdate:
    document = document if isinstance(document, dict) else {}
    needed = {name: document.get(name) for name in ("type", "uuid", "ref-type", "operation")}
    for name in ("type", "ref-type"):
        if needed[name]:
            find_type(model, needed[name])
    if not all(isinstance(value, str) and value for value in needed.values()):
        shown = ", ".join(quote(value) for value in needed.values())
        raise BadRequest(f"Bad Request: type/uuid/ref-type/operation is null: {shown}.")
    operation = needed["operation"].upper()
    if operation not in ("ADD", "DELETE"):
        raise BadRequest(f"Bad Request: operation should be add or delete: {quote(operation)}")
    to, ref_uuid = document.get("ref-fq-name"), document.get("ref-uuid")
    if not to and not ref_uuid:
        raise BadRequest("Bad Request: ref-uuid or ref-fq-name must be specified")
    if (to and not names(to)) or (ref_uuid and not isinstance(ref_uuid, str)):
        raise BadRequest(
            f"Bad Request: ref-uuid must be text and ref-fq-name a list of names: {quote(ref_uuid)}, {quote(to)}"
        )
    kind, target = find_type(model, needed["type"]), find_type(model, needed["ref-type"])
    reference = kind.references.get(f"{target.ident}_refs")
    if reference is None:
        raise BadRequest(f"Bad reference in ref-update: {kind.name} has no reference to {target.name}")
    attr = None
    if operation == "ADD" and document.get("attr") is not None:
        entry = {"to": to, "uuid": ref_uuid, "attr": document["attr"]}
        attr = read_attr(kind, reference, entry, "ref-update")
    link = Link(names(to), ref_uuid or None, attr)
    return RefUpdate(
        kind, needed["uuid"], reference, link, operation == "ADD", document.get("relax_ref_for_delete") is True
    )


def ref_update(operations: Operations, tx: Transaction, request: RefUpdate) -> None:
    """Adds or removes the reference as a PUT with the resulting list would. Removing what is not there is no error,
    even if the target is gone: kube-manager removes references to interfaces that it may have deleted before."""
    target = operations.target(tx, request.reference.to, request.link, by_name=False)
    if target is None and (request.add or not request.link.uuid):
        unknown = request.link.uuid
        raise NotFound(f"Unknown id: {unknown}" if unknown else f"Name {list(request.link.to or ())} not found")
    before = tx.get(request.uuid)
    if before is None or before.type != request.kind.name:
        raise NotFound(f"Unknown id: {request.uuid}")
    if target is None:
        return
    uuid, fq_name = target
    if uuid == before.uuid:
        raise BadRequest(f"Bad reference in ref-update: {request.reference.field} refers to the object itself")
    after = before.copy()
    references = [
        reference for reference in after.references.get(request.reference.field, ()) if reference.uuid != uuid
    ]
    if request.add:
        origin = Origin.DERIVED if request.reference.derived else Origin.CLIENT
        references.append(Reference(request.reference.to, uuid, fq_name, request.link.attr, origin))
    operations.replace(after, request.reference.field, references)
    if request.add and request.relaxed:
        references[-1].origin = Origin.RELAXED
    operations.apply(tx, Update(before, after))


def relax(operations: Operations, tx: Transaction, uuid: str, target: str) -> None:
    """From now on the reference uuid -> target does not block the delete of target, also if it is yet to be made: as
    Contrail's provisioning of BGP routers asks for it. NotFound: neither object may be missing."""
    before = tx.get(uuid)
    if before is None:
        raise NotFound(f"uuid {uuid} not found")
    after = before.copy()
    for field, references in after.references.items():
        after.references[field] = [
            Reference(reference.type, reference.uuid, reference.fq_name, reference.attr, Origin.RELAXED)
            if reference.uuid == target and reference.origin is Origin.CLIENT
            else reference
            for reference in references
        ]
    if any(reference.uuid == target for references in after.references.values() for reference in references):
        operations.apply(tx, Update(before, after))
    elif tx.get(target) is None:
        raise NotFound(f"uuid {target} not found")
    else:
        tx.relax(uuid, target)


def read_relax(document: Any) -> tuple[str, str]:
    document = document if isinstance(document, dict) else {}
    uuid, target = document.get("uuid"), document.get("ref-uuid")
    if not (isinstance(uuid, str) and uuid and isinstance(target, str) and target):
        raise BadRequest(f"Bad Request: Both uuid and ref-uuid should be specified: {quote(uuid)}, {quote(target)}.")
    return uuid, target
