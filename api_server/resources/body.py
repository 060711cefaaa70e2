"""What a client's body asks for, checked as far as it can be without the database.

Unknown top-level keys are dropped, as Contrail drops them; everything else that is wrong is a BadRequest in the
words of contract 2.5 and 2.6. What comes out is validated and in the form in which it is stored: the writer has
little to do.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

from api_server.errors import BadRequest
from api_server.store.names import LONGEST, fits, join
from schema.model import ReferenceField, ResourceType
from schema.quoting import quote
from schema.validation import InvalidValue, check_mandatory, validate_attr, validate_property

ROOT = "config-root"
"""What Contrail calls the parent of an object that has none."""

# Characters that XML 1.0 cannot carry (Contrail's daemons speak XML), NUL among them.
ILLEGAL = re.compile("[\x00-\x08\x0b\x0c\x0e-\x1f\ud800-\udfff\ufffe\uffff]")

Operation = Literal["create", "http_put", "ref-update"]  # Contrail's words for them in error texts


@dataclass(frozen=True, slots=True)
class Link:
    """A reference as a client names it: by fq_name, by uuid or both."""

    to: tuple[str, ...] | None
    uuid: str | None
    attr: Any = None


@dataclass(slots=True)
class Body:
    """One object in a request.

    properties: known ones, None where the client wants it removed (or never set). references: by field, where given.
    parent_type, parent_uuid and uuid are as sent: they are judged where the contract's order of checks has them.
    empty: nothing was sent at all; a body of unknown fields alone is an update like any other.
    """

    type: ResourceType
    fq_name: tuple[str, ...] = ()
    parent_type: Any = None
    parent_uuid: Any = None
    uuid: Any = None
    properties: dict[str, Any] = field(default_factory=dict)
    references: dict[str, list[Link]] = field(default_factory=dict)
    empty: bool = False


def unwrap(type: ResourceType, document: Any, method: str) -> dict[str, Any]:
    """The object in `{"<type>": {...}}`."""
    if not isinstance(document, dict) or not isinstance(document.get(type.name), dict):
        raise BadRequest(f"Bad Request, no '{type.name}' object in {method} body")
    value: dict[str, Any] = document[type.name]
    return value


def names(value: Any) -> tuple[str, ...] | None:
    """An fq_name, or None if it is not a list of non-empty strings."""
    if isinstance(value, list) and value and all(isinstance(name, str) and name for name in value):
        return tuple(value)
    return None


def read_fq_name(type: ResourceType, value: Any) -> tuple[str, ...]:
    if not value:
        raise BadRequest("Bad Request, no fq_name in POST body")
    fq_name = names(value)
    if fq_name is None:
        raise BadRequest(f"Bad Request, fq_name must be a list of non-empty strings: {quote(value)}")
    if not fits(join(fq_name)):
        raise BadRequest(f"Bad Request, fq_name is longer than {LONGEST} bytes: {quote(value)}")
    for name in fq_name:
        if ILLEGAL.search(name):
            raise BadRequest(f"Bad Request, name has illegal xml characters: {quote(value)}")
        # Only the last element can be new; the others name objects that cannot have been created with a colon.
        if ":" in name and type.name != "route-target":
            raise BadRequest("Bad Request, name has one of invalid chars {':'}")
    return fq_name


def read_attr(type: ResourceType, reference: ReferenceField, entry: Mapping[str, Any], operation: Operation) -> Any:
    """The attribute of a reference as it is stored; None for a kind that has none."""
    if reference.attr is None:
        return None
    try:
        return validate_attr(type, reference.field, entry["attr"], operation, entry)
    except KeyError:
        text = f"Bad reference in {operation}: Error validating reference {reference.field} value {quote(entry)} 'attr'"
    except InvalidValue as error:
        text = str(error)
    raise BadRequest(text)


def read_links(type: ResourceType, reference: ReferenceField, value: Any, operation: Operation) -> list[Link]:
    if value is None:
        return []
    if not isinstance(value, list):
        raise BadRequest(
            f"Bad reference in {operation}: {reference.field} must be a list of references: {quote(value)}"
        )
    links = []
    for entry in value:
        to, uuid = (entry.get("to"), entry.get("uuid")) if isinstance(entry, dict) else (None, None)
        if (
            (to is None and uuid is None)
            or not (to is None or names(to))
            or not (uuid is None or isinstance(uuid, str))
        ):
            raise BadRequest(
                f"Bad reference in {operation}: {reference.field} needs 'to' (an fq_name) or 'uuid' "
                f"in each entry: {quote(entry)}"
            )
        links.append(Link(names(to), uuid, read_attr(type, reference, entry, operation)))
    return links


def read(type: ResourceType, value: Mapping[str, Any], operation: Operation) -> Body:
    """Properties and references of a create or update. BadRequest names the field that is wrong."""
    body = Body(type, empty=not value)
    try:
        for name, asked in value.items():  # in the client's order, so that the same body always gets the same answer
            if name in type.properties:
                stored = validate_property(type, name, asked, operation)
                wrapper = type.properties[name].wrapper
                if wrapper and not (isinstance(stored, dict) and stored.get(wrapper)):
                    stored = None  # a List or Map without elements is one that is not set
                body.properties[name] = stored
        if operation == "create":
            check_mandatory(type, value)
    except InvalidValue as error:
        raise BadRequest(str(error)) from None
    for name, asked in value.items():
        if name in type.references:
            body.references[name] = read_links(type, type.references[name], asked, operation)
    return body


def read_create(type: ResourceType, document: Any) -> Body:
    """A POST body, in the contract's order of checks (2.2): name, then properties, then references."""
    value = unwrap(type, document, "POST")
    fq_name = read_fq_name(type, value.get("fq_name"))
    body = read(type, value, "create")
    body.fq_name, body.uuid = fq_name, value.get("uuid")
    body.parent_type, body.parent_uuid = value.get("parent_type"), value.get("parent_uuid")
    return body


def read_update(type: ResourceType, document: Any) -> Body:
    """A PUT body; empty, `{}`, `{"<type>": {}}` and `{"<type>": null}` ask for nothing."""
    if not document or (isinstance(document, dict) and type.name in document and not document[type.name]):
        return Body(type, empty=True)
    value = unwrap(type, document, "PUT")
    if "perms2" in value and not (isinstance(value["perms2"], dict) and value["perms2"].get("owner")):
        raise BadRequest("owner in perms2 must be present")
    return read(type, value, "http_put")
