"""What an object that is declared lacks of an object that is stored. Pure.

A declaration says what it says, and nothing of the rest: a member that it leaves out stays as it is, so that what the
server fills in (a subnet's gateway, a rule's uuid) is no difference. A list is one value, except that elements which
stand already keep what the server gave them.
"""

from collections.abc import Mapping, Sequence
from typing import Any

from schema.model import Property, ResourceType

Reference = Mapping[str, Any]


def contains(stored: Any, declared: Any) -> bool:
    """Whether all that is declared stands. A member that is null may as well be missing."""
    if isinstance(declared, Mapping):
        return isinstance(stored, Mapping) and all(contains(stored.get(key), value) for key, value in declared.items())
    if isinstance(declared, list):
        return (
            isinstance(stored, list)
            and len(stored) == len(declared)
            and all(contains(*pair) for pair in zip(stored, declared, strict=True))
        )
    return type(stored) is type(declared) and bool(stored == declared)


def merge(stored: Any, declared: Any) -> Any:
    """The stored value with all that is declared in it; the stored value itself if that stands already."""
    if contains(stored, declared):
        return stored
    if isinstance(declared, Mapping):
        before = stored if isinstance(stored, Mapping) else {}
        return {**before, **{key: merge(before.get(key), value) for key, value in declared.items()}}
    if isinstance(declared, list) and isinstance(stored, list):
        left = list(stored)
        return [_take(left, each) for each in declared]
    return declared


def _take(stored: list[Any], declared: Any) -> Any:
    """The first stored element that has all that is declared; each only once."""
    for index, each in enumerate(stored):
        if contains(each, declared):
            return stored.pop(index)
    return declared


ALLOCATED = {"virtual_network_network_id", "security_group_id", "tag_id"}
"""Numbers that the server gives, and takes from no client (contract 5.2, 5.9, 5.10)."""


UPDATABLE = ("enable", "description")  # of `id_perms`; the server ignores the rest (contract 2.8)


def created(type: ResourceType, fq_name: Sequence[str], declared: Mapping[str, Any]) -> dict[str, Any]:
    """The fields of a create. Every reference says its attribute, if only that it has none (contract 2.6); one to a
    child of its own has to wait, for the child comes later."""
    return {
        name: _new(value, fq_name) if name in type.references else value
        for name, value in declared.items()
        if value is not None and name not in ALLOCATED
    }


def _new(references: Sequence[Reference], fq_name: Sequence[str]) -> list[Reference]:
    return [{"attr": None, **each} for each in references if not is_below(each.get("to"), fq_name)]


def is_below(other: Sequence[str] | None, fq_name: Sequence[str]) -> bool:
    """Whether a name is that of something below this one."""
    return other is not None and len(other) > len(fq_name) and list(other[: len(fq_name)]) == list(fq_name)


def changed(type: ResourceType, stored: Mapping[str, Any], declared: Mapping[str, Any]) -> dict[str, Any]:
    """The fields of an update that makes all that is declared stand; {} if it does. References as on the wire."""
    result = {}
    for name, value in declared.items():
        if name in type.references:
            wanted = _references(stored.get(name) or (), value or ())
        elif value is None:
            wanted = None
        elif name == "id_perms":
            wanted = merge(stored.get(name), {key: value[key] for key in UPDATABLE if key in value})
        else:
            wanted = _property(type.properties[name], stored.get(name), value)
        before = stored.get(name)
        if wanted != (before or [] if name in type.references else before):
            result[name] = wanted
    return result


def _property(declared: Property, stored: Any, value: Any) -> Any:
    if declared.kind != "map" or not isinstance(value, Mapping):
        return merge(stored, value)
    assert declared.wrapper is not None
    before = (stored or {}).get(declared.wrapper) or []
    after = {each[declared.key]: each for each in before}
    for each in value.get(declared.wrapper) or ():
        after[each[declared.key]] = merge(after.get(each[declared.key]), each)
    elements = [after[key] for key in sorted(after, key=str)]
    return stored if all(each in before for each in elements) else {declared.wrapper: elements}


def _references(stored: Sequence[Reference], declared: Sequence[Reference]) -> list[Reference]:
    """As stored if they are the same, in any order. One that does not mention its attribute keeps what it has."""
    by_target = {key: each for each in stored for key in (tuple(each["to"]), each["uuid"])}
    result: list[Reference] = []
    for each in declared:
        before = by_target.get(tuple(each["to"]) if each.get("to") else each["uuid"])
        attr = before.get("attr") if before else None
        if "attr" in each:
            attr = merge(attr, each["attr"])
        result.append(before if before and attr == before.get("attr") else {**each, "attr": attr})
    same = len(result) == len(stored) and all(each in stored for each in result)
    return list(stored) if same else result
