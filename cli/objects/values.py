"""`key=value`, `key.member=value` and `key-`: values by the types of the object model. Pure.

    loadbalancer_properties.admin_state=false      a member of a property; the others stay
    annotations.owner=me                           an element of a map property
    network_policy_refs=p1,p2                      references, by paths without their type; or as JSON, with attributes
    ipam_subnets='{"subnets": [...]}'              JSON, for what has no short form
    display_name-                                  away with it

What is written is checked as the server would check it, so that a mistake is said before anything is sent.
"""

import json
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import schema
from cli.objects import documents
from cli.objects.paths import hint
from cli.output import Failure, Misuse
from schema.model import ComplexType, Member, Property, ReferenceField, ResourceType
from schema.validation import InvalidValue, validate_property

IDENTITY = ("uuid", "parent_type")  # of a new object, beside what its path says


@dataclass(frozen=True, slots=True)
class Assignment:
    """text: None removes. members: what follows the field, `a.b` as (a, b)."""

    field: str
    members: tuple[str, ...]
    text: str | None

    @property
    def key(self) -> str:
        return ".".join((self.field, *self.members))


@dataclass(frozen=True, slots=True)
class Unresolved:
    """References by name: paths of objects of a type, still to be looked up."""

    type: str
    names: tuple[str, ...]


def parse(text: str) -> Assignment:
    """Misuse if it is neither `key=value` nor `key-`."""
    key, equals, value = text.partition("=")
    if not equals:
        if not key.endswith("-"):
            raise Misuse(f"{text!r} is neither key=value nor key-")
        key = key[:-1]
    field, *members = key.split(".")
    if not field or not all(members):
        raise Misuse(f"{text!r} begins with no key")
    return Assignment(field, tuple(members), value if equals else None)


def changes(type: ResourceType, object: Mapping[str, Any], assignments: Sequence[Assignment]) -> dict[str, Any]:
    """The fields that the assignments change, each whole; references may be Unresolved. Misuse names the key."""
    changed: dict[str, Any] = {}
    for each in assignments:
        declared = type.properties.get(each.field) or type.references.get(each.field)
        if declared is None:
            raise Misuse(f"{type.name} has no property or reference {each.field!r}{hint(each.field, _fields(type))}")
        if isinstance(declared, ReferenceField):
            changed[each.field] = _references(type, declared, each)
        else:
            before = changed[each.field] if each.field in changed else object.get(each.field)
            changed[each.field] = assigned(declared, each, before)
    for name, value in changed.items():
        if name in type.properties and value is not None:
            _check(type, name, value)
    return changed


def keys(type: ResourceType) -> Iterator[str]:
    """All that can stand before `=`, members included as far as they have a short form."""
    for name, declared in type.properties.items():
        if declared.kind == "plain":
            yield from _keys(name, declared.type, ())
        else:
            yield name
    yield from type.references


def _keys(key: str, type: str, seen: tuple[str, ...]) -> Iterator[str]:
    complex_type = schema.load().complex_types.get(type)
    if complex_type is None or type in seen:
        yield key
        return
    for member in complex_type.members.values():
        if member.is_list:
            yield f"{key}.{member.name}"
        else:
            yield from _keys(f"{key}.{member.name}", member.type, (*seen, type))


def _fields(type: ResourceType) -> list[str]:
    return [*type.properties, *type.references]


def _check(type: ResourceType, name: str, value: Any) -> None:
    try:
        validate_property(type, name, value)
    except InvalidValue as error:
        raise Misuse(error.text) from None


def _references(type: ResourceType, declared: ReferenceField, each: Assignment) -> Any:
    if each.members:
        raise Misuse(f"{each.field} holds references: {each.field}=NAME,NAME or JSON; `vaportrail ln` adds one")
    if not each.text:
        return []
    names = _json(each) if each.text.startswith("[") else each.text.split(",")
    if names and all(isinstance(name, str) for name in names):
        return Unresolved(declared.to, tuple(name.removeprefix(f"{declared.to}/") for name in names))
    try:
        return documents.references(type, declared, names, each.key)
    except Failure as error:
        raise Misuse(str(error)) from None


def assigned(declared: Property, each: Assignment, before: Any) -> Any:
    """The value of a property after an assignment."""
    if not each.members:
        return None if each.text is None else _typed(declared.type, False, each)
    if declared.kind == "map" and (pair := _pair(declared)):
        return _map(declared, pair, each, before)
    return _nested(declared.type, each.members, each, before)


def _pair(declared: Property) -> str | None:
    """The one other member of a map's elements, if they are pairs."""
    model = schema.load()
    members = model.complex_types[declared.item_type or ""].members
    others = [name for name in members if name != declared.key]
    return others[0] if len(others) == 1 else None


def _map(declared: Property, value: str, each: Assignment, before: Any) -> dict[str, Any]:
    """The map with one element more, other or less. A key may contain dots."""
    assert declared.wrapper is not None
    assert declared.key is not None
    key = ".".join(each.members)
    element = schema.load().complex_types[declared.item_type or ""].members
    kept = [item for item in (before or {}).get(declared.wrapper) or () if str(item.get(declared.key)) != key]
    if each.text is not None:
        kept.append({
            declared.key: _scalar(element[declared.key].type, Assignment(each.field, each.members, key)),
            value: _typed(element[value].type, element[value].is_list, each),
        })  # fmt: skip
    return {declared.wrapper: kept}


def _nested(type: str, members: Sequence[str], each: Assignment, before: Any) -> dict[str, Any]:
    complex_type = schema.load().complex_types.get(type)
    if complex_type is None:
        raise Misuse(f"{each.key}: a value of type {type} has no members")
    name, *rest = members
    member = _member(complex_type, name, each)
    known: dict[str, Any] = dict(before) if isinstance(before, Mapping) else {}
    if rest and member.is_list:
        raise Misuse(f"{each.key}: {name} is a list; write it whole, as JSON")
    if rest:
        known[name] = _nested(member.type, rest, each, known.get(name))
    elif each.text is None:
        known.pop(name, None)
    else:
        known[name] = _typed(member.type, member.is_list, each)
    return known


def _member(complex_type: ComplexType, name: str, each: Assignment) -> Member:
    if name not in complex_type.members:
        raise Misuse(f"{each.key}: {complex_type.name} has no member {name!r}{hint(name, complex_type.members)}")
    return complex_type.members[name]


def _typed(type: str, is_list: bool, each: Assignment) -> Any:
    """The text as a value; each.text is not None."""
    assert each.text is not None
    is_complex = type in schema.load().complex_types
    if is_list:
        if each.text.lstrip().startswith("[") or is_complex:
            return _json(each)
        return [_scalar(type, Assignment(each.field, each.members, one)) for one in each.text.split(",") if one]
    return _json(each) if is_complex else _scalar(type, each)


def _json(each: Assignment) -> Any:
    try:
        return json.loads(each.text or "null")
    except (json.JSONDecodeError, RecursionError) as error:
        raise Misuse(f"{each.key} takes JSON or key.member=value: {error}") from None


def _scalar(type: str, each: Assignment) -> Any:
    assert each.text is not None
    base = schema.load().base(type)
    if base == "boolean":
        if each.text.lower() not in {"true", "false"}:
            raise Misuse(f"{each.key} is true or false, not {each.text!r}")
        return each.text.lower() == "true"
    if base == "integer":
        if not re.fullmatch(r"[+-]?[0-9]{1,24}", each.text):
            raise Misuse(f"{each.key} is a number, not {each.text!r}")
        return int(each.text)
    return each.text
