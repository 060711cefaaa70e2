"""Setting tags on an object by type and value: `POST /set-tag` (contract 4.12)."""

from dataclasses import dataclass
from typing import Any
from uuid import UUID

from api_server.errors import BadRequest, NotFound
from api_server.resources.operations import Operations
from api_server.resources.tags import SEVERAL, check_type, type_of
from api_server.store.objects import Object, Reference, Update
from api_server.store.transaction import Transaction
from schema.model import ObjectModel, ResourceType
from schema.quoting import quote


@dataclass(frozen=True, slots=True)
class Wish:
    """What a request wants of one tag type.

    values: to have, of global tags or of the object's own project. without: values to lose, None: all others.
    """

    type: str
    values: tuple[str, ...] = ()
    without: frozenset[str] | None = None
    is_global: bool = False


@dataclass(frozen=True, slots=True)
class SetTag:
    """A checked request."""

    kind: ResourceType
    uuid: str
    wishes: tuple[Wish, ...]


def read_set_tag(model: ObjectModel, document: dict[str, Any]) -> SetTag:
    """Each key beside `obj_type` and `obj_uuid` is a tag type; null takes all its tags away."""
    kind, uuid = document.get("obj_type"), document.get("obj_uuid")
    if kind is None or uuid is None:
        raise BadRequest("Object type and UUID must be specified")
    found = model.find(kind) if isinstance(kind, str) else None
    if found is None:
        raise BadRequest(f"Invalid Contrail resource type: {quote(kind)}")
    if not isinstance(uuid, str):
        raise BadRequest(f"obj_uuid must be text: {quote(uuid)}")
    asked = {name.lower(): value for name, value in document.items() if name not in ("obj_type", "obj_uuid")}
    return SetTag(found, uuid, tuple(read_wish(found, name, value) for name, value in asked.items()))


def read_wish(kind: ResourceType, tag_type: str, asked: Any) -> Wish:
    if asked is None:
        return Wish(tag_type)
    if not isinstance(asked, dict):
        raise BadRequest(f"Tag type {quote(tag_type)} needs an object with values, or null: {quote(asked)}")
    is_global = asked.get("is_global") or False
    if not isinstance(is_global, bool):
        raise BadRequest(f"is_global of tag type {quote(tag_type)} must be true or false: {quote(is_global)}")
    added, deleted = (texts(tag_type, asked, name) for name in ("add_values", "delete_values"))
    if tag_type not in SEVERAL and (added or deleted):
        raise BadRequest(f"Tag type {quote(tag_type)} cannot be set multiple times on a same object.")
    check_type(kind.name, tag_type)
    value = asked.get("value")
    if isinstance(value, str):
        added = [*added, value]
    elif value is not None or tag_type not in SEVERAL:
        raise BadRequest(f"No valid value provided for tag type {quote(tag_type)}")
    without = frozenset(deleted) if tag_type in SEVERAL else None
    return Wish(tag_type, tuple(dict.fromkeys(added)), without, is_global)


def texts(tag_type: str, asked: dict[str, Any], name: str) -> list[str]:
    values = asked.get(name) or []
    if not isinstance(values, list) or not all(isinstance(value, str) for value in values):
        raise BadRequest(f"{name} of tag type {quote(tag_type)} must be a list of texts: {quote(values)}")
    return values


def set_tag(operations: Operations, tx: Transaction, request: SetTag) -> None:
    """Nothing is written if the object has just these tags. NotFound if it or a tag does not exist."""
    before = tx.get(request.uuid)
    if before is None:
        raise NotFound(f"Unknown id: {request.uuid}")
    if before.type != request.kind.name:
        raise NotFound(f"No {request.kind.name} object found for id {request.uuid}")
    after = before.copy()
    tags = list(before.references.get("tag_refs", ()))
    for wish in request.wishes:
        tags = tags_after(tx, before, tags, wish)
    operations.replace(after, "tag_refs", tags)
    if set(after.targets("tag")) != set(before.targets("tag")):
        operations.apply(tx, Update(before, after))


def tags_after(tx: Transaction, subject: Object, tags: list[Reference], wish: Wish) -> list[Reference]:
    """Values are lost whatever the scope of their tags, among those that stood there before."""
    wanted = [tag_name(tx, subject, f"{wish.type}={value}", wish.is_global) for value in wish.values]

    def stays(tag: Reference) -> bool:
        if type_of(tag.fq_name) != wish.type:
            return True
        if wish.without is None:
            return tag.fq_name in wanted
        return tag.fq_name[-1].partition("=")[2] not in wish.without

    standing = {tag.fq_name for tag in tags}
    result = [tag for tag in tags if stays(tag)]
    for fq_name in wanted:
        if fq_name not in standing:
            uuid = tx.find("tag", fq_name)
            if uuid is None:
                raise NotFound(f"Tag with FQName {list(fq_name)} not found")
            if uuid == subject.uuid:
                raise BadRequest(f"Tag {fq_name[-1]} cannot be set on itself")
            result.append(Reference("tag", uuid, fq_name))
    return result


def tag_name(tx: Transaction, subject: Object, name: str, is_global: bool) -> tuple[str, ...]:
    """The fq_name of a tag that an object can have, by its last element."""
    return (name,) if is_global else (*project_of(tx, subject, name), name)


def project_of(tx: Transaction, subject: Object, name: str) -> tuple[str, ...]:
    """The project the object is, is in, or is owned by. NotFound if there is none, which means only global tags."""
    above = subject
    while above.type != "project":
        parent = tx.get(above.parent_uuid) if above.parent_uuid else None
        if parent is None:
            break
        above = parent
    else:
        return above.fq_name
    owner = (subject.properties.get("perms2") or {}).get("owner")
    try:
        uuid = str(UUID(str(owner)))
    except ValueError:
        raise NotFound(f"Not able to determine the scope of the tag '{quote(name)}'") from None
    found = tx.identify(uuid)
    if found is None or found[0] != "project":
        raise NotFound(f"Cannot find {subject.type} {subject.uuid} owner")
    return found[1]
